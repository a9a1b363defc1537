//! The fault matrix of the teardown of a server: each call of each peer fails in each way, and once the debts are
//! settled nothing is left but what belongs to others.

use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::json;
use zpack::db::entities::operation::OperationState;
use zpack::kernel::VmId;
use zpack::publishing::TargetSelection;

use super::faults::{Flow, WAYS, calls};
use super::kit::{PEERS, fault};
use crate::flows::teardown::{collect, delete, open_debts};
use crate::routes::edge::a_server;
use crate::support::app::FRESHNESS;
use crate::support::company::Company;
use crate::support::door::Door;

/// Companies at the same time; each runs its share of the cells.
const LANES: usize = 6;

type Cell = (&'static str, usize, (&'static str, &'static str, Option<u16>));

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_in_a_teardown_ends_with_nothing_of_the_server() {
    let cells: Vec<Cell> = PEERS
        .into_iter()
        .flat_map(|peer| (1..=calls(peer, Flow::Unpublish)).map(move |nth| (peer, nth)))
        .flat_map(|(peer, nth)| WAYS.into_iter().map(move |way| (peer, nth, way)))
        .collect();
    let share = cells.len().div_ceil(LANES);
    stream::iter(cells.chunks(share)).for_each_concurrent(LANES, lane).await;
}

async fn lane(cells: &[Cell]) {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    // A record whose name begins with ours, and a foreign one below our name.
    for name in ["mc-paper-50131", "sub.mc-paper-5013"] {
        let record = json!({"type": "A", "name": name, "content": "198.51.100.1", "comment": "zpack vmid=50131 gen=1"});
        company.control("/sim/cloudflare/records", record).await;
    }
    let others = company.state().await["cloudflare"]["records"].clone();
    for cell in cells {
        // Its clients are its own: a rate limit ends with them.
        let host = company.host_worker();
        tear_down(&company, &door, *cell).await;
        host.stop().await;
        assert_eq!(company.state().await["cloudflare"]["records"], others, "{cell:?}");
    }
    door.close().await;
}

async fn tear_down(company: &Company, door: &Door, (peer, nth, (when, action, status)): Cell) {
    let what = format!("{peer} call {nth} {when} {action} {status:?}");
    a_server(company).await;
    let record =
        company.publisher().publish(VmId::new(5013).unwrap(), TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(record.problems(), "", "{what}");
    company.control("/sim/faults", fault(peer, nth, when, action, status)).await;
    let operation = company.settled(delete(door, 5013).await.unwrap()).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{what}: {:?}", operation.error_message);
    assert_eq!(company.get("/sim/faults").await, json!([]), "{what}: no call met it");
    // A teardown without debts left nothing; each debt says what remains and why.
    let debts = open_debts(company).await;
    assert!(debts.iter().all(|debt| debt.kind.as_str() == peer && debt.last_error.is_some()), "{what}: {debts:?}");
    if debts.is_empty() {
        assert_eq!(company.at_edge().await, [2, 0, 0], "{what}");
    }
    collect(company).await;
    assert_eq!(open_debts(company).await, [], "{what}");
    assert_eq!(company.at_edge().await, [2, 0, 0], "{what}");
    assert_eq!(delete(door, 5013).await.unwrap_err().0, StatusCode::NOT_FOUND, "{what}");
}
