//! The report, docs/benchmarks/jobs.md, and a file with every sample beside it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::child::{System, bullmq};
use crate::figures::{Contender as _, Figures, Spread};
use crate::machine;
use crate::plan::{RATE, Size};

/// The circumstances of the run.
pub struct Facts {
    pub redis: String,
    pub postgres: String,
    /// The load average before the run and after each repetition.
    pub loads: Vec<f64>,
    pub size: Size,
}

/// A row of a table: title, figure, decimal places, and whether a larger value is better.
type Row = (&'static str, &'static str, usize, bool);

const THROUGHPUT: &[Row] = &[
    ("enqueue, 1 in flight", "enqueue 1", 0, true),
    ("enqueue, 50 in flight", "enqueue 50", 0, true),
    ("drain, 1 at a time", "drain 1", 0, true),
    ("drain, 10 at a time", "drain 10", 0, true),
    ("drain, 100 at a time", "drain 100", 0, true),
];

const LATENCY: &[Row] = &[
    ("p50", "start p50", 2, false),
    ("p99", "start p99", 2, false),
    ("p99.9", "start p99.9", 2, false),
    ("max", "start max", 2, false),
    ("p50 after the commit of the row", "start after commit p50", 2, false),
    ("p99 after the commit of the row", "start after commit p99", 2, false),
];

const COST: &[Row] = &[
    ("Redis bytes per waiting job", "bytes", 0, false),
    ("Redis commands per job, drain at 10", "commands", 2, false),
    ("of them script calls", "scripts", 2, false),
    ("Redis commands per job at the rate", "commands at rate", 2, false),
    ("CPU of the worker process, ms per 1000 jobs", "cpu", 1, false),
    ("CPU of Redis, ms per 1000 jobs", "redis cpu", 1, false),
];

const RECOVERY: &[Row] = &[("seconds to the second start", "recovery", 1, false)];

/// A bound that a figure has to meet.
struct Gate {
    what: &'static str,
    system: System,
    bound: f64,
    value: Option<f64>,
    at_least: bool,
}

impl Gate {
    fn is_met(&self) -> bool {
        self.value.is_some_and(|value| if self.at_least { value >= self.bound } else { value <= self.bound })
    }
}

fn gates(figures: &Figures) -> Vec<Gate> {
    use System::{BullMq, Lists, Sql};
    let drain = |system| figures.median("drain 10", system);
    let ratio = drain(Lists).zip(drain(BullMq)).map(|(ours, theirs)| ours / theirs);
    let most = |what, system, figure: &str, bound| {
        let value = figures.median(figure, system);
        Gate { what, system, bound, value, at_least: false }
    };
    vec![
        Gate { what: "drain 10 at a time, times BullMQ", system: Lists, bound: 3.0, value: ratio, at_least: true },
        most("p99 start latency, ms", Lists, "start p99", 1.0),
        most("p99 start latency, ms", Sql, "start p99", 10.0),
        most("Redis bytes per waiting job", Lists, "bytes", 64.0),
        most("Redis commands per job, drain", Lists, "commands", 4.0),
        most("Redis commands per job at the rate", Lists, "commands at rate", 4.0),
    ]
}

/// Writes the report and the samples to `folder`. Calls `profile` for each system that misses a gate.
pub fn write(folder: &Path, figures: &Figures, facts: &Facts, profile: impl Fn(System) -> Option<String>) {
    let mut text = String::new();
    head(&mut text, facts);
    let gates = gates(figures);
    gate_table(&mut text, &gates);
    let size = &facts.size;
    table(&mut text, "Jobs a second", figures, THROUGHPUT);
    let latency = format!("Start latency at {RATE} jobs a second, ms");
    table(&mut text, &latency, figures, LATENCY);
    table(&mut text, "Cost of a job", figures, COST);
    if size.recovery {
        table(&mut text, "Recovery after `kill -9` of the worker that ran the job", figures, RECOVERY);
    }
    let mut missed: Vec<_> = gates.iter().filter(|gate| !gate.is_met()).map(|gate| gate.system).collect();
    missed.sort();
    missed.dedup();
    for system in missed {
        let profile = profile(system).unwrap_or_else(|| "`perf` is not installed or not allowed.".to_owned());
        let title = format!("Where a drain of {} spends its time", system.name());
        let _ = write!(
            text,
            "\n## {title}\n\nSelf time of the worker process, from `perf record`.\n\n```\n{profile}\n```\n"
        );
    }
    std::fs::write(folder.join("jobs.md"), text).unwrap();
    let samples = serde_json::to_string_pretty(&json!({ "loads": facts.loads, "samples": figures.json() })).unwrap();
    std::fs::write(folder.join("jobs.json"), samples + "\n").unwrap();
}

