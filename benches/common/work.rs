//! A process that runs a workload and prints its result.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A running process. It is killed when this is dropped.
pub struct Work {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Work {
    /// Starts `command`, a program with its arguments.
    pub fn start(command: &[String]) -> Self {
        let mut child = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until the process prints `word`.
    pub fn says(&mut self, word: &str) {
        loop {
            let line = self.lines.next().expect("the process is still running").unwrap();
            if line == word {
                return;
            }
            eprintln!("bench: {line}");
        }
    }

    /// The result on its last line.
    pub fn result(mut self) -> Value {
        let last = self.lines.by_ref().map(Result::unwrap).last().expect("a result");
        assert!(self.child.wait().unwrap().success(), "a workload failed: {last}");
        serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {last}"))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
