//! The result of a campaign: for the terminal, and as docs/benchmarks/campaign-<database>.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::schedule::Plan;
use crate::crash::check::Violation;

/// The content of the report.
pub struct Report<'a> {
    pub plan: &'a Plan,
    pub took: Duration,
    /// Events by name.
    pub counts: &'a BTreeMap<&'static str, usize>,
    /// Operations by their final state.
    pub ends: &'a BTreeMap<String, i64>,
    pub snapshots: usize,
    pub broken: &'a [Violation],
}

impl Report<'_> {
    fn of(&self, invariant: &str) -> usize {
        self.broken.iter().filter(|violation| violation.invariant == invariant).count()
    }

    fn rows(&self) -> Vec<(String, String)> {
        let mut rows: Vec<_> =
            self.counts.iter().map(|(what, count)| ((*what).to_owned(), count.to_string())).collect();
        let total: i64 = self.ends.values().sum();
        rows.push(("operations in all".to_owned(), total.to_string()));
        rows.extend(self.ends.iter().map(|(end, count)| (format!("operations {end}"), count.to_string())));
        rows.push(("snapshots checked on the way".to_owned(), self.snapshots.to_string()));
        rows.push(("operations lost (I1)".to_owned(), self.of("I1").to_string()));
        rows.push(("effects doubled (I7)".to_owned(), self.of("I7").to_string()));
        rows.push(("violations in all".to_owned(), self.broken.len().to_string()));
        rows
    }

    pub fn print(&self) {
        println!("--- after {:.0} s", self.took.as_secs_f64());
        for (what, count) in self.rows() {
            println!("{count:>6} {what}");
        }
    }

    /// Writes the page into `folder`, which is relative to the repository.
    pub fn write(&self, folder: &Path) {
        let Plan { database, seed, workers, operations, seconds, .. } = self.plan;
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ask = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).current_dir(repository).output().expect("it runs");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let mut text = format!(
            "# A campaign on {database}\n\n\
             Written by `make crash-campaign`; do not edit. [testing.md](../testing.md#the-campaign) explains what happens in it.\n\n\
             `make crash-campaign DATABASE={database} TIME={seconds} OPERATIONS={operations} SEED={seed} \
             REPORT=docs/benchmarks`\n\n\
             {workers} workers; {day}, commit {commit}; {took:.0} s until everything had settled.\n\n\
             | What | How many |\n|---|---|\n",
            day = ask("date", &["-u", "+%Y-%m-%d"]),
            commit = ask("git", &["rev-parse", "--short=12", "HEAD"]),
            took = self.took.as_secs_f64(),
        );
        for (what, count) in self.rows() {
            let _ = writeln!(text, "| {what} | {count} |");
        }
        let folder = repository.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("campaign-{database}.md")), text).unwrap();
    }
}
