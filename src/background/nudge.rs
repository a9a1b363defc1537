//! Asks a task for a pass now.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::Notify;

/// Asks one task for a pass now. Cheap to clone, and harmless when the task has ended.
#[derive(Clone, Debug, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Ends the wait of the task. Any number of nudges during a pass make one more pass after it.
    pub fn nudge(&self) {
        self.0.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.0.notified().await;
    }

    /// Forgets what was asked for until now: the pass that begins answers it.
    pub(super) fn answered(&self) {
        let _ = self.0.notified().now_or_never();
    }
}
