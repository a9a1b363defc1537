//! The decisions, and a model with three candidates, one Redis and one row that runs a thousand random histories.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::policy::{CandidateStep, LockAnswer, Validity, next_step};
use super::settings::LeaseSettings;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn times() -> LeaseSettings {
    LeaseSettings::default()
}

#[test]
fn a_candidate_leads_without_a_lock_only_if_redis_does_not_answer_and_the_heartbeat_is_old() {
    let step = |answer, age: Option<u64>| next_step(answer, age.map(seconds), &times());
    assert_eq!(step(LockAnswer::Ours, Some(0)), CandidateStep::RaiseEpoch);
    assert_eq!(step(LockAnswer::Taken, Some(3600)), CandidateStep::Wait);
    assert_eq!(step(LockAnswer::Taken, None), CandidateStep::Wait);
    assert_eq!(step(LockAnswer::NoAnswer, Some(60)), CandidateStep::Wait);
    assert_eq!(step(LockAnswer::NoAnswer, Some(61)), CandidateStep::TakeOver);
    assert_eq!(step(LockAnswer::NoAnswer, None), CandidateStep::TakeOver);
}

#[test]
fn a_leader_stops_two_seconds_before_others_may_begin() {
    let valid = |validity: &Validity, at| validity.is_valid(seconds(at), &times());
    let mut validity = Validity::elected(seconds(100));
    validity.renewed(seconds(100));
    assert!(valid(&validity, 112) && !valid(&validity, 113));
    validity.unanswered();
    assert!(valid(&validity, 157) && !valid(&validity, 158), "the heartbeat counts while Redis does not answer");
    validity.heartbeat_written(seconds(130));
    assert!(valid(&validity, 187) && !valid(&validity, 188));
    validity.heartbeat_written(seconds(120));
    assert!(valid(&validity, 187), "a late answer does not shorten the validity");
    validity.renewed(seconds(140));
    assert!(valid(&validity, 152) && !valid(&validity, 153), "the lock counts as soon as Redis answers");
}

#[test]
fn a_long_tick_renews_the_heartbeat() {
    let validity = Validity::elected(seconds(100));
    assert!(!validity.wants_heartbeat(seconds(114), &times()) && validity.wants_heartbeat(seconds(115), &times()));
}

/// An event of a history. A process without events is a paused one.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A candidate takes its next step; the reply of Redis to it may be lost.
    Step {
        who: usize,
        lost: bool,
    },
    Renew(usize),
    Heartbeat(usize),
    Begin(usize),
    Commit(usize),
    Resign(usize),
    Crash(usize),
    Pass(u64),
    Flush,
    Outage(bool),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Read { epoch: i64, heartbeat_age: Option<Duration> },
    Raising { epoch: i64, takes_over: bool },
    Confirming { epoch: i64, validity: Validity },
    Leading { epoch: i64, validity: Validity, redis_down: bool, transaction: bool },
}

#[derive(Debug)]
struct World {
    now: Duration,
    redis_down: bool,
    lock: Option<(usize, Duration)>,
    epoch: i64,
    renewed_at: Option<Duration>,
    candidates: [(State, usize); 3],
    tokens: usize,
    elected: BTreeSet<i64>,
    /// Redis has lost a lock or a reply: several candidates may believe that they lead, and the epoch decides.
    faults: bool,
    commits: usize,
}

impl World {
    fn new() -> Self {
        Self {
            now: seconds(1000),
            redis_down: false,
            lock: None,
            epoch: 0,
            renewed_at: None,
            candidates: [(State::Idle, 0), (State::Idle, 1), (State::Idle, 2)],
            tokens: 3,
            elected: BTreeSet::new(),
            faults: false,
            commits: 0,
        }
    }

    /// Renews the lock if it is `token`'s and returns whether it is; `None` if Redis does not answer.
    fn renew(&mut self, token: usize) -> Option<bool> {
        if self.redis_down {
            return None;
        }
        let ours = self.lock.is_some_and(|(holder, until)| holder == token && self.now < until);
        if ours {
            self.lock = Some((token, self.now + times().ttl));
        }
        Some(ours)
    }

