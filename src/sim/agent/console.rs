//! The console of a workload: the last thousand lines, numbered.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kernel::{Timestamp, text_enum};
use crate::sim::ring::Ring;

/// The lines kept, and the most that one answer shows.
pub const CAPACITY: usize = 1000;

text_enum! {
    /// Where a line came from.
    pub enum Stream {
        /// The workload's output.
        Stdout = "stdout",
        /// Commands that were entered.
        Stdin = "stdin",
        /// The agent itself.
        System = "system",
    }
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    seq: u64,
    ts: Timestamp,
    stream: Stream,
    text: String,
}

/// The history of one console.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Console {
    next: u64,
    lines: Ring<Line, CAPACITY>,
}

impl Console {
    /// Adds a line.
    pub fn push(&mut self, ts: Timestamp, stream: Stream, text: impl Into<String>) {
        self.lines.push(Line { seq: self.next, ts, stream, text: text.into() });
        self.next += 1;
    }

    /// With `after`, the `count` oldest lines after that number, to continue reading; without it, the `count` newest.
    pub fn history(&self, count: usize, after: Option<u64>) -> Value {
        let lines: Vec<&Line> = match after {
            Some(seq) => self.lines.iter().filter(|line| line.seq > seq).take(count).collect(),
            None => self.lines.iter().skip(self.lines.len().saturating_sub(count)).collect(),
        };
        let next = lines.last().map(|line| line.seq).or(after).or(self.next.checked_sub(1));
        json!({"lines": lines, "next": next})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded_and_can_be_continued() {
        let mut console = Console::default();
        for number in 0..1500 {
            console.push(Timestamp::from_millis(number), Stream::Stdout, format!("line {number}"));
        }
        let newest = console.history(2, None);
        assert_eq!(newest["lines"][0]["text"], "line 1498");
        assert_eq!(newest["next"], 1499);
        let read_on = console.history(10, Some(1490));
        assert_eq!(read_on["lines"].as_array().unwrap().len(), 9);
        assert_eq!(console.history(1000, Some(0))["lines"][0]["seq"], 500);
        assert_eq!(console.history(5, Some(1499)), json!({"lines": [], "next": 1499}));
    }
}
