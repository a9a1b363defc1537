//! The processes that run the measured workloads.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::figures::Contender;
use crate::work::Work;

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
}

impl Contender for System {
    fn name(self) -> &'static str {
        match self {
            Self::Lists => "zpack, no SQL",
            Self::Sql => "zpack",
            Self::BullMq => "BullMQ",
        }
    }
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
        Work::start(&self.command())
    }

    /// Runs it to the end and returns its result.
    pub fn finish(&self) -> Value {
        self.start().result()
    }
}

/// The directory with the cells of BullMQ.
pub fn bullmq() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bullmq")
}
