//! The events of a campaign and their times: derived from a seed before it begins, so that a campaign can be recorded
//! and replayed.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// One event. The number is that of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum What {
    Begin,
    BeginSilently,
    /// Cancels the n-th operation, if there are so many.
    Cancel(usize),
    Kill(usize),
    Drain(usize),
    Stop(usize),
    Continue(usize),
    RedisDown,
    RedisUp,
    Flush,
    RedisReset(usize),
    RedisStill(usize),
    RedisPass(usize),
    DatabaseReset(usize),
    DatabaseStill(usize),
    DatabasePass(usize),
    /// A customer hangs up after this percentage of the usual time of a request.
    HangUp(u32),
}

/// An event with its time, in milliseconds from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    pub at: u64,
    pub what: What,
}

/// The plan of a campaign.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub database: String,
    pub seconds: u64,
    pub workers: usize,
    pub operations: usize,
    pub events: Vec<Event>,
}

impl Plan {
    /// The plan of a seed. `network` says whether the database is behind a breakable network.
    pub fn new(seed: u64, database: &str, seconds: u64, workers: usize, operations: usize, network: bool) -> Self {
        let mut luck = StdRng::seed_from_u64(seed);
        let end = seconds * 1000;
        let mut events = Vec::new();
        for number in 0..operations {
            // The last fifth of the time is for operations that are not finished.
            let at = end * 4 / 5 * number as u64 / operations as u64;
            let what = if luck.random_bool(0.5) { What::Begin } else { What::BeginSilently };
            events.push(Event { at, what });
            if luck.random_bool(0.05) {
                let at = at + luck.random_range(0..3000);
                events.push(Event { at: at.min(end), what: What::Cancel(number) });
            }
        }
        let mut at = 1000;
        while at < end {
            let faults = fault(&mut luck, workers, network);
            events.extend(faults.into_iter().map(|(after, what)| Event { at: (at + after).min(end), what }));
            at += luck.random_range(100..700);
        }
        // A customer may write 120 times a minute.
        for at in (1000..end * 4 / 5).step_by(700) {
            events.push(Event { at, what: What::HangUp(luck.random_range(10..=100)) });
        }
        events.sort();
        Self { seed, database: database.to_owned(), seconds, workers, operations, events }
    }
}

/// One fault and its end, in milliseconds from now.
fn fault(luck: &mut impl Rng, workers: usize, network: bool) -> Vec<(u64, What)> {
    let worker = luck.random_range(0..workers);
    let still = luck.random_range(100..5000);
    match luck.random_range(0..100) {
        0..4 => vec![(0, What::RedisDown), (luck.random_range(0..1000), What::RedisUp)],
        4..9 => vec![(0, What::Flush)],
        9..15 => vec![(0, What::RedisReset(worker))],
        15..18 => vec![(0, What::RedisStill(worker)), (still, What::RedisPass(worker))],
        18..24 if network => vec![(0, What::DatabaseReset(worker))],
        24..27 if network => vec![(0, What::DatabaseStill(worker)), (still, What::DatabasePass(worker))],
        33..41 => vec![(0, What::Drain(worker))],
        27..33 => vec![(0, What::Stop(worker)), (still, What::Continue(worker))],
        _ => vec![(0, What::Kill(worker))],
    }
}

#[test]
fn a_seed_always_gives_the_same_plan() {
    let plan = |seed| Plan::new(seed, "postgres", 60, 4, 100, true).events;
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(8));
    let begun = plan(7).iter().filter(|e| matches!(e.what, What::Begin | What::BeginSilently)).count();
    assert_eq!(begun, 100);
}
