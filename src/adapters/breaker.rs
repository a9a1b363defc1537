//! Stops calls to a peer after it refused our token, so that a wrong token costs one request a cool-down.
//!
//! - **Closed** until a call is refused: every call is sent.
//! - **Open** for the cool-down: no call is sent.
//! - After the cool-down one call at a time is sent as the **probe**. Any answer to it except a refusal of the token
//!   closes the breaker; a refusal opens it for another cool-down; without an answer the next call is the probe.
//!
//! Only calls that began after the last transition count: a late success was decided before the refusal, and a late
//! refusal before the success. One token may be sent to many peers, so the state is kept per peer, `K`. Pure: the time
//! is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many peers may have refused the token at the same time before the oldest refusal is dropped.
const MAX_OPEN: usize = 1024;
/// The number of cool-downs without a call after which a peer's refusal is dropped: the peer may no longer exist.
const FORGET: u32 = 10;

/// The peers that have refused the token.
#[derive(Debug)]
pub(super) struct Breaker<K> {
    cool_down: Duration,
    open: BTreeMap<K, Open>,
    /// The number of the next pass.
    next: u64,
    /// Passes before this one are older than the last closing of the breaker.
    closed_at: u64,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    detail: String,
    /// The pass of the probe.
    probe: Option<u64>,
}

/// Permission to make one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass<K> {
    peer: K,
    number: u64,
    is_probe: bool,
}

impl<K> Pass<K> {
    /// Whether the call is the probe.
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }
}

impl<K: Copy + Ord> Breaker<K> {
    /// A closed breaker.
    pub(super) fn new(cool_down: Duration) -> Self {
        Self { cool_down, open: BTreeMap::new(), next: 0, closed_at: 0 }
    }

    /// A pass for one call to `peer`, or the reason why there is none.
    pub(super) fn admit(&mut self, peer: K, now: Instant) -> Result<Pass<K>, String> {
        let number = self.next;
        let Some(open) = self.open.get_mut(&peer) else {
            self.next += 1;
            return Ok(Pass { peer, number, is_probe: false });
        };
        if open.until > now {
            let seconds = (open.until - now).as_secs().max(1);
            Err(format!("not sent, the token was refused and will be tried again in {seconds} s: {}", open.detail))
        } else if open.probe.is_some() {
            Err(format!("not sent, the token was refused and is being tried again: {}", open.detail))
        } else {
            open.probe = Some(number);
            self.next += 1;
            Ok(Pass { peer, number, is_probe: true })
        }
    }

    /// The peer accepted the token. Returns whether no peer is left that refuses it.
    pub(super) fn accepted(&mut self, pass: Pass<K>, now: Instant) -> bool {
        if self.open.get(&pass.peer).is_some_and(|open| open.probe == Some(pass.number)) {
            self.open.remove(&pass.peer);
            self.closed_at = self.next;
            self.forget(now);
            return self.open.is_empty();
        }
        self.forget(now);
        self.open.is_empty() && pass.number >= self.closed_at
    }

