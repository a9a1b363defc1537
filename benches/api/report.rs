//! The report, docs/benchmarks/api.md, and a file with every sample beside it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::figures::{Contender as _, Figures, Spread};
use crate::machine;
use crate::plan::Size;
use crate::poller;
use crate::routes::Route;
use crate::systems::{System, predecessor};

/// The circumstances of the run.
pub struct Facts {
    pub redis: String,
    pub postgres: String,
    /// The load average before the run, after each repetition and at the end.
    pub loads: Vec<f64>,
    pub size: Size,
}

/// A row of a table: title, figure, decimal places, and whether a larger value is better.
type Row = (&'static str, &'static str, usize, bool);

const ROWS: &[Row] = &[
    ("requests a second", "throughput", 0, true),
    ("p50, ms", "p50", 2, false),
    ("p99, ms", "p99", 2, false),
    ("CPU of the server, µs a request", "cpu", 0, false),
    ("CPU of PostgreSQL, µs a request", "database cpu", 0, false),
    ("Redis commands a request", "redis commands", 2, false),
];

/// A bound that a figure has to meet.
pub struct Gate {
    pub what: String,
    pub bound: f64,
    pub value: Option<f64>,
    pub at_least: bool,
}

impl Gate {
    fn is_met(&self) -> bool {
        self.value.is_some_and(|value| if self.at_least { value >= self.bound } else { value <= self.bound })
    }
}

fn gates(figures: &Figures) -> Vec<Gate> {
    let median = |route: Route, what: &str, system| figures.median(&format!("{} {what}", route.name()), system);
    let beside = |route: Route, bound| {
        let of = |system| median(route, "throughput", system);
        let value = of(System::Zpack).zip(of(System::Predecessor)).map(|(ours, theirs)| ours / theirs);
        Gate { what: format!("{}, times the predecessor", route.name()), bound, value, at_least: true }
    };
    let most = |what: &str, value, bound| Gate { what: what.to_owned(), bound, value, at_least: false };
    let memory = |what| figures.median(what, System::Zpack);
    vec![
        beside(Route::Me, 8.0),
        beside(Route::Servers, 12.0),
        most("GET /api/servers, Redis commands", median(Route::Servers, "redis commands", System::Zpack), 1.0),
        most("idle memory, MiB", memory("idle memory"), 60.0),
        most("memory after logins, MiB", memory("memory after logins"), 100.0),
    ]
}

/// Writes the report and the samples to `folder`.
pub fn write(folder: &Path, figures: &Figures, facts: &Facts, profile: Option<String>) {
    let mut text = String::new();
    head(&mut text, facts);
    let all: Vec<Gate> = gates(figures).into_iter().chain(poller::gates(figures)).collect();
    gate_table(&mut text, &all);
    for route in Route::ALL {
        table(&mut text, route, figures);
    }
    memory(&mut text, figures, facts);
    poller::section(&mut text, figures, facts.size.servers);
    let profile = profile.unwrap_or_else(|| "`perf` is not installed or not allowed.".to_owned());
    let _ = write!(
        text,
        "\n## Where `{}` spends its time\n\nSelf time of the server process, from `perf record`.\n\n```\n{profile}\n```\n",
        Route::Servers.name()
    );
    std::fs::write(folder.join("api.md"), text).unwrap();
    let samples = serde_json::to_string_pretty(&json!({ "loads": facts.loads, "samples": figures.json() })).unwrap();
    std::fs::write(folder.join("api.json"), samples + "\n").unwrap();
}

