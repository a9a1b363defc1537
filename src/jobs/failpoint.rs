//! Named places where a test may kill this very process, to prove that nothing is lost there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// At most one armed place. Arm it with `name` or `name@n` (the n-th time the place is reached). Unarmed it costs a
/// comparison. Roles read it from `ZPACK_FAILPOINT` and refuse it in production.
#[derive(Clone, Debug, Default)]
pub struct Failpoints {
    armed: Option<Arc<Armed>>,
}

#[derive(Debug)]
struct Armed {
    name: String,
    remaining: AtomicU32,
}

impl Failpoints {
    /// Reads `name` or `name@n`; empty text arms nothing.
    pub fn parse(text: &str) -> Self {
        let (name, nth) = match text.rsplit_once('@') {
            Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
            None => (text, 1),
        };
        let armed = Armed { name: name.to_owned(), remaining: AtomicU32::new(nth.max(1)) };
        Self { armed: (!name.is_empty()).then(|| Arc::new(armed)) }
    }

    /// Ends the process as `kill -9` would, when the place `name` is armed and its turn has come.
    pub fn hit(&self, name: &str) {
        let Some(armed) = &self.armed else { return };
        if armed.name == name && armed.remaining.fetch_sub(1, Ordering::SeqCst) == 1 {
            let signal = rustix::process::Signal::KILL;
            while rustix::process::kill_process(rustix::process::getpid(), signal).is_ok() {
                std::thread::park();
            }
        }
    }
}
