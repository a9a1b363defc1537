//! Stops calls to a peer after it refused our token, so that a wrong token costs one request a cool-down.
//!
//! - **Closed** until a call is refused: every call passes.
//! - **Open** for the cool-down: no call passes.
//! - Then one call at a time passes as the **probe**. Any answer to it but a refusal of the token closes the breaker; a
//!   refusal opens it for another cool-down; no answer proves nothing, and the next call is the probe.
//!
//! Only calls that began after the last verdict are evidence: a success that comes in late was decided before the refusal,
//! and a refusal that comes in late before the success. One token may be shown to many peers, so the state is kept by
//! `K`, the peer. Pure: the time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many peers may have refused the token at once before the oldest refusal is forgotten.
const MAX_OPEN: usize = 1024;
/// After how many cool-downs without a call the refusal of a peer is forgotten: it may no longer exist.
const FORGET: u32 = 10;

/// Which of the peers have refused the token.
#[derive(Debug)]
pub(super) struct Breaker<K> {
    cool_down: Duration,
    open: BTreeMap<K, Open>,
    /// The number of the next pass.
    next: u64,
    /// Passes before this one are older than the last time the breaker closed.
    closed_at: u64,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    detail: String,
    /// The pass of the call that finds out whether the token is accepted again.
    probe: Option<u64>,
}

/// The permission to make one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass<K> {
    peer: K,
    number: u64,
    is_probe: bool,
}

impl<K> Pass<K> {
    /// Whether the call finds out if the token is accepted again.
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }
}

impl<K: Copy + Ord> Breaker<K> {
    /// A closed one.
    pub(super) fn new(cool_down: Duration) -> Self {
        Self { cool_down, open: BTreeMap::new(), next: 0, closed_at: 0 }
    }

    /// A pass for one call to `peer`, or why there is none, in the words of the refusal.
    pub(super) fn admit(&mut self, peer: K, now: Instant) -> Result<Pass<K>, String> {
        let number = self.next;
        let Some(open) = self.open.get_mut(&peer) else {
            self.next += 1;
            return Ok(Pass { peer, number, is_probe: false });
        };
        if open.until > now {
            let seconds = (open.until - now).as_secs().max(1);
            Err(format!("not sent, the token was refused and is tried again in {seconds} s: {}", open.detail))
        } else if open.probe.is_some() {
            Err(format!("not sent, the token was refused and is being tried again: {}", open.detail))
        } else {
            open.probe = Some(number);
            self.next += 1;
            Ok(Pass { peer, number, is_probe: true })
        }
    }

    /// The peer accepted the token. Returns whether no peer is known to refuse it.
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

    /// The peer refused the token, and said `detail`. Returns whether that is news.
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

    /// The call ended without an answer about the token.
    pub(super) fn abandoned(&mut self, pass: Pass<K>) {
        if let Some(open) = self.open.get_mut(&pass.peer)
            && open.probe == Some(pass.number)
        {
            open.probe = None;
        }
    }

    /// There is another token: nothing is known of it.
    pub(super) fn reset(&mut self) {
        self.open.clear();
        self.closed_at = self.next;
    }

    /// Forgets peers that no call has been made to for long.
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
    fn a_refused_token_is_tried_by_one_call_a_cool_down_until_it_is_accepted() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let held = breaker.admit(1, now).unwrap_err();
        assert_eq!(held, "not sent, the token was refused and is tried again in 60 s: no");
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
    fn a_probe_without_an_answer_is_no_refusal_and_the_next_call_is_the_probe() {
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
    fn what_comes_in_late_is_no_evidence() {
        let now = Instant::now();
        let mut breaker = Breaker::new(MINUTE);
        let early = [(); 4].map(|()| breaker.admit(1, now).unwrap());
        let pass = breaker.admit(1, now).unwrap();
        assert!(breaker.refused(pass, now, "no"));
        assert!(!breaker.accepted(early[0], now), "a success from before the refusal");
        assert!(breaker.admit(1, now).is_err());
        let probe = breaker.admit(1, now + MINUTE).unwrap();
        breaker.abandoned(early[1]);
        assert!(!breaker.refused(early[2], now + MINUTE, "no"), "only the probe finds out");
        assert!(breaker.admit(1, now + MINUTE).is_err(), "the probe is still under way");
        assert!(breaker.accepted(probe, now + MINUTE));
        assert!(!breaker.refused(early[3], now + MINUTE, "no"), "a refusal from before the success");
        assert!(breaker.admit(1, now + MINUTE).is_ok());
    }

    #[test]
    fn a_refusal_of_the_former_token_says_nothing_of_the_next() {
        let now = Instant::now();
        let mut breaker = Breaker::new(MINUTE);
        let early = [(); 2].map(|()| breaker.admit(1, now).unwrap());
        assert!(breaker.refused(early[0], now, "no"));
        breaker.reset();
        assert!(!breaker.refused(early[1], now, "no"));
        assert!(!breaker.accepted(early[1], now), "nor does it say that the next one works");
        let pass = breaker.admit(1, now).unwrap();
        assert!(breaker.accepted(pass, now));
    }

    #[test]
    fn one_peer_that_refuses_stops_no_call_to_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let other = breaker.admit(2, now).unwrap();
        assert!(!breaker.accepted(other, now), "the first still refuses");
        assert!(breaker.admit(1, now).is_err());
        let late = now + MINUTE * (FORGET + 1);
        let other = breaker.admit(2, late).unwrap();
        assert!(breaker.accepted(other, late), "no call to the first for so long: it is forgotten");
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
        assert!(breaker.admit(0, now).is_ok(), "the oldest was forgotten");
        assert!(breaker.admit(5, now).is_err());
    }
}
