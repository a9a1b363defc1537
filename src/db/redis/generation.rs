//! Which connections are still good: those of the current generation.

use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::ConnectionAddr;

/// A generation ends when one of its connections broke, or when the primary is found elsewhere. The lock is never held across an
/// await.
#[derive(Debug, Default)]
pub(super) struct Generations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    number: u64,
    primary: Option<ConnectionAddr>,
}

impl Generations {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current generation.
    pub(super) fn current(&self) -> u64 {
        self.state().number
    }

    /// Ends generation `number`, if it is the current one: many connections break at a time.
    pub(super) fn end(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.number += 1;
        }
    }

    /// The generation of a connection to `primary`; a new one when the primary was elsewhere.
    pub(super) fn at(&self, primary: &ConnectionAddr) -> u64 {
        let mut state = self.state();
        if state.primary.as_ref() != Some(primary) {
            if state.primary.is_some() {
                tracing::info!("the primary of Redis is now {primary}");
                state.number += 1;
            }
            state.primary = Some(primary.clone());
        }
        state.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_ends_once_however_many_connections_break() {
        let generations = Generations::default();
        let first = generations.current();
        generations.end(first);
        generations.end(first);
        assert_eq!(generations.current(), first + 1);
    }

    #[test]
    fn a_primary_elsewhere_begins_a_generation() {
        let at = |port| ConnectionAddr::Tcp("127.0.0.1".to_owned(), port);
        let generations = Generations::default();
        let first = generations.at(&at(1));
        assert_eq!(generations.at(&at(1)), first);
        let second = generations.at(&at(2));
        assert!(second != first && generations.current() == second);
    }
}
