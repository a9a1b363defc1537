//! Alerts, their pages and the metrics they ask for belong together, and the commands of the pages exist.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use zpack::cli::Cli;
use zpack::kernel::{DebtId, OperationId};
use zpack::telemetry::{MetricKind, Metrics};

use super::sources::{files, root};

const RULES: &str = "packaging/prometheus/zpack.rules.yml";

/// One rule, as it stands in the file.
#[derive(Debug, Default)]
struct Alert {
    expr: String,
    runbook: String,
}

/// The alerts of the file by name. It is written with one line a field, so lines are enough to read it.
fn alerts() -> BTreeMap<String, Alert> {
    let text = std::fs::read_to_string(root().join(RULES)).unwrap();
    let mut alerts: BTreeMap<String, Alert> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            current = name.to_owned();
            assert!(alerts.insert(current.clone(), Alert::default()).is_none(), "{name} stands there twice");
        } else if let Some(expr) = line.strip_prefix("expr: ") {
            alerts.get_mut(&current).unwrap().expr = expr.to_owned();
        } else if let Some((_, url)) = line.split_once("runbook_url: ") {
            alerts.get_mut(&current).unwrap().runbook = url.trim_end_matches('}').to_owned();
        }
    }
    assert!(alerts.len() > 10, "hardly any alert was found");
    alerts
}

/// `ZpackRedisDown` has the page `redis-down`.
fn page_of(alert: &str) -> String {
    let name = alert.strip_prefix("Zpack").unwrap_or_else(|| panic!("{alert} does not begin with Zpack"));
    name.char_indices().fold(String::new(), |page, (at, letter)| {
        let dash = if at > 0 && letter.is_ascii_uppercase() { "-" } else { "" };
        page + dash + &letter.to_ascii_lowercase().to_string()
    })
}

fn pages() -> BTreeMap<String, String> {
    let pages = files("docs/runbooks").into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    pages.collect()
}

/// The words of `expr` that begin as our metrics do.
fn metrics_in(expr: &str) -> impl Iterator<Item = &str> {
    expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("zpack_"))
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let pages = pages();
    let mut expected = BTreeSet::new();
    for (name, alert) in alerts() {
        let page = page_of(&name);
        assert_eq!(alert.runbook, format!("docs/runbooks/{page}.md"), "{name}");
        let text = pages.get(&page).unwrap_or_else(|| panic!("{name} has no page {page}.md"));
        assert!(text.contains(&format!("Alert: `{name}`.")), "{page}.md does not name {name}");
        assert!(text.contains("**What it looks like.**") && text.contains("**What to do.**"), "{page}.md");
        expected.insert(page);
    }
    assert_eq!(pages.into_keys().collect::<BTreeSet<_>>(), expected, "a page without an alert");
}

#[test]
fn alerts_and_pages_ask_for_registered_metrics_only() {
    let metrics = Metrics::default();
    let mut series = BTreeSet::new();
    for metric in metrics.described() {
        let endings: &[&str] = match metric.kind {
            MetricKind::Counter | MetricKind::Gauge => &[""],
            MetricKind::Histogram => &["_bucket", "_sum", "_count"],
        };
        series.extend(endings.iter().map(|ending| format!("{}{ending}", metric.name)));
    }
    for (name, alert) in alerts() {
        let asked: Vec<_> = metrics_in(&alert.expr).collect();
        assert!(!asked.is_empty(), "{name} asks for nothing");
        for metric in asked {
            assert!(series.contains(metric), "{name} asks for {metric}, which is not registered");
        }
    }
    let bases: BTreeSet<_> = metrics.described().iter().map(|metric| metric.name.clone()).collect();
    for (page, text) in pages() {
        for metric in metrics_in(&text) {
            assert!(series.contains(metric) || bases.contains(metric), "{page}.md names {metric}");
        }
    }
}

/// Labels and values in braces, such as `outcome="late"`, are values the code knows.
#[test]
fn the_labels_alerts_choose_by_exist() {
    let metrics = Metrics::default();
    for (name, alert) in alerts() {
        for selector in alert.expr.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let label = selector.split(['=', '~', '!']).next().unwrap();
            let known = metrics.described().iter().any(|metric| metric.labels.contains(&label));
            assert!(known, "{name} chooses by the label {label}");
        }
    }
}

#[test]
fn commands_on_the_pages_exist() {
    let (id, debt) = (OperationId::generate().to_string(), DebtId::generate().to_string());
    let mut parsed = 0;
    for (page, text) in pages() {
        let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        for span in spans.filter(|span| span.starts_with("zpack ")) {
            let pieces: Vec<_> = span.split('"').enumerate().collect();
            let plain: String = pieces.iter().map(|(at, piece)| if at % 2 == 1 { "text" } else { piece }).collect();
            let words = plain.split_whitespace().map(|word| match word {
                "<id>" => id.as_str(),
                "<debt>" => debt.as_str(),
                word => word,
            });
            match Cli::try_parse_from(words) {
                Ok(_) => {}
                Err(error) if error.kind() == clap::error::ErrorKind::DisplayVersion => {}
                Err(error) => panic!("{page}.md: `{span}`: {error}"),
            }
            parsed += 1;
        }
    }
    assert!(parsed > 20, "hardly any command was found");
}