fn head(text: &mut String, facts: &Facts) {
    let Size { repeats, jobs, rows, seconds, .. } = facts.size;
    let commit = machine::ask("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed =
        machine::ask("git", &["status", "--porcelain", "--untracked-files=no", "src", "benches", "Cargo.lock"]);
    let changed = if changed == "unknown" { "" } else { ", with changes" };
    let loads: Vec<_> = facts.loads.iter().map(|load| format!("{load:.1}")).collect();
    let _ = write!(
        text,
        "# The job runtime, measured\n\n\
         Written by `make bench`; do not edit. [README.md](README.md) explains what each figure is and how to read it.\n\n\
         | | |\n|---|---|\n\
         | Day | {day} |\n\
         | Commit | {commit}{changed} |\n\
         | Machine | {machine} |\n\
         | Load average before the run and after each repetition | {loads} |\n\
         | Redis | {redis}, append-only file synced every second |\n\
         | PostgreSQL | {postgres}, default durability |\n\
         | BullMQ | {bullmq} on Node.js {node}, ioredis {ioredis} |\n\
         | zpack | release build, {rustc} |\n\
         | Size | {repeats} repetitions; {jobs} jobs, {rows} with SQL, a quarter of it one at a time; {seconds} s of \
         start latency |\n",
        day = machine::ask("date", &["-u", "+%Y-%m-%d"]),
        machine = machine::describe(),
        loads = loads.join(", "),
        redis = facts.redis,
        postgres = facts.postgres,
        bullmq = machine::node_package(&bullmq(), "bullmq"),
        node = machine::ask("node", &["--version"]),
        ioredis = machine::node_package(&bullmq(), "ioredis"),
        rustc = machine::ask("rustc", &["--version"]),
    );
}

fn gate_table(text: &mut String, gates: &[Gate]) {
    text.push_str("\n## Gates\n\nBy the medians.\n\n| What | For | Bound | Here | |\n|---|---|---|---|---|\n");
    for gate in gates {
        let relation = if gate.at_least { "at least" } else { "at most" };
        let value = gate.value.map_or("not measured".to_owned(), |value| format!("{value:.2}"));
        let verdict = if gate.is_met() { "met" } else { "**missed**" };
        let (what, system, bound) = (gate.what, gate.system.name(), gate.bound);
        let _ = writeln!(text, "| {what} | {system} | {relation} {bound} | {value} | {verdict} |");
    }
}

fn table(text: &mut String, title: &str, figures: &Figures, rows: &[Row]) {
    let _ = write!(
        text,
        "\n## {title}\n\nMedian (least to most).\n\n\
         | | zpack, no SQL | BullMQ | zpack | no SQL beside BullMQ | zpack beside BullMQ |\n|---|---|---|---|---|---|\n"
    );
    for (title, figure, digits, larger_is_better) in rows {
        let cell = |system| figures.spread(figure, system).map_or("-".to_owned(), |spread| show(spread, *digits));
        let beside = |system| {
            let pair = figures.median(figure, system).zip(figures.median(figure, System::BullMq));
            let factor = pair.map(|(ours, theirs)| if *larger_is_better { ours / theirs } else { theirs / ours });
            let better = factor.filter(|factor| factor.is_finite() && *factor > 0.0);
            better.map_or("-".to_owned(), |factor| format!("{factor:.2} times as good"))
        };
        let [lists, bullmq, sql] = System::ALL.map(cell);
        let (lists_factor, sql_factor) = (beside(System::Lists), beside(System::Sql));
        let _ = writeln!(text, "| {title} | {lists} | {bullmq} | {sql} | {lists_factor} | {sql_factor} |");
    }
}

fn show(spread: Spread, digits: usize) -> String {
    let Spread { median, least, most } = spread;
    format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
}
