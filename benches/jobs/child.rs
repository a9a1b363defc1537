//! The processes that run the measured workloads.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// zpack without the claim in SQL.
    Lists,
    /// zpack as it ships.
    Sql,
    BullMq,
}

impl System {
    pub const ALL: [Self; 3] = [Self::Lists, Self::BullMq, Self::Sql];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Lists => "zpack, no SQL",
            Self::Sql => "zpack",
            Self::BullMq => "BullMQ",
        }
    }
}

/// A running process. It is killed when this is dropped.
pub struct Work {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

/// What to run: the workload, the Redis, the number of jobs, and how many at a time or a second.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    pub system: System,
    pub work: &'a str,
    pub port: u16,
    pub jobs: usize,
    pub width: u32,
    pub database: &'a str,
}

impl Order<'_> {
    /// The command line of the process.
    pub fn command(&self) -> Vec<String> {
        let mut command = match self.system {
            System::BullMq => {
                vec!["node".to_owned(), bullmq().join("cell.mjs").display().to_string(), self.work.to_owned()]
            }
            System::Lists | System::Sql => {
                let program = std::env::current_exe().unwrap().display().to_string();
                vec![program, "cell".to_owned(), self.work.to_owned()]
            }
        };
        command.extend([self.port.to_string(), self.jobs.to_string(), self.width.to_string()]);
        if self.system == System::Sql {
            command.push(self.database.to_owned());
        }
        command
    }

    pub fn start(&self) -> Work {
        let command = self.command();
        let mut child = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Work { child, lines }
    }

    /// Runs it to the end and returns its result.
    pub fn finish(&self) -> Value {
        self.start().result()
    }
}

impl Work {
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
        assert!(self.child.wait().unwrap().success(), "a cell failed: {last}");
        serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {last}"))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory with the cells of BullMQ.
pub fn bullmq() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bullmq")
}
