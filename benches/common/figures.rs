//! Samples of each figure over the repetitions of a run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A system that is measured.
pub trait Contender: Copy {
    /// Its name in the report.
    fn name(self) -> &'static str;
}

/// All samples, by figure and system.
#[derive(Default)]
pub struct Figures(BTreeMap<(String, &'static str), Vec<f64>>);

/// A median with its minimum and maximum.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Figures {
    pub fn add(&mut self, what: &str, system: impl Contender, sample: f64) {
        self.0.entry((what.to_owned(), system.name())).or_default().push(sample);
    }

    pub fn spread(&self, what: &str, system: impl Contender) -> Option<Spread> {
        let mut samples = self.0.get(&(what.to_owned(), system.name()))?.clone();
        samples.sort_by(f64::total_cmp);
        let middle = samples.len() / 2;
        let median =
            if samples.len() % 2 == 1 { samples[middle] } else { (samples[middle - 1] + samples[middle]) / 2.0 };
        Some(Spread { median, least: samples[0], most: samples[samples.len() - 1] })
    }

    /// The median.
    pub fn median(&self, what: &str, system: impl Contender) -> Option<f64> {
        self.spread(what, system).map(|spread| spread.median)
    }

    /// Every sample.
    pub fn json(&self) -> Value {
        let mut all: BTreeMap<&str, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
        for ((what, system), samples) in &self.0 {
            let rounded = samples.iter().map(|sample| (sample * 1e4).round() / 1e4).collect();
            all.entry(what).or_default().insert(*system, rounded);
        }
        json!(all)
    }
}

/// The percentile of `samples` at `share`, from 0 to 1.
pub fn percentile(samples: &mut [f64], share: f64) -> f64 {
    assert!(!samples.is_empty(), "there is no sample");
    samples.sort_by(f64::total_cmp);
    let index = (samples.len() as f64 * share).ceil() as usize;
    samples[index.clamp(1, samples.len()) - 1]
}