    fn take(&mut self, token: usize, lost: bool) -> LockAnswer {
        if self.redis_down {
            return LockAnswer::NoAnswer;
        }
        let free = self.lock.is_none_or(|(_, until)| self.now >= until);
        if free {
            self.lock = Some((token, self.now + times().ttl));
        }
        let ours = free || self.renew(token) == Some(true);
        if lost {
            self.faults = true;
            LockAnswer::NoAnswer
        } else if ours {
            LockAnswer::Ours
        } else {
            LockAnswer::Taken
        }
    }

    fn release(&mut self, token: usize) {
        if !self.redis_down && self.lock.is_some_and(|(holder, _)| holder == token) {
            self.lock = None;
        }
    }

    /// A new candidacy has a new token.
    fn again(&mut self, who: usize) {
        self.candidates[who] = (State::Idle, self.tokens);
        self.tokens += 1;
    }

    fn step(&mut self, who: usize, lost: bool) {
        let (state, token) = self.candidates[who];
        let next = match state {
            State::Idle => State::Read { epoch: self.epoch, heartbeat_age: self.renewed_at.map(|at| self.now - at) },
            State::Read { epoch, heartbeat_age } => match next_step(self.take(token, lost), heartbeat_age, &times()) {
                CandidateStep::RaiseEpoch => State::Raising { epoch, takes_over: false },
                CandidateStep::TakeOver => State::Raising { epoch, takes_over: true },
                CandidateStep::Wait => State::Idle,
            },
            State::Raising { epoch, takes_over } => match self.raise(epoch, takes_over) {
                None => state,
                Some(false) => {
                    self.release(token);
                    State::Idle
                }
                Some(true) => {
                    let (epoch, validity) = (epoch + 1, Validity::elected(self.now));
                    if takes_over {
                        State::Leading { epoch, validity, redis_down: true, transaction: false }
                    } else {
                        State::Confirming { epoch, validity }
                    }
                }
            },
            State::Confirming { epoch, mut validity } => match self.renew(token) {
                Some(true) => {
                    validity.renewed(self.now);
                    State::Leading { epoch, validity, redis_down: false, transaction: false }
                }
                Some(false) => State::Idle,
                None => State::Leading { epoch, validity, redis_down: true, transaction: false },
            },
            State::Leading { .. } => state,
        };
        self.candidates[who].0 = next;
    }

    /// Whether the epoch was raised; `None` while a transaction in flight holds it.
    fn raise(&mut self, seen: i64, takes_over: bool) -> Option<bool> {
        if self.candidates.iter().any(|(state, _)| matches!(state, State::Leading { transaction: true, .. })) {
            return None;
        }
        let old = self.renewed_at.is_none_or(|at| self.now - at > times().takeover);
        if self.epoch != seen || (takes_over && !old) {
            return Some(false);
        }
        for (state, _) in self.candidates {
            if let State::Leading { epoch, validity, redis_down: true, .. } = state
                && takes_over
                && epoch == self.epoch
            {
                assert!(!validity.is_valid(self.now, &times()), "a leader with a valid heartbeat was replaced");
            }
        }
        self.epoch += 1;
        assert!(self.elected.insert(self.epoch), "epoch {} has two leaders", self.epoch);
        self.renewed_at = Some(self.now);
        Some(true)
    }

