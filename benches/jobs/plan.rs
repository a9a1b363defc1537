//! What is measured, and in which order.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::child::{Order, System};
use crate::figures::{Figures, percentile};
use crate::report::{Facts, write};
use crate::stores::{Postgres, Redis};
use crate::{machine, recovery};

/// The size of a run. Environment variables can make it smaller; a smaller run writes a report only to an explicit
/// directory.
pub struct Size {
    pub repeats: usize,
    /// The number of jobs of a drain at 10 and 100 at a time, and of an enqueue.
    pub jobs: usize,
    /// The same where each job is a row.
    pub rows: usize,
    /// How many seconds start latency is measured for.
    pub seconds: usize,
    /// Whether recovery from killed workers is measured.
    pub recovery: bool,
}

/// The number of jobs a second while start latency is measured.
pub const RATE: u32 = 200;

impl Size {
    fn from_environment() -> Self {
        let number = |name: &str, normal: usize| {
            std::env::var(name).ok().map_or(normal, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
        };
        Self {
            repeats: number("BENCH_REPEATS", 5),
            jobs: number("BENCH_JOBS", 20_000),
            rows: number("BENCH_ROWS", 1_500),
            seconds: number("BENCH_SECONDS", 8),
            recovery: number("BENCH_RECOVERY", 1) != 0,
        }
    }

    fn of(&self, system: System, width: u32) -> usize {
        let all = if system == System::Sql { self.rows } else { self.jobs };
        // One at a time takes several times as long.
        if width == 1 { all / 4 } else { all }
    }
}

struct Bench {
    redis: Redis,
    postgres: Postgres,
    database: String,
    size: Size,
    figures: Figures,
}

/// Measures everything and writes the report.
pub async fn run() {
    let size = Size::from_environment();
    let load = machine::load();
    let (redis, postgres) = (Redis::start().await, Postgres::start());
    let database = postgres.database("bench").await;
    let mut bench = Bench { redis, postgres, database, size, figures: Figures::default() };
    let mut loads = vec![load];
    for turn in 0..bench.size.repeats {
        println!("bench: repetition {} of {}", turn + 1, bench.size.repeats);
        // Each system runs first as often as it runs last, so that none always finds a warmer machine.
        let mut systems = System::ALL;
        if turn % 2 == 1 {
            systems.reverse();
        }
        for width in [1, 10, 100] {
            for system in systems {
                bench.enqueue_and_drain(system, width).await;
            }
        }
        for system in systems {
            bench.start_latency(system).await;
        }
        loads.push(machine::load());
    }
    if bench.size.recovery {
        println!("bench: kill -9, up to two minutes");
        for (system, seconds) in recovery::measure(&bench.postgres, bench.size.repeats).await {
            bench.figures.add("recovery", system, seconds);
        }
    }
    let facts =
        Facts { redis: bench.redis.version().await, postgres: bench.postgres.version().await, loads, size: bench.size };
    let folder = std::env::var("BENCH_OUT").unwrap_or_else(|_| "docs/benchmarks".to_owned());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let profile = bench.redis.port;
    write(&folder, &bench.figures, &facts, |system| profiled(system, profile, &bench.database));
    println!("bench: wrote {}", folder.join("jobs.md").display());
}

impl Bench {
    fn order<'a>(&'a self, system: System, work: &'a str, jobs: usize, width: u32) -> Order<'a> {
        Order { system, work, port: self.redis.port, jobs, width, database: &self.database }
    }

    async fn clear(&self, system: System) {
        self.redis.flush().await;
        if system == System::Sql {
            self.postgres.clear(&self.database).await;
        }
    }

