//! Logs an outage once when it begins and once when it ends.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state of a peer, a store or a task: whether its last attempt failed.
#[derive(Debug)]
pub struct Outage {
    what: Cow<'static, str>,
    lasts: AtomicBool,
}

impl Outage {
    /// Starts without an outage of `what`, with which the log lines begin.
    pub fn of(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), lasts: AtomicBool::new(false) }
    }

    /// The beginning of the log lines.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Records a failure; logs a warning if it begins an outage.
    pub fn failed(&self, error: impl Display) {
        let what = &self.what;
        if self.lasts.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "{what}: still failing: {error}");
        } else {
            tracing::warn!(%error, "{what}: failing: {error}");
        }
    }

    /// Records a success; logs it if it ends an outage.
    pub fn works(&self) {
        if self.lasts.load(Ordering::Relaxed) && self.lasts.swap(false, Ordering::Relaxed) {
            tracing::info!("{}: works again", self.what);
        }
    }
}
