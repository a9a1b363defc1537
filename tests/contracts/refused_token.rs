//! A token that a DNS server refuses: one probe a cool-down, whichever caller, and what closes the breaker again. The same
//! for both clients.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use zpack::adapters::cloudflare::{Cloudflare, CloudflareSettings};
use zpack::adapters::technitium::{Technitium, TechnitiumSettings};
use zpack::kernel::{Clock, Reach, Secret, Timestamp};
use zpack::ports::{DnsZone, ZoneError};

use super::scripted::{Act, Scripted, Seen, answer};
use super::zone_kit::ZONE;

const SPAN: Duration = Duration::from_secs(60);

/// How the server answers every call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Refuses,
    Accepts,
    /// It accepts the token and refuses the request.
    Objects,
    Silent,
    /// The token is valid and has no rights in the zone.
    Verifies,
}

/// A client, its server, and the clock of the client.
struct Pair {
    zone: Arc<dyn DnsZone>,
    server: Scripted,
    mood: Arc<Mutex<Mood>>,
    clock: Clock,
    /// Requests of one attempt: Technitium has two ways to send a token.
    attempt: usize,
}

impl Pair {
    async fn both() -> [Self; 2] {
        [Self::cloudflare().await, Self::technitium().await]
    }

    async fn cloudflare() -> Self {
        Self::start(cloudflare_says, 1, |url, clock| {
            let (token, zone, zone_id) = (Secret::new("token").into(), ZONE.parse().unwrap(), "0".repeat(32));
            let (timeout, cool_down) = (Duration::from_millis(300), SPAN);
            let settings =
                CloudflareSettings { reach: Reach::Loopback, base_url: url, token, zone_id, zone, timeout, cool_down };
            Arc::new(Cloudflare::new(settings, clock).unwrap())
        })
        .await
    }

    async fn technitium() -> Self {
        Self::start(technitium_says, 2, |url, clock| {
            let (token, zone) = (Secret::new("token").into(), ZONE.parse().unwrap());
            let (timeout, cool_down) = (Duration::from_millis(300), SPAN);
            let settings =
                TechnitiumSettings { reach: Reach::Loopback, base_url: url, token, zone, timeout, cool_down };
            Arc::new(Technitium::new(settings, clock).unwrap())
        })
        .await
    }

