//! What an operator wished last for the public side of a server. Pure.
//!
//! Wishes are numbered in the order they were accepted in, and the last one wins, in whatever order their operations come
//! to run. Asking again for what was asked for last is the same wish.

use serde::{Deserialize, Serialize};

use super::record::Intent;

/// The key of the payload this is stored under.
pub const WISH_KEY: &str = "edge_wish";

/// A wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Counts wishes, from 1.
    pub number: u32,
    /// For what.
    pub intent: Intent,
}

impl Wish {
    /// The wish for `intent` after `last`.
    pub fn after(last: Option<Self>, intent: Intent) -> Self {
        match last {
            Some(last) if last.intent == intent => last,
            Some(last) => Self { number: last.number.saturating_add(1), intent },
            None => Self { number: 1, intent },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_mind_is_a_new_wish_and_a_repetition_is_none() {
        let first = Wish::after(None, Intent::Published);
        let again = Wish::after(Some(first), Intent::Published);
        let other = Wish::after(Some(again), Intent::Withdrawn);
        let back = Wish::after(Some(other), Intent::Published);
        assert_eq!([first, again, other, back].map(|wish| wish.number), [1, 1, 2, 3]);
    }
}
