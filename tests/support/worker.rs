//! Workers that run in the test process.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpack::db;
use zpack::jobs::{Connect, Worker, WorkerDeps};
use zpack::kernel::Secret;

/// A worker that runs until it is stopped or dropped.
pub struct RunningWorker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RunningWorker {
    /// Starts one.
    pub fn start(deps: WorkerDeps) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { Worker::new(deps).run(stop).await.unwrap() }
        });
        Self { stop, task }
    }

    /// Stops it and waits for the end of its drain.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// How the renewer of a worker opens its separate connection to the database at `url`.
pub fn renewer_connection(url: &str) -> Connect {
    let url = url.to_owned();
    Arc::new(move || {
        let url = Secret::new(&url);
        async move { Ok(db::connect(&url, 1).await.unwrap()) }.boxed()
    })
}
