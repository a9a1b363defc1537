//! Failpoints: named places in the code at which a test can kill, stop, panic or hold this process, to prove that
//! nothing is lost there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// The interval at which the file of a held failpoint is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// At most one armed failpoint, written `name[@n][=kill|stop|panic|wait:<file>]`: when it is reached for the n-th time,
/// the process kills itself, stops until it is continued, panics, or creates the file and waits until the file is
/// removed. Without an armed failpoint a hit costs one comparison. Roles read it from `ZPACK_FAILPOINT` and refuse it
/// in production.
#[derive(Clone, Debug, Default)]
pub struct Failpoints {
    armed: Option<Arc<Armed>>,
}

#[derive(Debug)]
struct Armed {
    name: String,
    remaining: AtomicU32,
    action: FailpointAction,
}

#[derive(Debug, PartialEq, Eq)]
enum FailpointAction {
    Kill,
    Stop,
    Panic,
    Wait(PathBuf),
}

impl Failpoints {
    /// Parses `name[@n][=action]`. An empty text arms nothing; a missing or unknown action means `kill`.
    pub fn parse(text: &str) -> Self {
        let (place, action) = text.split_once('=').unwrap_or((text, "kill"));
        let (name, nth) = match place.rsplit_once('@') {
            Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
            None => (place, 1),
        };
        let action = match (action, action.strip_prefix("wait:")) {
            (_, Some(file)) => FailpointAction::Wait(PathBuf::from(file)),
            ("stop", None) => FailpointAction::Stop,
            ("panic", None) => FailpointAction::Panic,
            (_, None) => FailpointAction::Kill,
        };
        let armed = Armed { name: name.to_owned(), remaining: AtomicU32::new(nth.max(1)), action };
        Self { armed: (!name.is_empty()).then(|| Arc::new(armed)) }
    }

    /// Performs the armed action if the armed failpoint is `name` and its n-th hit is reached.
    pub async fn hit(&self, name: &str) {
        let Some(armed) = &self.armed else { return };
        if armed.name != name || armed.remaining.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        match &armed.action {
            FailpointAction::Kill => {
                while kill_process(getpid(), Signal::KILL).is_ok() {
                    std::thread::park();
                }
            }
            FailpointAction::Stop => {
                if let Err(error) = kill_process(getpid(), Signal::STOP) {
                    tracing::error!(%error, "could not stop at {name}");
                }
                // The signal stops this thread slightly later than the thread that received it.
                tokio::time::sleep(4 * POLL_INTERVAL).await;
            }
            #[expect(clippy::panic, reason = "the armed action; production refuses it")]
            FailpointAction::Panic => std::panic::panic_any(format!("the failpoint {name} was reached")),
            FailpointAction::Wait(file) => {
                if let Err(error) = tokio::fs::write(file, "").await {
                    tracing::error!(%error, "could not hold {name}: {}", file.display());
                }
                while tokio::fs::try_exists(file).await.unwrap_or(false) {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, u32, FailpointAction) {
        let armed = Arc::try_unwrap(Failpoints::parse(text).armed.unwrap()).unwrap();
        (armed.name, armed.remaining.into_inner(), armed.action)
    }

    #[test]
    fn a_failpoint_is_parsed_with_its_count_and_action() {
        assert!(Failpoints::parse("").armed.is_none());
        assert_eq!(parsed("claimed"), ("claimed".to_owned(), 1, FailpointAction::Kill));
        assert_eq!(parsed("clone.done@3=stop"), ("clone.done".to_owned(), 3, FailpointAction::Stop));
        assert_eq!(parsed("task.retention=panic"), ("task.retention".to_owned(), 1, FailpointAction::Panic));
        assert_eq!(
            parsed("claimed=wait:/tmp/a@b=c"),
            ("claimed".to_owned(), 1, FailpointAction::Wait("/tmp/a@b=c".into()))
        );
    }

    #[tokio::test]
    async fn a_held_failpoint_continues_when_its_file_is_removed() {
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
