//! The decisions, and a thousand random histories of three candidates, one Redis and one row.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::policy::{CandidateStep, LockAnswer, Standing, next_step};
use super::settings::LeaseSettings;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn times() -> LeaseSettings {
    LeaseSettings::default()
}

#[test]
fn a_candidate_leads_without_a_lock_only_when_redis_is_silent_and_the_stamp_is_old() {
    let step = |answer, stamp: Option<u64>| next_step(answer, stamp.map(seconds), &times());
    assert_eq!(step(LockAnswer::Ours, Some(0)), CandidateStep::RaiseEpoch);
    assert_eq!(step(LockAnswer::Taken, Some(3600)), CandidateStep::Wait);
    assert_eq!(step(LockAnswer::Taken, None), CandidateStep::Wait);
    assert_eq!(step(LockAnswer::Silence, Some(60)), CandidateStep::Wait);
    assert_eq!(step(LockAnswer::Silence, Some(61)), CandidateStep::TakeOver);
    assert_eq!(step(LockAnswer::Silence, None), CandidateStep::TakeOver);
}

#[test]
fn a_leader_stops_two_seconds_before_others_may_begin() {
    let valid = |standing: &Standing, at| standing.is_valid(seconds(at), &times());
    let mut standing = Standing::elected(seconds(100));
    standing.renewed(seconds(100));
    assert!(valid(&standing, 112) && !valid(&standing, 113));
    standing.unanswered();
    assert!(valid(&standing, 157) && !valid(&standing, 158), "the stamp counts while Redis is silent");
    standing.stamped(seconds(130));
    assert!(valid(&standing, 187) && !valid(&standing, 188));
    standing.stamped(seconds(120));
    assert!(valid(&standing, 187), "an answer that comes late takes nothing back");
    standing.renewed(seconds(140));
    assert!(valid(&standing, 152) && !valid(&standing, 153), "the lock counts as soon as Redis answers");
}

#[test]
fn a_stamp_is_renewed_in_the_middle_of_a_long_tick() {
    let standing = Standing::elected(seconds(100));
    assert!(!standing.wants_stamp(seconds(114), &times()) && standing.wants_stamp(seconds(115), &times()));
}

/// What may happen next. A process that is never chosen is a paused one.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A candidate makes its next step; the reply of Redis to it may be lost.
    Step {
        who: usize,
        lost: bool,
    },
    Renew(usize),
    Stamp(usize),
    Begin(usize),
    Commit(usize),
    Resign(usize),
    Crash(usize),
    Pass(u64),
    Flush,
    Silence(bool),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Read { epoch: i64, stamp: Option<Duration> },
    Raising { epoch: i64, takes_over: bool },
    Confirming { epoch: i64, standing: Standing },
    Leading { epoch: i64, standing: Standing, silent: bool, transaction: bool },
}

#[derive(Debug)]
struct World {
    now: Duration,
    silent: bool,
    lock: Option<(usize, Duration)>,
    epoch: i64,
    renewed_at: Option<Duration>,
    candidates: [(State, usize); 3],
    tokens: usize,
    elected: BTreeSet<i64>,
    /// Redis has lost a lock or a reply: more than one may believe that it leads, and the epoch decides.
    faults: bool,
    commits: usize,
}

