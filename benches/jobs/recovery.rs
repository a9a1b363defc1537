//! How long a job waits for another worker after `kill -9` of its own, with the default settings of both systems.

use std::time::Instant;

use crate::child::{Order, System};
use crate::stores::{Postgres, Redis};

/// Seconds from the kill to the second start, for `times` workers of each system. They run at the same time, because
/// they mostly wait.
pub async fn measure(postgres: &Postgres, times: usize) -> Vec<(System, f64)> {
    let mut cases = Vec::new();
    for turn in 0..times {
        let database = postgres.database(&format!("recovery_{turn}")).await;
        for system in [System::Sql, System::BullMq] {
            cases.push((system, database.clone()));
        }
    }
    let mut waits = Vec::new();
    for (system, database) in cases {
        // One Redis for each worker, because only one worker may receive the job.
        let redis = Redis::start().await;
        waits.push(tokio::task::spawn_blocking(move || {
            let seconds = kill_and_wait(system, redis.port, &database);
            drop(redis);
            (system, seconds)
        }));
    }
    let mut seconds = Vec::new();
    for wait in waits {
        seconds.push(wait.await.unwrap());
    }
    seconds
}

fn kill_and_wait(system: System, port: u16, database: &str) -> f64 {
    let order = |work| Order { system, work, port, jobs: 1, width: 1, database };
    let mut first = order("hold").start();
    first.says("ready");
    order("enqueue").finish();
    first.says("started");
    let mut second = order("hold").start();
    second.says("ready");
    let killed = Instant::now();
    drop(first);
    second.says("started");
    killed.elapsed().as_secs_f64()
}
