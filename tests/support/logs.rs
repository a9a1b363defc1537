//! Collects what is logged during a test.

use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Level};
use tracing_subscriber::fmt::MakeWriter;

/// Collects the events of a test's thread, at every level.
pub struct Logs {
    lines: Lines,
    listening: DefaultGuard,
    /// Without a second subscriber, an event that a thread without one reaches first would be disabled for all.
    _other: Dispatch,
}

impl Logs {
    /// Collects from now on. Events of other threads are not included.
    pub fn of_this_thread() -> Self {
        let (lines, other) = (Lines::default(), Dispatch::new(NoSubscriber::default()));
        let everything = tracing_subscriber::fmt().with_ansi(false).with_max_level(Level::TRACE);
        let listening = tracing::subscriber::set_default(everything.with_writer(lines.clone()).finish());
        Self { lines, listening, _other: other }
    }

    /// The lines so far that contain `words`.
    pub fn with(&self, words: &str) -> Vec<String> {
        self.lines.text().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// Stops collecting and returns everything that was logged.
    pub fn end(self) -> String {
        drop(self.listening);
        self.lines.text()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
