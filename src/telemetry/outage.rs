//! Something that comes and goes: the log gets one line when it goes and one when it is back.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something answered last.
#[derive(Debug)]
pub struct Outage {
    what: Cow<'static, str>,
    lasts: AtomicBool,
}

impl Outage {
    /// `what` answers, as far as is known. The lines begin with it.
    pub fn of(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), lasts: AtomicBool::new(false) }
    }

    /// What the lines begin with.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// It failed.
    pub fn failed(&self, error: impl Display) {
        let what = &self.what;
        if self.lasts.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, "{what}: still failing: {error}");
        } else {
            tracing::warn!(%error, "{what}: failing: {error}");
        }
    }

    /// It works.
    pub fn works(&self) {
        if self.lasts.load(Ordering::Relaxed) && self.lasts.swap(false, Ordering::Relaxed) {
            tracing::info!("{}: works again", self.what);
        }
    }
}