    /// Applies an event to a leader, which steps down when it notices that it must.
    fn lead(&mut self, who: usize, event: Event) {
        let (State::Leading { epoch, mut validity, mut redis_down, mut transaction }, token) = self.candidates[who]
        else {
            return;
        };
        let valid = validity.is_valid(self.now, &times());
        match event {
            Event::Commit(_) if transaction => {
                assert_eq!(epoch, self.epoch, "a deposed leader has written");
                transaction = false;
                self.commits += 1;
            }
            Event::Renew(_) if valid => match self.renew(token) {
                Some(true) => {
                    validity.renewed(self.now);
                    redis_down = false;
                }
                Some(false) => return self.again(who),
                None => {
                    validity.unanswered();
                    redis_down = true;
                }
            },
            Event::Heartbeat(_) if valid && epoch == self.epoch => {
                self.renewed_at = Some(self.now);
                validity.heartbeat_written(self.now);
            }
            Event::Begin(_) if valid && epoch == self.epoch => transaction = true,
            Event::Resign(_) if valid && !transaction => {
                if epoch == self.epoch {
                    self.renewed_at = None;
                }
                self.release(token);
                return self.again(who);
            }
            // Not valid, or not its epoch: it notices that, and does nothing else.
            Event::Renew(_) | Event::Heartbeat(_) | Event::Begin(_) => return self.again(who),
            _ => return,
        }
        self.candidates[who].0 = State::Leading { epoch, validity, redis_down, transaction };
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step { who, lost } => self.step(who, lost),
            Event::Renew(who) | Event::Heartbeat(who) | Event::Begin(who) | Event::Commit(who) | Event::Resign(who) => {
                self.lead(who, event);
            }
            Event::Crash(who) => self.again(who),
            Event::Pass(millis) => self.now += Duration::from_millis(millis),
            Event::Flush => {
                self.lock = None;
                self.faults = true;
            }
            Event::Outage(redis_down) => {
                self.redis_down = redis_down;
                self.faults |= redis_down;
            }
        }
        let believers = self.candidates.iter().filter(|(state, _)| match state {
            State::Leading { validity, .. } => validity.is_valid(self.now, &times()),
            State::Idle | State::Read { .. } | State::Raising { .. } | State::Confirming { .. } => false,
        });
        let believers = believers.count();
        assert!(believers <= 1 || self.faults, "{believers} candidates lead without a fault of Redis");
    }
}

fn event() -> impl Strategy<Value = Event> {
    let who = || 0..3usize;
    prop_oneof![
        40 => (who(), prop::bool::weighted(0.03)).prop_map(|(who, lost)| Event::Step { who, lost }),
        8 => who().prop_map(Event::Renew),
        6 => who().prop_map(Event::Heartbeat),
        8 => who().prop_map(Event::Begin),
        8 => who().prop_map(Event::Commit),
        2 => who().prop_map(Event::Resign),
        2 => who().prop_map(Event::Crash),
        10 => (1..9_000u64).prop_map(Event::Pass),
        2 => (9_000..70_000u64).prop_map(Event::Pass),
        1 => Just(Event::Flush),
        2 => any::<bool>().prop_map(Event::Outage),
    ]
}

/// The same without faults of Redis.
fn event_of_processes() -> impl Strategy<Value = Event> {
    event().prop_map(|event| match event {
        Event::Step { who, .. } => Event::Step { who, lost: false },
        Event::Flush | Event::Outage(_) => Event::Pass(1),
        other => other,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn only_the_newest_leader_writes_in_any_history(events in vec(event(), 1..300)) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.happen(event));
    }

    #[test]
    fn pauses_and_crashes_alone_never_make_two_leaders(events in vec(event_of_processes(), 1..300)) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.happen(event));
        prop_assert!(!world.faults);
    }
}

/// The histories above would prove nothing without elections in them.
#[test]
fn the_model_elects_writes_and_is_fenced() {
    let mut world = World::new();
    let step = |world: &mut World, who| (0..4).for_each(|_| world.happen(Event::Step { who, lost: false }));
    step(&mut world, 0);
    [Event::Begin(0), Event::Commit(0), Event::Flush].into_iter().for_each(|event| world.happen(event));
    step(&mut world, 1);
    assert_eq!((world.epoch, world.commits), (2, 1));
    [Event::Begin(0), Event::Commit(0)].into_iter().for_each(|event| world.happen(event));
    assert_eq!(world.commits, 1, "the old leader is fenced");
    [Event::Begin(1), Event::Commit(1)].into_iter().for_each(|event| world.happen(event));
    assert_eq!(world.commits, 2);
}