    /// The peer refused the token with `detail`. Returns whether the breaker opened.
    pub(super) fn refused(&mut self, pass: Pass<K>, now: Instant, detail: &str) -> bool {
        let counts = match self.open.get(&pass.peer) {
            Some(open) => open.probe == Some(pass.number),
            None => pass.number >= self.closed_at,
        };
        if !counts {
            return false;
        }
        self.forget(now);
        if self.open.len() >= MAX_OPEN && !self.open.contains_key(&pass.peer) {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.until).map(|(peer, _)| *peer);
            oldest.and_then(|peer| self.open.remove(&peer));
        }
        let open = Open { until: now + self.cool_down, detail: detail.to_owned(), probe: None };
        self.open.insert(pass.peer, open);
        true
    }

    /// The call ended without an answer that concerns the token.
    pub(super) fn abandoned(&mut self, pass: Pass<K>) {
        if let Some(open) = self.open.get_mut(&pass.peer)
            && open.probe == Some(pass.number)
        {
            open.probe = None;
        }
    }

    /// The token was replaced: every breaker closes.
    pub(super) fn reset(&mut self) {
        self.open.clear();
        self.closed_at = self.next;
    }

    /// Drops peers that were not called for a long time.
    fn forget(&mut self, now: Instant) {
        let after = self.cool_down.saturating_mul(FORGET);
        self.open.retain(|_, open| open.probe.is_some() || open.until + after > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn opened(now: Instant) -> Breaker<u32> {
        let mut breaker = Breaker::new(MINUTE);
        let pass = breaker.admit(1, now).unwrap();
        assert!(breaker.refused(pass, now, "no"));
        breaker
    }

    #[test]
    fn a_refused_token_is_sent_once_a_cool_down_until_it_is_accepted() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let held = breaker.admit(1, now).unwrap_err();
        assert_eq!(held, "not sent, the token was refused and will be tried again in 60 s: no");
        let mut later = now;
        for _ in 0..3 {
            later += MINUTE;
            let probe = breaker.admit(1, later).unwrap();
            assert!(probe.is_probe());
            let held = breaker.admit(1, later).unwrap_err();
            assert_eq!(held, "not sent, the token was refused and is being tried again: no");
            assert!(breaker.refused(probe, later, "no"));
            assert!(breaker.admit(1, later).is_err());
        }
        later += MINUTE;
        let probe = breaker.admit(1, later).unwrap();
        assert!(breaker.accepted(probe, later));
        assert!(breaker.admit(1, later).is_ok_and(|pass| !pass.is_probe()) && breaker.admit(1, later).is_ok());
    }

    #[test]
    fn a_probe_without_an_answer_leaves_the_next_call_as_the_probe() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + MINUTE;
        for _ in 0..3 {
            let probe = breaker.admit(1, later).unwrap();
            breaker.abandoned(probe);
        }
        let probe = breaker.admit(1, later).unwrap();
        assert!(breaker.admit(1, later).is_err());
        assert!(breaker.accepted(probe, later));
    }

    #[test]
    fn late_answers_are_ignored() {
        let now = Instant::now();
        let mut breaker = Breaker::new(MINUTE);
        let early = [(); 4].map(|()| breaker.admit(1, now).unwrap());
        let pass = breaker.admit(1, now).unwrap();
        assert!(breaker.refused(pass, now, "no"));
        assert!(!breaker.accepted(early[0], now), "a success from before the refusal");
        assert!(breaker.admit(1, now).is_err());
        let probe = breaker.admit(1, now + MINUTE).unwrap();
        breaker.abandoned(early[1]);
        assert!(!breaker.refused(early[2], now + MINUTE, "no"), "only the probe counts");
        assert!(breaker.admit(1, now + MINUTE).is_err(), "the probe is still running");
        assert!(breaker.accepted(probe, now + MINUTE));
        assert!(!breaker.refused(early[3], now + MINUTE, "no"), "a refusal from before the success");
        assert!(breaker.admit(1, now + MINUTE).is_ok());
    }

    #[test]
    fn answers_to_the_previous_token_do_not_concern_the_new_one() {
        let now = Instant::now();
        let mut breaker = Breaker::new(MINUTE);
        let early = [(); 2].map(|()| breaker.admit(1, now).unwrap());
        assert!(breaker.refused(early[0], now, "no"));
        breaker.reset();
        assert!(!breaker.refused(early[1], now, "no"));
        assert!(!breaker.accepted(early[1], now), "nor do they show that the new one works");
        let pass = breaker.admit(1, now).unwrap();
        assert!(breaker.accepted(pass, now));
    }

    #[test]
    fn a_refusal_by_one_peer_does_not_stop_calls_to_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let other = breaker.admit(2, now).unwrap();
        assert!(!breaker.accepted(other, now), "the first still refuses");
        assert!(breaker.admit(1, now).is_err());
        let late = now + MINUTE * (FORGET + 1);
        let other = breaker.admit(2, late).unwrap();
        assert!(breaker.accepted(other, late), "the first was not called for so long that it is dropped");
    }

    #[test]
    fn the_number_of_remembered_refusals_is_bounded() {
        let now = Instant::now();
        let mut breaker = Breaker::new(MINUTE);
        for peer in 0..u32::try_from(MAX_OPEN).unwrap() + 5 {
            let at = now + Duration::from_millis(u64::from(peer));
            let pass = breaker.admit(peer, at).unwrap();
            assert!(breaker.refused(pass, at, "no"));
        }
        assert_eq!(breaker.open.len(), MAX_OPEN);
        assert!(breaker.admit(0, now).is_ok(), "the oldest was dropped");
        assert!(breaker.admit(5, now).is_err());
    }
}