impl World {
    fn new() -> Self {
        Self {
            now: seconds(1000),
            silent: false,
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

    /// Whether Redis says that the lock is `token`'s, which renews it; `None` for silence.
    fn renew(&mut self, token: usize) -> Option<bool> {
        if self.silent {
            return None;
        }
        let ours = self.lock.is_some_and(|(holder, until)| holder == token && self.now < until);
        if ours {
            self.lock = Some((token, self.now + times().ttl));
        }
        Some(ours)
    }

    fn take(&mut self, token: usize, lost: bool) -> LockAnswer {
        if self.silent {
            return LockAnswer::Silence;
        }
        let free = self.lock.is_none_or(|(_, until)| self.now >= until);
        if free {
            self.lock = Some((token, self.now + times().ttl));
        }
        let ours = free || self.renew(token) == Some(true);
        if lost {
            self.faults = true;
            LockAnswer::Silence
        } else if ours {
            LockAnswer::Ours
        } else {
            LockAnswer::Taken
        }
    }

    fn release(&mut self, token: usize) {
        if !self.silent && self.lock.is_some_and(|(holder, _)| holder == token) {
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
            State::Idle => State::Read { epoch: self.epoch, stamp: self.renewed_at.map(|at| self.now - at) },
            State::Read { epoch, stamp } => match next_step(self.take(token, lost), stamp, &times()) {
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
                    let (epoch, standing) = (epoch + 1, Standing::elected(self.now));
                    if takes_over {
                        State::Leading { epoch, standing, silent: true, transaction: false }
                    } else {
                        State::Confirming { epoch, standing }
                    }
                }
            },
            State::Confirming { epoch, mut standing } => match self.renew(token) {
                Some(true) => {
                    standing.renewed(self.now);
                    State::Leading { epoch, standing, silent: false, transaction: false }
                }
                Some(false) => State::Idle,
                None => State::Leading { epoch, standing, silent: true, transaction: false },
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
            if let State::Leading { epoch, standing, silent: true, .. } = state
                && takes_over
                && epoch == self.epoch
            {
                assert!(!standing.is_valid(self.now, &times()), "a leader by its stamp was overtaken");
            }
        }
        self.epoch += 1;
        assert!(self.elected.insert(self.epoch), "epoch {} has two leaders", self.epoch);
        self.renewed_at = Some(self.now);
        Some(true)
    }

    /// What a leader does; it stands down when it finds out that it must.
    fn lead(&mut self, who: usize, event: Event) {
        let (State::Leading { epoch, mut standing, mut silent, mut transaction }, token) = self.candidates[who] else {
            return;
        };
        let valid = standing.is_valid(self.now, &times());
        match event {
            Event::Commit(_) if transaction => {
                assert_eq!(epoch, self.epoch, "a deposed leader has written");
                transaction = false;
                self.commits += 1;
            }
            Event::Renew(_) if valid => match self.renew(token) {
                Some(true) => {
                    standing.renewed(self.now);
                    silent = false;
                }
                Some(false) => return self.again(who),
                None => {
                    standing.unanswered();
                    silent = true;
                }
            },
            Event::Stamp(_) if valid && epoch == self.epoch => {
                self.renewed_at = Some(self.now);
                standing.stamped(self.now);
            }
            Event::Begin(_) if valid && epoch == self.epoch => transaction = true,
            Event::Resign(_) if valid && !transaction => {
                if epoch == self.epoch {
                    self.renewed_at = None;
                }
                self.release(token);
                return self.again(who);
            }
            // Not valid, or not its epoch: it finds out, and does nothing else.
            Event::Renew(_) | Event::Stamp(_) | Event::Begin(_) => return self.again(who),
            _ => return,
        }
        self.candidates[who].0 = State::Leading { epoch, standing, silent, transaction };
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step { who, lost } => self.step(who, lost),
            Event::Renew(who) | Event::Stamp(who) | Event::Begin(who) | Event::Commit(who) | Event::Resign(who) => {
                self.lead(who, event);
            }
            Event::Crash(who) => self.again(who),
            Event::Pass(millis) => self.now += Duration::from_millis(millis),
            Event::Flush => {
                self.lock = None;
                self.faults = true;
            }
            Event::Silence(silent) => {
                self.silent = silent;
                self.faults |= silent;
            }
        }
        let believers = self.candidates.iter().filter(|(state, _)| match state {
            State::Leading { standing, .. } => standing.is_valid(self.now, &times()),
            State::Idle | State::Read { .. } | State::Raising { .. } | State::Confirming { .. } => false,
        });
        let believers = believers.count();
        assert!(believers <= 1 || self.faults, "{believers} lead, and Redis is not to blame");
    }
}

fn event() -> impl Strategy<Value = Event> {
    let who = || 0..3usize;
    prop_oneof![
        40 => (who(), prop::bool::weighted(0.03)).prop_map(|(who, lost)| Event::Step { who, lost }),
        8 => who().prop_map(Event::Renew),
        6 => who().prop_map(Event::Stamp),
        8 => who().prop_map(Event::Begin),
        8 => who().prop_map(Event::Commit),
        2 => who().prop_map(Event::Resign),
        2 => who().prop_map(Event::Crash),
        10 => (1..9_000u64).prop_map(Event::Pass),
        2 => (9_000..70_000u64).prop_map(Event::Pass),
        1 => Just(Event::Flush),
        2 => any::<bool>().prop_map(Event::Silence),
    ]
}

/// The same without anything that Redis could be blamed for: pauses and crashes alone never make two leaders.
fn event_of_processes() -> impl Strategy<Value = Event> {
    event().prop_map(|event| match event {
        Event::Step { who, .. } => Event::Step { who, lost: false },
        Event::Flush | Event::Silence(_) => Event::Pass(1),
        other => other,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_happens_only_the_newest_leader_writes(events in vec(event(), 1..300)) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.happen(event));
    }

    #[test]
    fn pauses_and_crashes_never_make_two_leaders(events in vec(event_of_processes(), 1..300)) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.happen(event));
        prop_assert!(!world.faults);
    }
}

/// The histories above would prove nothing if nobody ever led in them.
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
