//! Requests a pass of a task without waiting for its schedule.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Notify;

/// Requests a pass of one task now. Cheap to clone; has no effect when the task has ended.
#[derive(Clone, Debug, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Ends the wait of the task. Any number of nudges during a pass cause exactly one more pass after it.
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    pub(super) async fn requested(&self) {
        self.0.notified().await;
    }

    /// Discards the requests made so far: the pass that begins now serves them.
    pub(super) fn clear(&self) {
        let _ = self.0.notified().now_or_never();
    }
}
