//! Redis behind Sentinels: another server becomes the primary, and work goes on there. A replica is no Redis to work with.

use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use zpack::config::DatabaseKind;
use zpack::db::entities::operation;
use zpack::kernel::{Clock, OperationId, Timestamp};

use super::scene::{Api, Scene, accepted, assert_soon};
use crate::support::TestDb;
use crate::support::sentinels::Sentinels;

/// So many ask at a time.
const CUSTOMERS: usize = 4;

/// A customer asks this often, or as soon as the answer is there: all together within the allowance of one account.
const PACE: Duration = Duration::from_millis(500);

/// How long is waited for work to go on before the test fails.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_work_goes_on_and_nothing_accepted_is_lost() {
    let scene = Scene::over(TestDb::migrated(DatabaseKind::Sqlite).await).await;
    let mut sentinels = tokio::task::block_in_place(Sentinels::start);
    // No customer has to wait for another: what starts late waited for Redis.
    let bounds = [("QUOTA_SERVERS", "1000"), ("QUOTA_MEMORY_MIB", "1000000"), ("PROVISION_SLOTS", "64")];
    let bounds = bounds.map(|(name, value)| (name, value.to_owned()));
    let place: Vec<_> = bounds.into_iter().chain([("REDIS_URL", sentinels.url())]).collect();
    let (mut api, mut worker) = (scene.api_with(place.clone()).await, scene.worker("worker", place));
    scene.warm_up(&api).await;
    let mut all = Vec::new();
    for what in ["asked for", "by the silence of the primary", "by the death of the primary"] {
        let (begun, enough) = (CancellationToken::new(), CancellationToken::new());
        let failover = async {
            begun.cancelled().await;
            let carried_out = tokio::task::spawn_blocking(move || {
                match what {
                    "asked for" => sentinels.fail_over(),
                    "by the silence of the primary" => sentinels.silence_primary(),
                    _ => sentinels.kill_primary(),
                }
                sentinels
            });
            let sentinels = carried_out.await.unwrap();
            let promoted = Clock::System.now();
            let started = tokio::time::timeout(DEADLINE, first_since(&scene, promoted)).await;
            enough.cancel();
            assert_soon(what, promoted, started.unwrap_or_else(|_| panic!("{what}: nothing starts any more")));
            sentinels
        };
        let (ids, after) = tokio::join!(customers(&api, what, &begun, &enough), failover);
        assert_eq!(api.get("/readyz").await.expect("the API is of use")["status"], "ready", "{what}");
        sentinels = after;
        println!("{what}: {} accepted", ids.len());
        all.extend(ids);
    }
    for id in all {
        let row = scene.company.succeeded(id).await;
        assert_eq!(row.starts, 1, "{id}");
    }
    assert!(api.process.is_alive() && worker.is_alive(), "a process ended");
    worker.stop().await;
    api.process.stop().await;
}

/// All of them ask for servers until there are `enough`. Returns what was accepted, `begun` with the first.
async fn customers(api: &Api, what: &str, begun: &CancellationToken, enough: &CancellationToken) -> Vec<OperationId> {
    let all = (0..CUSTOMERS).map(|customer| async move {
        let mut ids = Vec::new();
        let mut pace = tokio::time::interval(PACE);
        while enough.run_until_cancelled(pace.tick()).await.is_some() {
            let key = format!("{what} {customer} {}", ids.len());
            let answer = api.create(&key).await;
            // On a slow machine this lasts so long that the customers exceed their rate.
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                continue;
            }
            ids.push(accepted(answer).await);
            begun.cancel();
        }
        ids
    });
    futures_util::future::join_all(all).await.concat()
}

/// When the first operation started that was accepted after `moment`.
async fn first_since(scene: &Scene, moment: Timestamp) -> Timestamp {
    scene
        .company
        .wait("an operation to start", || async {
            let rows = operation::Entity::find().filter(operation::Column::CreatedAt.gt(moment));
            let rows = rows.filter(operation::Column::StartedAt.is_not_null());
            let row = rows.order_by_asc(operation::Column::StartedAt).one(&scene.company.db.db).await.unwrap();
            row.and_then(|row| row.started_at)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_refused_by_readiness_and_doctor() {
    let scene = Scene::over(TestDb::migrated(DatabaseKind::Sqlite).await).await;
    let sentinels = tokio::task::block_in_place(Sentinels::start);
    let replica = [("REDIS_URL", sentinels.replica().url())];
    let api = scene.api_with(replica.clone()).await;
    let ready = api.get("/readyz").await.expect("the API is of use");
    assert_eq!((&ready["status"], &ready["parts"]["redis"]), (&"degraded".into(), &"unreachable".into()), "{ready}");
    api.process.stop().await;

    let mut doctor = Command::new(env!("CARGO_BIN_EXE_zpack"));
    doctor
        .args(["--json", "doctor"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(scene.company.environment())
        .envs(replica);
    let report = tokio::task::block_in_place(|| doctor.output().unwrap());
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "redis").unwrap();
    assert_eq!(check["status"], "fail", "{report}");
    assert!(check.to_string().contains("is a replica"), "{check}");
}