    /// Fills the queue, then drains it `width` at a time.
    async fn enqueue_and_drain(&mut self, system: System, width: u32) {
        let jobs = self.size.of(system, width);
        self.clear(system).await;
        let empty = self.redis.reset().await;
        // The enqueue before the drain at 100 would repeat the one at 10.
        let writers = if width == 1 { 1 } else { 50 };
        let enqueued = self.order(system, "enqueue", jobs, writers).finish();
        let full = self.redis.work().await;
        let drained = self.order(system, "drain", jobs, width).finish();
        let after = self.redis.work().await;
        let count = jobs as f64;
        let mut add = |what: String, sample: f64| self.figures.add(&what, system, sample);
        if width != 100 {
            add(format!("enqueue {writers}"), count / seconds(&enqueued));
        }
        add(format!("drain {width}"), count / seconds(&drained));
        if width == 10 {
            add("bytes".to_owned(), (full.memory - empty.memory) / count);
            add("commands".to_owned(), after.commands() as f64 / count);
            let scripts = after.calls.iter().filter(|(name, _)| name.starts_with("eval")).map(|(_, calls)| *calls);
            add("scripts".to_owned(), scripts.sum::<u64>() as f64 / count);
            add("cpu".to_owned(), drained["cpu"].as_f64().unwrap() / count * 1e6);
            add("redis cpu".to_owned(), (after.cpu - full.cpu) / count * 1e6);
        }
    }

    /// Start latency at [`RATE`], with ten free slots.
    async fn start_latency(&mut self, system: System) {
        self.clear(system).await;
        let jobs = self.size.seconds * RATE as usize;
        let mut consumer = self.order(system, "consume", jobs, 10).start();
        consumer.says("ready");
        let before = self.redis.reset().await;
        let sent = self.order(system, "produce", jobs, RATE).finish();
        let consumed = consumer.result();
        let after = self.redis.work().await;
        let latencies = latencies(&sent, &consumed);
        // The first second is warm-up.
        for (from, mut samples) in latencies {
            let mut samples = samples.split_off(samples.len().min(RATE as usize));
            for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
                self.figures.add(&format!("{from} {name}"), system, percentile(&mut samples, share));
            }
        }
        let commands = after.commands().saturating_sub(before.commands()) as f64 / jobs as f64;
        self.figures.add("commands at rate", system, commands);
    }
}

fn seconds(result: &Value) -> f64 {
    result["seconds"].as_f64().unwrap()
}

/// Milliseconds to the start of each job, in the order of sending: from the enqueue call, and from the commit of the
/// row.
fn latencies(sent: &Value, consumed: &Value) -> Vec<(&'static str, Vec<f64>)> {
    let millis = |nanos: f64| nanos / 1e6;
    if let Some(latencies) = consumed["latencies"].as_array() {
        return vec![("start", latencies.iter().map(|nanos| millis(nanos.as_f64().unwrap())).collect())];
    }
    let started = consumed["started"].as_array().unwrap();
    let started: HashMap<&str, u64> =
        started.iter().map(|pair| (pair[0].as_str().unwrap(), pair[1].as_u64().unwrap())).collect();
    let from = |column: usize| {
        let sent = sent["sent"].as_array().unwrap().iter();
        sent.map(|row| millis(started[row[0].as_str().unwrap()] as f64 - row[column].as_u64().unwrap() as f64))
            .collect()
    };
    vec![("start", from(1)), ("start after commit", from(2))]
}

/// Where a drain at 10 spends its time, if `perf` is available.
fn profiled(system: System, port: u16, database: &str) -> Option<String> {
    let jobs = if system == System::Sql { 1_500 } else { 20_000 };
    let order = |work| Order { system, work, port, jobs, width: if work == "enqueue" { 50 } else { 10 }, database };
    order("enqueue").finish();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("perf.data").display().to_string();
    let drain = order("drain").command();
    let mut record = std::process::Command::new("perf");
    record.args(["record", "-q", "-F", "999", "-o", &data, "--"]).args(&drain);
    let recorded = record.output().is_ok_and(|output| output.status.success());
    if !recorded {
        order("drain").finish();
        return None;
    }
    let report = std::process::Command::new("perf")
        .args(["report", "-i", &data, "--stdio", "-q", "--percent-limit", "1", "--sort", "dso,symbol"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&report.stdout).into_owned();
    let words = |line: &str| line.split_whitespace().take_while(|word| *word != "-").collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = text.lines().map(words).filter(|line| !line.is_empty()).take(20).collect();
    Some(lines.join("\n"))
}