    async fn start(
        says: fn(Mood, &Seen) -> Vec<u8>,
        attempt: usize,
        client: impl FnOnce(url::Url, Clock) -> Arc<dyn DnsZone>,
    ) -> Self {
        let mood = Arc::new(Mutex::new(Mood::Refuses));
        let at = mood.clone();
        let server = Scripted::start(move |_, seen| match *at.lock().unwrap() {
            Mood::Silent => Act::Hang,
            mood => Act::Send(says(mood, seen)),
        })
        .await;
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
        Self { zone: client(server.url(), clock.clone()), server, mood, clock, attempt }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Eight concurrent callers, as in the reconciler of the edge.
    async fn eight(&self) -> Vec<Result<usize, ZoneError>> {
        join_all((0..8).map(|_| async { self.zone.list().await.map(|records| records.len()) })).await
    }

    fn calls(&self) -> usize {
        self.server.seen().len()
    }

    async fn is_refused(&self) {
        let refused = self.zone.list().await;
        assert!(matches!(refused, Err(ZoneError::Unauthorized { .. })), "{refused:?}");
    }
}

fn cloudflare_says(mood: Mood, seen: &Seen) -> Vec<u8> {
    let refusal = json!({"success": false, "errors": [{"code": 10_000, "message": "Authentication error"}]});
    match mood {
        Mood::Verifies if seen.path().ends_with("/verify") => {
            let body = json!({"success": true, "errors": [], "result": {"id": "0", "status": "active"}});
            answer("200 OK", &body.to_string())
        }
        Mood::Refuses | Mood::Verifies => answer("403 Forbidden", &refusal.to_string()),
        Mood::Objects => {
            let body = json!({"success": false, "errors": [{"code": 9101, "message": "a field is required"}]});
            answer("400 Bad Request", &body.to_string())
        }
        Mood::Accepts | Mood::Silent => {
            let info = json!({"page": 1, "per_page": 5000, "count": 0, "total_count": 0, "total_pages": 0});
            let body = json!({"success": true, "errors": [], "result": [], "result_info": info});
            answer("200 OK", &body.to_string())
        }
    }
}

fn technitium_says(mood: Mood, _: &Seen) -> Vec<u8> {
    let body = match mood {
        Mood::Refuses | Mood::Verifies => json!({"status": "invalid-token", "errorMessage": "Invalid token."}),
        Mood::Objects => json!({"status": "error", "errorMessage": "The parameter makes no sense."}),
        Mood::Accepts | Mood::Silent => json!({"status": "ok", "response": {"records": []}}),
    };
    answer("200 OK", &body.to_string())
}

#[tokio::test]
async fn one_of_many_concurrent_callers_is_the_probe() {
    for pair in Pair::both().await {
        pair.is_refused().await;
        for spans in 1..=3 {
            let refused = pair.eight().await;
            assert!(refused.iter().all(|one| matches!(one, Err(ZoneError::Unauthorized { .. }))), "{refused:?}");
            assert_eq!(pair.calls(), spans * pair.attempt, "nothing is sent within the span");
            pair.clock.advance(SPAN);
            let refused = pair.eight().await;
            assert!(refused.iter().all(|one| matches!(one, Err(ZoneError::Unauthorized { .. }))), "{refused:?}");
            assert_eq!(pair.calls(), (spans + 1) * pair.attempt, "one of the eight asked");
        }
        pair.clock.advance(SPAN);
        pair.is(Mood::Accepts);
        let before = pair.calls();
        let found_out = pair.eight().await.into_iter().filter(Result::is_ok).count();
        assert_eq!((found_out, pair.calls()), (1, before + 1));
        assert!(pair.eight().await.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn an_unrelated_refusal_shows_that_the_token_is_accepted() {
    for pair in Pair::both().await {
        pair.is_refused().await;
        pair.clock.advance(SPAN);
        pair.is(Mood::Objects);
        let objected = pair.zone.list().await;
        assert!(matches!(objected, Err(ZoneError::Refused { .. })), "{objected:?}");
        let all = pair.eight().await;
        assert!(all.iter().all(|one| matches!(one, Err(ZoneError::Refused { .. }))), "{all:?}");
        assert_eq!(pair.calls(), pair.attempt + 9);
    }
}

#[tokio::test]
async fn a_probe_without_an_answer_leaves_the_next_call_as_the_probe() {
    for pair in Pair::both().await {
        pair.is_refused().await;
        pair.clock.advance(SPAN);
        pair.is(Mood::Silent);
        for asked in 1..=2 {
            let lost = pair.zone.list().await;
            assert!(matches!(lost, Err(ZoneError::NoAnswer { .. })), "{lost:?}");
            assert_eq!(pair.calls(), pair.attempt + asked);
        }
        // The same after a caller that did not wait for the answer.
        let impatient = tokio::time::timeout(Duration::from_millis(50), pair.zone.list()).await;
        assert!(impatient.is_err());
        pair.is(Mood::Accepts);
        pair.zone.list().await.unwrap();
    }
}

/// A token that is active and may not do anything in the zone.
#[tokio::test]
async fn an_active_token_without_rights_keeps_the_breaker_open() {
    let pair = Pair::cloudflare().await;
    pair.is(Mood::Verifies);
    for spans in 1..=3 {
        for _ in 0..2 {
            let checked = pair.zone.check().await;
            assert!(matches!(checked, Err(ZoneError::Unauthorized { .. })), "{checked:?}");
            pair.is_refused().await;
        }
        assert_eq!(pair.calls(), spans, "one attempt a span, by a check too");
        pair.clock.advance(SPAN);
    }
}

/// Reads the status of an answer whose body breaks off.
#[tokio::test]
async fn an_answer_that_breaks_off_is_judged_by_its_status() {
    let cut = async |status: &'static str| {
        let bytes = format!("HTTP/1.1 {status}\r\nRetry-After: 7\r\nContent-Length: 500\r\n\r\n{{\"succ").into_bytes();
        Scripted::start(move |_, _| Act::SendAndClose(bytes.clone())).await
    };
    for (status, calls) in [("429 Too Many Requests", 1), ("403 Forbidden", 1), ("401 Unauthorized", 1), ("200 OK", 2)]
    {
        let (server, mut pair) = (cut(status).await, Pair::cloudflare().await);
        let settings = CloudflareSettings {
            reach: Reach::Loopback,
            base_url: server.url(),
            token: Secret::new("token").into(),
            zone_id: "0".repeat(32),
            zone: ZONE.parse().unwrap(),
            timeout: Duration::from_secs(2),
            cool_down: SPAN,
        };
        pair.zone = Arc::new(Cloudflare::new(settings, pair.clock.clone()).unwrap());
        for _ in 0..2 {
            let error = pair.zone.list().await.unwrap_err();
            let is_right = match (&error, status) {
                (ZoneError::RateLimited { retry_after, .. }, "429 Too Many Requests") => {
                    *retry_after == Duration::from_secs(7)
                }
                (ZoneError::Unauthorized { .. }, "403 Forbidden" | "401 Unauthorized") => true,
                (ZoneError::NoAnswer { .. }, "200 OK") => true,
                _ => false,
            };
            assert!(is_right, "{status}: {error:?}");
        }
        assert_eq!(server.seen().len(), calls, "{status}: whether everybody waits");
    }
    for status in ["403 Forbidden", "401 Unauthorized"] {
        let server = cut(status).await;
        let settings = TechnitiumSettings {
            reach: Reach::Loopback,
            base_url: server.url(),
            token: Secret::new("token").into(),
            zone: ZONE.parse().unwrap(),
            timeout: Duration::from_secs(2),
            cool_down: SPAN,
        };
        let zone = Technitium::new(settings, Clock::System).unwrap();
        for _ in 0..2 {
            let error = zone.list().await.unwrap_err();
            assert!(matches!(error, ZoneError::Unauthorized { .. }), "{status}: {error:?}");
        }
        assert_eq!(server.seen().len(), 2, "{status}: one attempt, in both ways");
    }
}
