//! Callbacks in every order, doubled, late, about somewhere else.

use proptest::prelude::*;

use super::*;
use crate::ports::PingReport;

const BACKEND: &str = "10.0.0.1:25565";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn record() -> ProxyRecord {
    ProxyRecord::begin(at(100), BACKEND.parse().unwrap())
}

fn event(status: ProxyStatus, seconds: i64) -> ProxyEvent {
    ProxyEvent {
        server_name: "mc-1.play.test".to_owned(),
        status,
        address: Some("10.0.0.1".to_owned()),
        port: Some(25_565),
        latency_ms: None,
        error: None,
        boot_id: Some("b1".to_owned()),
        at: Some(at(seconds)),
    }
}

fn kept(record: &ProxyRecord, event: &ProxyEvent, received: i64) -> ProxyRecord {
    match record.receive(event, at(received)) {
        Receipt::Kept(next) => next,
        other => panic!("{event:?} was not kept: {other:?}"),
    }
}

fn listing(boot: &str) -> ProxyListing {
    ProxyListing { boot_id: Some(boot.to_owned()), uptime: None, servers: Vec::new() }
}

#[test]
fn a_late_failure_does_not_undo_a_newer_answer() {
    let record = kept(&record(), &event(ProxyStatus::Registered, 101), 101);
    assert_eq!(record.presence(at(102)), ProxyPresence::Registered);
    assert_eq!(record.ping_state(at(102)), PingState::Unknown);
    let record = kept(&record, &event(ProxyStatus::PingOk, 110), 110);
    assert_eq!(record.receive(&event(ProxyStatus::PingFailed, 105), at(135)), Receipt::Known);
    assert_eq!(record.receive(&event(ProxyStatus::Registered, 101), at(136)), Receipt::Known);
    assert_eq!(record.receive(&event(ProxyStatus::PingOk, 110), at(137)), Receipt::Known);
    assert_eq!(record.ping_state(at(137)), PingState::Answered);
}

#[test]
fn words_of_an_earlier_publication_or_about_another_address_are_none() {
    assert_eq!(record().receive(&event(ProxyStatus::PingOk, 99), at(101)), Receipt::Late);
    let moved = ProxyEvent { address: Some("10.0.0.2".to_owned()), ..event(ProxyStatus::PingOk, 101) };
    assert_eq!(record().receive(&moved, at(101)), Receipt::Elsewhere);
    // A bridge that sends no address, or a name for one, is believed.
    for address in [None, Some("mc-1.internal".to_owned())] {
        let event = ProxyEvent { address, ..event(ProxyStatus::PingOk, 101) };
        assert!(matches!(record().receive(&event, at(101)), Receipt::Kept(_)));
    }
}

#[test]
fn a_clock_that_is_ahead_silences_nobody() {
    let record = kept(&record(), &event(ProxyStatus::PingOk, 9_000_000), 101);
    assert_eq!(record.ping.as_ref().unwrap().at, at(101));
    let record = kept(&record, &event(ProxyStatus::PingFailed, 110), 110);
    assert_eq!(record.ping_state(at(111)), PingState::Failed);
}

#[test]
fn a_listing_counts_from_its_moment_until_the_proxy_says_otherwise() {
    let record = kept(&record(), &event(ProxyStatus::PingOk, 110), 110);
    let restarted = record.sighted(&listing("b2"), false, at(120));
    assert_eq!(restarted.presence(at(121)), ProxyPresence::NotRegistered);
    assert_eq!(restarted.sighted(&listing("b1"), true, at(115)).presence(at(121)), ProxyPresence::NotRegistered);
    let again = ProxyEvent { boot_id: Some("b2".to_owned()), ..event(ProxyStatus::Registered, 125) };
    assert_eq!(kept(&restarted, &again, 125).presence(at(126)), ProxyPresence::Registered);
}

#[test]
fn words_grow_old() {
    let record = kept(&record(), &event(ProxyStatus::PingOk, 110), 110);
    for (now, presence, ping) in
        [(230, ProxyPresence::Registered, PingState::Answered), (231, ProxyPresence::Unknown, PingState::Unknown)]
    {
        assert_eq!((record.presence(at(now)), record.ping_state(at(now))), (presence, ping), "{now}");
    }
}

#[test]
fn our_own_pings_count_unless_the_proxy_answered_them() {
    let answered =
        |version: &str| Ping::Answered(PingReport { version: Some(version.to_owned()), ..PingReport::default() });
    let state = |ping: &Ping| record().pinged(ping, at(101)).ping_state(at(101));
    assert_eq!(state(&answered("Paper 1.21.1")), PingState::Answered);
    assert_eq!(state(&answered("Velocity 3.3.0")), PingState::Unknown);
    assert_eq!(state(&Ping::Silent), PingState::Silent);
    assert_eq!(state(&Ping::Unreachable { detail: "refused".to_owned() }), PingState::Failed);
    assert_eq!(state(&Ping::Unusable { detail: "x".repeat(9000) }), PingState::Failed);
}

fn events() -> impl Strategy<Value = Vec<ProxyEvent>> {
    let one = (0..3usize, 95i64..110, prop::option::of(0u64..3), prop::option::of("[ab]"), any::<bool>()).prop_map(
        |(status, seconds, latency_ms, boot_id, elsewhere)| ProxyEvent {
            latency_ms,
            error: latency_ms.map(|number| number.to_string()),
            boot_id,
            address: Some(if elsewhere { "10.0.0.9" } else { "10.0.0.1" }.to_owned()),
            ..event(ProxyStatus::ALL[status], seconds)
        },
    );
    prop::collection::vec(one, 0..12)
}

fn after(events: &[ProxyEvent]) -> ProxyRecord {
    events.iter().fold(record(), |record, event| match record.receive(event, at(200)) {
        Receipt::Kept(next) => next,
        Receipt::Known | Receipt::Late | Receipt::Elsewhere => record,
    })
}

proptest! {
    #[test]
    fn order_and_repetition_are_not_seen_in_the_end(
        (events, shuffled) in events().prop_flat_map(|events| {
            let doubled = [events.clone(), events.clone()].concat();
            (Just(events), Just(doubled).prop_shuffle())
        })
    ) {
        prop_assert_eq!(after(&events), after(&shuffled));
    }

    #[test]
    fn no_word_makes_what_is_known_older(events in events(), next in events()) {
        let before = after(&events);
        let later = after(&[events, next].concat());
        let moment = |record: &ProxyRecord| {
            (record.heard.as_ref().map(|sign| sign.at), record.ping.as_ref().map(|note| note.at))
        };
        prop_assert!(moment(&later).0 >= moment(&before).0 && moment(&later).1 >= moment(&before).1);
        prop_assert!(later.heard.iter().all(|sign| sign.at >= at(100)));
    }

    #[test]
    fn a_record_survives_its_storage(events in events()) {
        let record = after(&events).sighted(&listing("b"), true, at(150));
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(serde_json::from_str::<ProxyRecord>(&text).unwrap(), record);
    }
}
