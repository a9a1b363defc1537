//! Stops asking after the hypervisor refused the token: every refusal costs it three seconds of a worker.
//!
//! Closed until a refusal; then calls fail at once for the cool-down. After it one call goes through as a probe: any
//! answer but a refusal closes the circuit, a refusal opens it for another cool-down.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Whether the token is believed to be good.
#[derive(Debug)]
pub(super) struct Circuit {
    cool_down: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// Permission to make one call. Dropped without a verdict, it leaves the circuit as it was found.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    circuit: &'a Circuit,
    probe: bool,
}

impl Circuit {
    /// A closed circuit.
    pub(super) fn new(cool_down: Duration) -> Self {
        Self { cool_down, state: Mutex::new(State::Closed) }
    }

    /// A pass for one call at `now`, unless the circuit is open.
    pub(super) fn enter(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state();
        match *state {
            State::Closed => Some(Pass { circuit: self, probe: false }),
            State::Open { until } if now >= until => {
                *state = State::Probing;
                Some(Pass { circuit: self, probe: true })
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    /// Forgets refusals: the token was replaced.
    pub(super) fn reset(&self) {
        *self.state() = State::Closed;
    }

    // Held for a few instructions and never across an await; a panic in between cannot leave it half written.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The hypervisor answered and did not refuse the token.
    pub(super) fn accepted(mut self) {
        if std::mem::take(&mut self.probe) {
            *self.circuit.state() = State::Closed;
        }
    }

    /// The hypervisor refused the token at `now`.
    pub(super) fn refused(mut self, now: Instant) {
        self.probe = false;
        *self.circuit.state() = State::Open { until: now + self.circuit.cool_down };
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut state = self.circuit.state();
        if self.probe && matches!(*state, State::Probing) {
            *state = State::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(30);

    #[test]
    fn a_refusal_opens_it_and_one_probe_at_a_time_may_close_it() {
        let circuit = Circuit::new(COOL_DOWN);
        let start = Instant::now();
        circuit.enter(start).unwrap().refused(start);
        assert!(circuit.enter(start + COOL_DOWN / 2).is_none());

        let probe = circuit.enter(start + COOL_DOWN).unwrap();
        assert!(circuit.enter(start + COOL_DOWN).is_none(), "only one probe");
        probe.refused(start + COOL_DOWN);
        assert!(circuit.enter(start + COOL_DOWN).is_none(), "open again");

        circuit.enter(start + COOL_DOWN * 2).unwrap().accepted();
        assert!(circuit.enter(start + COOL_DOWN * 2).is_some());
    }

    #[test]
    fn a_probe_without_a_verdict_is_repeated() {
        let circuit = Circuit::new(COOL_DOWN);
        let start = Instant::now();
        circuit.enter(start).unwrap().refused(start);
        let later = start + COOL_DOWN;
        drop(circuit.enter(later).unwrap());
        assert!(circuit.enter(later).is_some());
    }

    #[test]
    fn a_late_success_does_not_close_an_open_circuit() {
        let circuit = Circuit::new(COOL_DOWN);
        let now = Instant::now();
        let early = circuit.enter(now).unwrap();
        circuit.enter(now).unwrap().refused(now);
        early.accepted();
        assert!(circuit.enter(now).is_none());
    }

    #[test]
    fn a_new_token_closes_it() {
        let circuit = Circuit::new(COOL_DOWN);
        let now = Instant::now();
        circuit.enter(now).unwrap().refused(now);
        circuit.reset();
        assert!(circuit.enter(now).is_some());
    }
}
