//! The network to the database drops everything: no process waits for ever, and the leader continues afterwards.

use redis::AsyncCommands;
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::kernel::Secret;

use super::candidate::{Candidate, KEY, NEVER, look, patient, row, wait_for};
use crate::support::proxy::{Proxy, Upstream};
use crate::support::{PrivateRedis, TestDb};

/// A candidate whose database is behind a network that the test can break.
async fn behind_a_network(test: &TestDb, redis: &PrivateRedis) -> (Candidate, Proxy) {
    let network = Proxy::start(Upstream::Socket(test.socket.clone().unwrap())).await;
    let pool = db::connect(&Secret::new(test.url_at(network.port())), 2).await.unwrap();
    (Candidate::start_over(pool, &redis.url(), patient()), network)
}

async fn a_leader_notices_and_goes_on(kind: DatabaseKind) {
    let (test, redis) = (TestDb::migrated(kind).await, PrivateRedis::start());
    let (mut leader, network) = behind_a_network(&test, &redis).await;
    leader.leads().await;
    leader.go_on.notify_one();
    let ticks = |outcome| format!(r#"zpack_lease_tick_seconds_count{{lease="controller",outcome="{outcome}"}}"#);
    wait_for("a tick", async || leader.count(&ticks("succeeded")) > 0).await;

    network.blackhole();
    wait_for("a tick to fail", async || leader.count(&ticks("failed")) > 0).await;
    network.pass();
    let before = leader.count(&ticks("succeeded"));
    wait_for("ticks again", async || leader.count(&ticks("succeeded")) > before).await;
    assert_eq!(row(&test).await.epoch, 1);
    assert!(!leader.was_elected(), "it is still the same term");
}

async fn a_candidate_notices_and_tries_again(kind: DatabaseKind) {
    let (test, redis) = (TestDb::migrated(kind).await, PrivateRedis::start());
    let mut connection = look(&redis.url()).await;
    connection.set_ex::<_, _, ()>(KEY, "another holder", NEVER.as_secs()).await.unwrap();
    let (mut candidate, network) = behind_a_network(&test, &redis).await;
    candidate.tries("succeeded").await;

    network.blackhole();
    // One attempt may be past its first command. A later command belongs to an attempt that has timed out.
    let before = candidate.asked("succeeded");
    wait_for("an attempt to be given up", async || candidate.asked("succeeded") >= before + 2).await;
    network.pass();
    connection.del::<_, ()>(KEY).await.unwrap();
    assert_eq!(candidate.leads().await.epoch(), 1);
}

macro_rules! on_both_servers {
    ($($test:ident { $postgres:ident, $mariadb:ident })+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $postgres() {
            $test(DatabaseKind::Postgres).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $mariadb() {
            $test(DatabaseKind::MariaDb).await;
        }
    )+ };
}

on_both_servers! {
    a_leader_notices_and_goes_on { a_leader_notices_and_goes_on_postgres, a_leader_notices_and_goes_on_mariadb }
    a_candidate_notices_and_tries_again { a_candidate_tries_again_on_postgres, a_candidate_tries_again_on_mariadb }
}
