//! What a new job costs: one file with the payload, its `Work`, the steps and the job, and one line in the registry of its
//! queue (beside the `mod` line). Everything else follows from the payload type.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zpack::db::entities::operation::{CancelRule, OperationState};
use zpack::jobs::{Dedup, JobContext, JobEnd, Queue, RegistryError, Work};
use zpack::kernel::{Clock, VmId};
use zpack::operations::{ForwardJob, Order, run_forward};
use zpack::roles::worker::{host, provision};
use zpack::saga::{Effect, Step, StepContext, StepResult};

use crate::support::app::FRESHNESS;
use crate::support::company::Company;

/// The payload of the job: a note about a server.
#[derive(Serialize, Deserialize)]
struct NotePayload {
    vmid: VmId,
    text: String,
}

impl Work for NotePayload {
    const KIND: &'static str = "note";
    const QUEUE: Queue = Queue::Host;
    const MAX_STARTS: i32 = 3;
    const CANCEL: CancelRule = CancelRule::BeforeStart;

    fn steps(&self) -> usize {
        1
    }

    fn vmid(&self) -> Option<VmId> {
        Some(self.vmid)
    }

    fn shown(&self) -> Value {
        json!({ "text": self.text })
    }

    fn dedup(&self) -> Dedup {
        Dedup::Always(vec![self.vmid.to_string()])
    }
}

struct NoteJob;

struct TakeNote;

#[async_trait]
impl Step<NotePayload, ()> for TakeNote {
    fn name(&self) -> &'static str {
        "take_note"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, payload: &NotePayload, _: &StepContext<'_>, (): &mut ()) -> StepResult {
        Ok(Some(payload.text.clone()))
    }
}

#[async_trait]
impl ForwardJob for NoteJob {
    type Work = NotePayload;
    type State = ();

    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self, cx: &JobContext, payload: NotePayload, (): ()) -> JobEnd {
        let steps: [Box<dyn Step<NotePayload, ()>>; 1] = [Box::new(TakeNote)];
        run_forward(cx, &Clock::System, &steps, &payload, ()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_job_needs_one_file_and_one_line_in_the_registry() {
    let company = Company::start().await;
    let registry = host::jobs(&company.parts()).unwrap().with(Arc::new(NoteJob)).unwrap();
    let worker = company.work(registry, Company::host_settings());
    let door = company.door(FRESHNESS);
    let vmid = VmId::new(5042).unwrap();
    let order = Order::new(NotePayload { vmid, text: "restart it on Monday".to_owned() }).owned_by(company.owner);
    let id = company.begin_new(order).await.operation.id;
    assert_eq!(company.settled(id).await.state, OperationState::Succeeded);

    let admin = door.admin("olga").await;
    let shown = door.request(Method::GET, &format!("/api/operations/{id}")).bearer_auth(admin).send().await.unwrap();
    let shown: Value = shown.json().await.unwrap();
    assert_eq!((&shown["kind"], &shown["serverId"]), (&json!("note"), &json!("5042")));
    assert_eq!(shown["request"], json!({ "text": "restart it on Monday" }));
    assert_eq!(shown["steps"][0]["detail"], "restart it on Monday", "{shown}");
    door.close().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_registry_refuses_a_job_of_another_queue() {
    let company = Company::start().await;
    let refused = provision::jobs(&company.parts()).unwrap().with(Arc::new(NoteJob)).err().unwrap();
    assert!(matches!(refused, RegistryError::OtherQueue { kind: "note", of: Queue::Host, queue: Queue::Provision }));
}
