//! The database is down: requests get an error, no process ends or runs hot, and operations in progress continue
//! afterwards (docs/invariants.md I1).

use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tokio::time::Instant;
use zpack::db::entities::operation_step;
use zpack::kernel::Clock;

use super::scene::{Scene, accepted, assert_idle, assert_soon, refused};
use crate::crash::fault::Server;
use crate::support::company::node;
use crate::support::mariadb::PrivateMariaDb;
use crate::support::postgres::PrivatePostgres;

/// How long a refusal may take: two attempts to connect of 3 s each, on a loaded machine.
const REFUSAL: Duration = Duration::from_secs(12);

/// How the database fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Killed,
    Frozen,
    Silent,
}

impl Away {
    fn begin(self, server: &mut Server, scene: &Scene) {
        match self {
            Self::Killed => server.kill(),
            Self::Frozen => server.freeze(),
            Self::Silent => scene.database.as_ref().unwrap().blackhole(),
        }
    }

    fn end(self, server: &mut Server, scene: &Scene) {
        match self {
            Self::Killed => server.run(),
            Self::Frozen => server.thaw(),
            Self::Silent => scene.database.as_ref().unwrap().pass(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_comes_and_goes() {
    let server = Server::Postgres(tokio::task::block_in_place(PrivatePostgres::start));
    come_and_go(server, &[Away::Silent, Away::Killed]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_comes_and_goes() {
    let server = Server::MariaDb(tokio::task::block_in_place(PrivateMariaDb::start));
    come_and_go(server, &[Away::Frozen, Away::Killed]).await;
}

async fn come_and_go(mut server: Server, ways: &[Away]) {
    let scene = Scene::over(server.database().await).await;
    let mut api = scene.api().await;
    for &away in ways {
        let what = format!("the database {away:?}");
        let log = format!("worker {away:?}");
        // An operation is held right after Proxmox has accepted the request to clone.
        let held = scene.file("held");
        let place = format!("clone_container.accepted=wait:{}", held.display());
        let mut worker = scene.worker(&log, [("ZPACK_FAILPOINT", place)]);
        let running = scene.company.begin(node()).await;
        scene.company.wait("the clone", || async { held.exists().then_some(()) }).await;

        let before = scene.lines("api").len();
        away.begin(&mut server, &scene);
        std::fs::remove_file(&held).unwrap();
        let asked = Instant::now();
        refused(api.create(&what).await, "unavailable").await;
        assert!(asked.elapsed() < REFUSAL, "{what}: the refusal took {:?}", asked.elapsed());
        assert!(api.get("/readyz").await.is_none(), "{what}: it is not ready");
        assert!(api.get("/api/health").await.is_some(), "{what}: it lives");
        assert_idle(&what, &[("the API", &api.process), ("the worker", &worker)]).await;
        assert!(api.process.is_alive() && worker.is_alive(), "{what}: a process ended");
        let told = (scene.lines("api").len() - before, scene.lines(&log).len());
        println!("{what}: {told:?} lines in the logs");
        assert!(
            told.0 <= 15 && told.1 <= 15,
            "{what}: {told:?}\n{}\n{}",
            scene.lines("api").join("\n"),
            scene.lines(&log).join("\n")
        );

        away.end(&mut server, &scene);
        let back = Clock::System.now();
        // The same request, with the same key, until it is accepted.
        let next = scene
            .company
            .wait("the API to accept", || async {
                let answer = api.create(&what).await;
                if answer.status() == 202 { Some(accepted(answer).await) } else { None }
            })
            .await;
        assert_soon(&format!("{what}: an accepted request"), back, scene.company.operation(next).await.created_at);
        let row = scene.company.succeeded(running).await;
        assert_eq!((row.starts, row.crashes, row.fence), (1, 0, 1), "{what}: its owner went on");
        let clones = scene.company.effects("clone").await;
        assert_eq!(clones.get(&row.vmid.unwrap().get().into()), Some(&1), "{what}");
        let step = operation_step::Entity::find()
            .filter(operation_step::Column::OperationId.eq(running))
            .filter(operation_step::Column::Name.eq("clone_container"))
            .one(&scene.company.db.db)
            .await
            .unwrap()
            .unwrap();
        assert_soon(&format!("{what}: the end of the step"), back, step.finished_at.unwrap());
        scene.company.succeeded(next).await;
        worker.stop().await;
    }
    api.process.stop().await;
}
