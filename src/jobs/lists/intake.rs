//! Receives ids from the ready list, as many as there are free places, and passes each to a [`Handler`]. The handler of
//! a worker claims the row in SQL.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::jobs::failpoint::Failpoints;
use crate::jobs::lane::Lane;
use crate::jobs::run::inflight::InFlight;
use crate::kernel::{Backoff, Clock, OperationId};
use crate::telemetry::caught;

use super::acks::Acks;
use super::commands::PAGE;
use super::receiver::Receiver;

/// The backoff while the database or Redis is unavailable: work continues within five seconds after it is back.
pub(in crate::jobs) const DATABASE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(3));

/// The result of handling a received id, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handled {
    /// It is handled: acknowledge it.
    Done,
    /// Every slot is taken: hand it back, and receive again once one is free.
    NoSlot,
    /// The database did not answer: hand it back, and wait.
    Unavailable,
}

/// Handles the ids that an [`Intake`] receives.
pub trait Handler: Send + Sync + 'static {
    /// Handles one received id.
    fn handle(&self, id: OperationId) -> impl Future<Output = Handled> + Send;

    /// Whether to receive again after `handled`; called repeatedly, with `attempt` counted from 0.
    fn is_ready(&self, handled: Handled, attempt: u32) -> impl Future<Output = bool> + Send;
}

/// The receiving side of one worker, without its claims.
pub struct Intake {
    /// The queue and the connection.
    pub lane: Lane,
    /// How many ids are handled at the same time.
    pub concurrency: u32,
    /// How long to wait for ids that are being handled when the worker stops.
    pub drain: Duration,
    /// The clock of the process.
    pub clock: Clock,
    /// Places where tests kill, stop or hold the process.
    pub failpoints: Failpoints,
}

impl Intake {
    /// Receives ids and has them handled until `stop` fires. Then hands back those that no handler has begun, and waits
    /// for the others up to the drain timeout.
    pub async fn run(self, handler: impl Handler, stop: &CancellationToken) {
        self.run_with(&InFlight::default(), Arc::new(handler), stop).await;
    }

    pub(in crate::jobs) async fn run_with<H: Handler>(
        self,
        inflight: &InFlight,
        handler: Arc<H>,
        stop: &CancellationToken,
    ) {
        let acks = Arc::new(Acks::new(self.lane.clone(), inflight.clone(), self.failpoints.clone()));
        let sent = CancellationToken::new();
        let sender = tokio::spawn({
            let (acks, sent) = (acks.clone(), sent.clone());
            async move { acks.send_until(&sent).await }
        });
        let drain = self.drain;
        let queue = self.lane.queue;
        let running = Running { intake: Arc::new(self), inflight: inflight.clone(), acks: acks.clone(), handler };
        let jobs = TaskTracker::new();
        running.receive(stop, &jobs).await;
        acks.receiver_is_away();
        jobs.close();
        if tokio::time::timeout(drain, jobs.wait()).await.is_err() {
            tracing::warn!(%queue, "stopped with jobs still running; other workers will recover them");
        }
        sent.cancel();
        if let Err(error) = sender.await {
            tracing::debug!(%error, "the last acknowledgements may be missing");
        }
    }
}

struct Running<H> {
    intake: Arc<Intake>,
    inflight: InFlight,
    acks: Arc<Acks>,
    handler: Arc<H>,
}

impl<H> Clone for Running<H> {
    fn clone(&self) -> Self {
        Self {
            intake: self.intake.clone(),
            inflight: self.inflight.clone(),
            acks: self.acks.clone(),
            handler: self.handler.clone(),
        }
    }
}

impl<H: Handler> Running<H> {
    async fn receive(&self, stop: &CancellationToken, jobs: &TaskTracker) {
        let intake = &self.intake;
        let mut receiver = Receiver::new(intake.lane.clone(), self.inflight.clone(), self.acks.clone());
        self.wake_on_stop(stop, &receiver);
        let places = Arc::new(Semaphore::new(intake.concurrency.max(1) as usize));
        let (report, mut reports) = mpsc::unbounded_channel();
        while !stop.is_cancelled() {
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = places.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            // Other jobs that end now free their places too, so that one command receives for all of them.
            tokio::task::yield_now().await;
            if let Some(worst) = std::iter::from_fn(|| reports.try_recv().ok()).max() {
                self.pause_after(worst, stop).await;
            }
            let mut free = vec![place];
            while free.len() < PAGE
                && let Ok(place) = places.clone().try_acquire_owned()
            {
                free.push(place);
            }
            let ids = receiver.next(free.len()).await;
            if !receiver.is_failing() {
                intake.lane.metrics.receiving(intake.clock.now());
            }
            if stop.is_cancelled() {
                for id in ids {
                    self.hand_back(id).await;
                }
                break;
            }
            for (id, place) in ids.into_iter().zip(free) {
                let (running, report) = (self.clone(), report.clone());
                jobs.spawn(async move {
                    let handled = running.handle_safely(id).await;
                    if handled != Handled::Done {
                        // The receive loop may have ended.
                        let _ = report.send(handled);
                    }
                    drop(place);
                });
            }
        }
        for id in receiver.take_backlog() {
            self.hand_back(id).await;
        }
    }

    /// Catches a panic of the runtime itself, outside a job, so that the id returns to the ready list.
    async fn handle_safely(&self, id: OperationId) -> Handled {
        match caught(self.handle(id)).await {
            Ok(handled) => handled,
            Err(panicked) => {
                tracing::error!(operation.id = %id, "the handling of {id} panicked: {panicked}");
                self.hand_back(id).await;
                Handled::Unavailable
            }
        }
    }

    async fn handle(&self, id: OperationId) -> Handled {
        let handled = self.handler.handle(id).await;
        match handled {
            Handled::Done => self.acks.done(id),
            Handled::NoSlot | Handled::Unavailable => self.hand_back(id).await,
        }
        handled
    }

    async fn hand_back(&self, id: OperationId) {
        let Lane { lists, queue, worker, .. } = &self.intake.lane;
        if let Err(error) = lists.hand_back(*queue, *worker, id).await {
            tracing::debug!(operation.id = %id, %error, "could not hand {id} back; the sweeper will offer it");
        }
        self.inflight.release(id);
    }

    fn wake_on_stop(&self, stop: &CancellationToken, receiver: &Receiver) {
        let (lists, stop, connection) = (self.intake.lane.lists.clone(), stop.clone(), receiver.connection_id());
        tokio::spawn(async move {
            stop.cancelled().await;
            let id = connection.load(Ordering::SeqCst);
            if id != 0 {
                // If this fails, the receiver returns at the end of its block time.
                let _ = lists.unblock(id).await;
            }
        });
    }

    /// Waits until the handler is ready for more ids.
    async fn pause_after(&self, handled: Handled, stop: &CancellationToken) {
        self.acks.receiver_is_away();
        for attempt in 0.. {
            self.intake.lane.metrics.receiving(self.intake.clock.now());
            if self.handler.is_ready(handled, attempt).await {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(DATABASE_BACKOFF.jittered(attempt.min(4))) => {}
            }
        }
    }
}
