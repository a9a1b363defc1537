//! Redis is down: accepted operations are in the database, and run once Redis is back (docs/contracts/jobs.md 6.8,
//! 6.11, 6.25).

use std::time::Duration;

use tokio::time::Instant;
use zpack::config::DatabaseKind;
use zpack::db::entities::operation::OperationState;
use zpack::kernel::{Clock, Timestamp};

use super::scene::{Scene, accepted, assert_idle, assert_soon};
use crate::support::TestDb;

/// How long a customer may wait for an answer while Redis does not answer: two commands with their timeouts, on a
/// loaded machine.
const PROMPT: Duration = Duration::from_secs(5);

/// How Redis fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Killed,
    Frozen,
    Silent,
    Full,
}

impl Away {
    async fn begin(self, scene: &mut Scene) {
        match self {
            Self::Killed => tokio::task::block_in_place(|| scene.company.redis.kill()),
            Self::Frozen => scene.company.redis.freeze(),
            Self::Silent => scene.redis.blackhole(),
            // Its memory limit is exceeded.
            Self::Full => configure(scene, "maxmemory", "1kb").await,
        }
    }

    /// Ends the failure; returns when Redis worked again.
    async fn end(self, scene: &mut Scene) -> Timestamp {
        match self {
            Self::Killed => tokio::task::block_in_place(|| scene.company.redis.run()),
            Self::Frozen => scene.company.redis.thaw(),
            Self::Silent => scene.redis.pass(),
            Self::Full => configure(scene, "maxmemory", "0").await,
        }
        Clock::System.now()
    }
}

async fn configure(scene: &Scene, name: &str, value: &str) {
    let set: Result<(), _> =
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query_async(&mut scene.company.lists.connection()).await;
    set.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_requests_are_accepted_and_run_after_its_return() {
    let mut scene = Scene::over(TestDb::migrated(DatabaseKind::Sqlite).await).await;
    let (mut api, mut worker) = (scene.api().await, scene.worker("worker", []));
    scene.warm_up(&api).await;
    for away in [Away::Full, Away::Silent, Away::Frozen, Away::Killed] {
        let what = format!("Redis {away:?}");
        let lines = |scene: &Scene| scene.lines("api").len() + scene.lines("worker").len();
        let before = lines(&scene);
        away.begin(&mut scene).await;
        let asked = Instant::now();
        let id = accepted(api.create(&what).await).await;
        assert!(asked.elapsed() < PROMPT, "{what}: the answer took {:?}", asked.elapsed());
        let ready = api.get("/readyz").await.expect("the API is of use");
        let expected = if away == Away::Full { "ready" } else { "degraded" };
        assert_eq!(ready["status"], expected, "{what}: {ready}");
        assert_idle(&what, &[("the API", &api.process), ("the worker", &worker)]).await;
        let row = scene.company.operation(id).await;
        assert_eq!((row.state, row.starts), (OperationState::Queued, 0), "{what}: Redis is not away");

        let back = away.end(&mut scene).await;
        let row = scene.company.succeeded(id).await;
        assert_soon(&what, back, row.started_at.unwrap());
        assert_eq!(row.starts, 1, "{what}");
        assert!(api.process.is_alive() && worker.is_alive(), "{what}: a process ended");
        let told = lines(&scene) - before;
        println!("{what}: {told} lines in the logs");
        assert!(
            told <= 20,
            "{what}: {told} lines\n{}\n{}",
            scene.lines("api").join("\n"),
            scene.lines("worker").join("\n")
        );
    }
    worker.stop().await;
    api.process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_drop_keys_is_refused_at_the_start() {
    let scene = Scene::over(TestDb::migrated(DatabaseKind::Sqlite).await).await;
    configure(&scene, "maxmemory-policy", "allkeys-lru").await;
    let status = scene.worker("worker", []).ended().await;
    assert_eq!(status.code(), Some(1));
    let words = scene.lines("worker").join("\n");
    assert!(words.contains("maxmemory-policy") && words.contains("allkeys-lru"), "{words}");
}