fn head(text: &mut String, facts: &Facts) {
    let Size { repeats, seconds, connections, servers, operations, .. } = facts.size;
    let commit = machine::ask("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed =
        machine::ask("git", &["status", "--porcelain", "--untracked-files=no", "src", "benches", "Cargo.lock"]);
    let changed = if changed == "unknown" { "" } else { ", with changes" };
    let loads: Vec<_> = facts.loads.iter().map(|load| format!("{load:.1}")).collect();
    let package = |name| machine::node_package(&predecessor(), name);
    let _ = write!(
        text,
        "# The HTTP API, measured\n\n\
         Written by `make bench-api`; do not edit. [README.md](README.md) explains what each figure is and how to read \
         it.\n\n\
         | | |\n|---|---|\n\
         | Day | {day} |\n\
         | Commit | {commit}{changed} |\n\
         | Machine | {machine} |\n\
         | Load average before the run, after each repetition and at the end | {loads} |\n\
         | Redis | {redis}, append-only file synced every second |\n\
         | PostgreSQL | {postgres}, default durability |\n\
         | Predecessor | a stand-in: Express {express} and Prisma {prisma} on Node.js {node} |\n\
         | zpack | release build, {rustc} |\n\
         | Size | {repeats} repetitions of {seconds} s with {connections} connections; {servers} servers, {operations} \
         operations |\n",
        day = machine::ask("date", &["-u", "+%Y-%m-%d"]),
        machine = machine::describe(),
        loads = loads.join(", "),
        redis = facts.redis,
        postgres = facts.postgres,
        express = package("express"),
        prisma = package("@prisma/client"),
        node = machine::ask("node", &["--version"]),
        rustc = machine::ask("rustc", &["--version"]),
    );
}

fn gate_table(text: &mut String, gates: &[Gate]) {
    text.push_str("\n## Gates\n\nBy the medians.\n\n| What | Bound | Here | |\n|---|---|---|---|\n");
    for gate in gates {
        let relation = if gate.at_least { "at least" } else { "at most" };
        let value = gate.value.map_or("not measured".to_owned(), |value| format!("{value:.2}"));
        let verdict = if gate.is_met() { "met" } else { "**missed**" };
        let _ = writeln!(text, "| {} | {relation} {} | {value} | {verdict} |", gate.what, gate.bound);
    }
}

fn table(text: &mut String, route: Route, figures: &Figures) {
    let _ = write!(
        text,
        "\n## `{}`\n\nMedian (least to most).\n\n\
         | | predecessor | zpack | minimal handler | zpack beside predecessor | beside minimal handler |\n\
         |---|---|---|---|---|---|\n",
        route.name()
    );
    for (title, figure, digits, larger_is_better) in ROWS {
        let figure = format!("{} {figure}", route.name());
        let cell = |system| figures.spread(&figure, system).map_or("-".to_owned(), |spread| show(spread, *digits));
        let beside = |other| {
            let pair = figures.median(&figure, System::Zpack).zip(figures.median(&figure, other));
            let factor = pair.map(|(ours, theirs)| if *larger_is_better { ours / theirs } else { theirs / ours });
            let factor = factor.filter(|factor| factor.is_finite() && *factor > 0.0);
            factor.map_or("-".to_owned(), |factor| format!("{factor:.2} times as good"))
        };
        let [predecessor, zpack, limit] = System::ALL.map(cell);
        let (old, least) = (beside(System::Predecessor), beside(System::Limit));
        let _ = writeln!(text, "| {title} | {predecessor} | {zpack} | {limit} | {old} | {least} |");
    }
}

fn memory(text: &mut String, figures: &Figures, facts: &Facts) {
    let of = |what| figures.median(what, System::Zpack).map_or("-".to_owned(), |mib| format!("{mib:.0}"));
    let _ = write!(
        text,
        "\n## Memory\n\nResident memory of {} in MiB, {} servers, all settings as shipped, agents that refuse connections.\n\n\
         | | |\n|---|---|\n| idle | {} |\n| after {} logins | {} |\n",
        System::Zpack.name(),
        facts.size.servers,
        of("idle memory"),
        facts.size.logins,
        of("memory after logins"),
    );
}

fn show(spread: Spread, digits: usize) -> String {
    let Spread { median, least, most } = spread;
    format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
}
