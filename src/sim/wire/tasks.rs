//! The tasks of a listener: they end with it, however it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks that end with their [`Tasks`].
#[derive(Clone, Debug, Default)]
pub struct Spawner {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Spawner {
    /// Starts `task`; it is dropped when its listener closes.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// The tasks of one listener. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Tasks(Spawner);

impl Tasks {
    /// Serves the connections of `listener`, each in its own task and at most `most` at a time.
    pub fn accepting<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        most: usize,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        Self::running(async move |spawner| {
            let slots = Arc::new(Semaphore::new(most));
            loop {
                let slot = slots.clone().acquire_owned().await;
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let serving = serve(stream);
                        spawner.spawn(async move {
                            let _slot = slot;
                            serving.await;
                        });
                    }
                    // Out of file descriptors, or the client disconnected before it was accepted.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
    }

    /// Runs a listener of another kind, which starts its own tasks.
    pub fn running<F: Future<Output = ()> + Send + 'static>(listener: impl FnOnce(Spawner) -> F) -> Self {
        let tasks = Self::default();
        tasks.0.spawn(listener(tasks.0.clone()));
        tasks
    }

    /// Ends them and waits until they have ended; then the port is free.
    pub async fn stop(self) {
        self.0.stop.cancel();
        self.0.tracker.close();
        self.0.tracker.wait().await;
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}
