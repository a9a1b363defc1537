//! The registry, with a description of all metrics from which the documentation is generated.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::kernel::text_enum;

text_enum! {
    /// The Prometheus type of a metric.
    pub enum MetricKind {
        /// It only grows.
        Counter = "counter",
        /// It goes up and down.
        Gauge = "gauge",
        /// How often a duration in seconds stayed below each of some bounds.
        Histogram = "histogram",
    }
}

/// One metric as Prometheus sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name, without the endings of a histogram's series.
    pub name: String,
    /// Its type.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Its help text.
    pub help: &'static str,
}

/// The labels of a series, whose values come from closed sets.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;
pub(super) type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
pub(super) type Histograms<const N: usize> = Family<Labels<N>, Histogram, Buckets>;

/// Makes histograms with the same upper bounds, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Buckets(pub(super) &'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// The registry of a process.
#[derive(Debug)]
pub(super) struct Book {
    registry: Registry,
    described: Vec<Described>,
}

const PREFIX: &str = "zpack";

impl Book {
    pub(super) fn new() -> Self {
        Self { registry: Registry::with_prefix(PREFIX), described: Vec::new() }
    }

    /// A counter; `_total` is appended to its name.
    pub(super) fn counter<M: Metric + Clone>(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        metric: M,
    ) -> M {
        self.note(format!("{PREFIX}_{name}_total"), MetricKind::Counter, labels, help);
        self.registry.register(name, help, metric.clone());
        metric
    }

    pub(super) fn gauge<M: Metric + Clone>(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        metric: M,
    ) -> M {
        self.note(format!("{PREFIX}_{name}"), MetricKind::Gauge, labels, help);
        self.registry.register(name, help, metric.clone());
        metric
    }

    /// A histogram of seconds; `_seconds` is appended to its name.
    pub(super) fn seconds<M: Metric + Clone>(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        metric: M,
    ) -> M {
        self.note(format!("{PREFIX}_{name}_seconds"), MetricKind::Histogram, labels, help);
        self.registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }

    fn note(&mut self, name: String, kind: MetricKind, labels: &'static [&'static str], help: &'static str) {
        self.described.push(Described { name, kind, labels, help });
    }

    pub(super) fn described(&self) -> &[Described] {
        &self.described
    }

    pub(super) fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
