//! A list that drops its oldest entry instead of growing past its bound.

use std::collections::VecDeque;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// At most `MOST` entries, oldest first. Read it as the [`VecDeque`] it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ring<T, const MOST: usize>(VecDeque<T>);

impl<T, const MOST: usize> Default for Ring<T, MOST> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T, const MOST: usize> Ring<T, MOST> {
    /// Adds the newest entry; the oldest ones make room.
    pub fn push(&mut self, entry: T) {
        // A state file of another release may hold more.
        while self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// Removes the oldest entry.
    pub fn pop_front(&mut self) -> Option<T> {
        self.0.pop_front()
    }
}

impl<T, const MOST: usize> Deref for Ring<T, MOST> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_make_room_however_many_a_file_held() {
        let mut ring: Ring<u32, 3> = serde_json::from_str("[1,2,3,4,5]").unwrap();
        ring.push(6);
        assert_eq!(serde_json::to_string(&ring).unwrap(), "[4,5,6]");
        assert_eq!((ring.pop_front(), ring.len()), (Some(4), 2));
    }
}
