//! Named places where a test may kill, stop, break or hold this very process, to prove that nothing is lost there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// Between two looks at the file that holds a place.
const LOOK: Duration = Duration::from_millis(5);

/// At most one armed place, as `name[@n][=kill|stop|panic|wait:<file>]`: the n-th time the place is reached, the process kills
/// itself, stops until it is continued, panics there, or makes the file and holds the place until the file is removed.
/// Unarmed it costs a comparison. Roles read it from `ZPACK_FAILPOINT` and refuse it in production.
#[derive(Clone, Debug, Default)]
pub struct Failpoints {
    armed: Option<Arc<Armed>>,
}

#[derive(Debug)]
struct Armed {
    name: String,
    remaining: AtomicU32,
    action: Action,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Stop,
    Panic,
    Wait(PathBuf),
}

impl Failpoints {
    /// Reads `name[@n][=action]`; empty text arms nothing, and no action, or one that does not exist, is `kill`.
    pub fn parse(text: &str) -> Self {
        let (place, action) = text.split_once('=').unwrap_or((text, "kill"));
        let (name, nth) = match place.rsplit_once('@') {
            Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
            None => (place, 1),
        };
        let action = match (action, action.strip_prefix("wait:")) {
            (_, Some(file)) => Action::Wait(PathBuf::from(file)),
            ("stop", None) => Action::Stop,
            ("panic", None) => Action::Panic,
            (_, None) => Action::Kill,
        };
        let armed = Armed { name: name.to_owned(), remaining: AtomicU32::new(nth.max(1)), action };
        Self { armed: (!name.is_empty()).then(|| Arc::new(armed)) }
    }

    /// Does what is armed for the place `name`, when its turn has come.
    pub async fn hit(&self, name: &str) {
        let Some(armed) = &self.armed else { return };
        if armed.name != name || armed.remaining.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        match &armed.action {
            Action::Kill => {
                while kill_process(getpid(), Signal::KILL).is_ok() {
                    std::thread::park();
                }
            }
            Action::Stop => {
                if let Err(error) = kill_process(getpid(), Signal::STOP) {
                    tracing::error!(%error, "could not stop at {name}");
                }
                // The signal reaches this thread a moment after the one that took it.
                tokio::time::sleep(4 * LOOK).await;
            }
            #[expect(clippy::panic, reason = "what it is armed for; production refuses it")]
            Action::Panic => std::panic::panic_any(format!("the failpoint {name} was reached")),
            Action::Wait(file) => {
                if let Err(error) = tokio::fs::write(file, "").await {
                    tracing::error!(%error, "could not hold {name}: {}", file.display());
                }
                while tokio::fs::try_exists(file).await.unwrap_or(false) {
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, u32, Action) {
        let armed = Arc::try_unwrap(Failpoints::parse(text).armed.unwrap()).unwrap();
        (armed.name, armed.remaining.into_inner(), armed.action)
    }

    #[test]
    fn a_place_a_turn_and_an_action_are_read() {
        assert!(Failpoints::parse("").armed.is_none());
        assert_eq!(parsed("claimed"), ("claimed".to_owned(), 1, Action::Kill));
        assert_eq!(parsed("clone.done@3=stop"), ("clone.done".to_owned(), 3, Action::Stop));
        assert_eq!(parsed("task.retention=panic"), ("task.retention".to_owned(), 1, Action::Panic));
        assert_eq!(parsed("claimed=wait:/tmp/a@b=c"), ("claimed".to_owned(), 1, Action::Wait("/tmp/a@b=c".into())));
    }

    #[tokio::test]
    async fn a_held_place_goes_on_when_its_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("held");
        let failpoints = Failpoints::parse(&format!("claimed@2=wait:{}", file.display()));
        failpoints.hit("claimed").await;
        failpoints.hit("received").await;
        let held = tokio::spawn(async move { failpoints.hit("claimed").await });
        while !file.exists() {
            tokio::task::yield_now().await;
        }
        assert!(!held.is_finished());
        std::fs::remove_file(&file).unwrap();
        held.await.unwrap();
    }
}
