//! Redis holds arbitrary values under the keys of the runtime: due operations start nevertheless (docs/invariants.md
//! I10, docs/contracts/jobs.md 6.10, 6.16).

use std::time::Duration;

use redis::AsyncCommands;
use zpack::config::DatabaseKind;
use zpack::db::RedisPool;
use zpack::jobs::Queue;
use zpack::kernel::{Clock, OperationId, WorkerId};

use super::scene::{Scene, assert_soon};
use crate::crash::process::WorkerProcess;
use crate::support::company::node;
use crate::support::{TestDb, free_port};

/// Counts of a worker, by the name of the metric.
struct Counts {
    url: String,
    http: reqwest::Client,
}

impl Counts {
    async fn of(&self, name: &str) -> u64 {
        let text = match self.http.get(&self.url).send().await {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => return 0,
        };
        // Over all queues of the worker.
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }
}

async fn scene() -> (Scene, WorkerProcess, Counts) {
    let scene = Scene::over(TestDb::migrated(DatabaseKind::Sqlite).await).await;
    let address = format!("127.0.0.1:{}", free_port());
    let worker = scene.worker("worker", [("METRICS_LISTEN", address.clone())]);
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    (scene, worker, Counts { url: format!("http://{address}/metrics"), http })
}

/// The keys of the runtime: the ready list, the workers, and the processing lists of the living and the dead worker.
async fn keys(scene: &Scene, connection: &mut RedisPool) -> Vec<String> {
    let known = scene
        .company
        .wait("the worker to be on record", || {
            let mut connection = connection.clone();
            async move {
                let names: Vec<String> = connection.zrange(Queue::Provision.workers_key(), 0, -1).await.ok()?;
                names.first().cloned()
            }
        })
        .await;
    let received = format!("{}{known}", Queue::Provision.processing_prefix());
    let dead = Queue::Provision.processing_key(WorkerId::generate());
    vec![Queue::Provision.ready_key(), Queue::Provision.workers_key(), received, dead]
}

/// Replaces `key` with a value of `kind`.
fn replace(pipe: &mut redis::Pipeline, kind: &str, key: &str) {
    pipe.del(key);
    match kind {
        "string" => pipe.set(key, "not yours"),
        "hash" => pipe.hset(key, "not", "yours"),
        "set" => pipe.sadd(key, "not yours"),
        _ => pipe.zadd(key, "not yours", 1),
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_wrong_type_are_removed_and_due_work_starts() {
    let (scene, mut worker, counts) = scene().await;
    let mut connection = scene.company.lists.connection();
    let keys = keys(&scene, &mut connection).await;
    for (round, kind) in ["string", "hash", "set", "string"].into_iter().enumerate() {
        let running = if round == 3 { Some(scene.company.begin(node()).await) } else { None };
        let mut pipe = redis::pipe();
        pipe.atomic();
        keys.iter().for_each(|key| replace(&mut pipe, kind, key));
        let () = pipe.query_async(&mut connection).await.unwrap();
        let replaced = Clock::System.now();
        let id = scene.company.begin_silently(node()).await;
        let row = scene.company.succeeded(id).await;
        if let Some(running) = running {
            assert_eq!(scene.company.succeeded(running).await.starts, 1);
        } else {
            assert_soon(&format!("keys replaced by a {kind}"), replaced, row.started_at.unwrap());
        }
        scene
            .company
            .wait("no key of the wrong type to be left", || {
                let (mut connection, keys) = (connection.clone(), keys.clone());
                async move {
                    for (key, right) in keys.iter().zip(["list", "zset", "list", "list"]) {
                        let found: String = redis::cmd("TYPE").arg(key).query_async(&mut connection).await.ok()?;
                        if found != "none" && found != right {
                            return None;
                        }
                    }
                    Some(())
                }
            })
            .await;
    }
    assert!(worker.is_alive());
    // Ready list, workers and the list of the living worker: each was replaced four times.
    let removed = counts.of("zpack_queue_keys_removed_total").await;
    assert!((8..=16).contains(&removed), "{removed}");
    let words = scene.lines("worker");
    assert!(words.iter().any(|line| line.contains("of the wrong type")) && words.len() <= 40, "{}", words.join("\n"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_entries_and_ten_thousand_copies_are_dropped_and_one_job_runs() {
    let (scene, mut worker, counts) = scene().await;
    let mut connection = scene.company.lists.connection();
    keys(&scene, &mut connection).await;
    let ready = Queue::Provision.ready_key();
    let id = scene.company.begin_silently(node()).await;
    for _ in 0..2 {
        let () = connection.lpush(&ready, vec![id.to_string(); 10_000]).await.unwrap();
        let () = connection.lpush(&ready, &[OperationId::generate().to_string(), String::new()]).await.unwrap();
        let () = connection.lpush(&ready, vec![0xff_u8; 1024 * 1024]).await.unwrap();
        let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    }
    let () = connection.lpush(&ready, vec![id.to_string(); 10_000]).await.unwrap();
    let () = connection.lpush(&ready, &[OperationId::generate().to_string(), String::new()]).await.unwrap();
    let () = connection.lpush(&ready, vec![0xff_u8; 1024 * 1024]).await.unwrap();
    // The last entry is a valid one.
    let last = scene.company.begin(node()).await;
    for id in [id, last] {
        assert_eq!(scene.company.succeeded(id).await.starts, 1);
    }
    scene.company.wait("the list to be empty", || async { (scene.company.depth().await == 0).then_some(()) }).await;
    assert!(worker.is_alive());
    assert_eq!(scene.company.containers().await.len(), 2);
    assert!(scene.company.effects("clone").await.values().all(|&clones| clones == 1));
    scene
        .company
        .wait("the invalid entries to be counted", || async {
            (counts.of("zpack_queue_entries_dropped_total").await >= 2).then_some(())
        })
        .await;
    let words = scene.lines("worker");
    assert!(words.len() <= 40, "{} lines: {}", words.len(), words.join("\n"));
    worker.stop().await;
}
