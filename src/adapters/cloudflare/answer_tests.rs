use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kernel::{Classify, Failure};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn answer(status: u16, body: impl Into<Vec<u8>>, retry_after: Option<&str>) -> Answer {
    Answer { status, reason: None, etag: None, retry_after: retry_after.map(str::to_owned), body: body.into() }
}

fn refusal(status: u16, codes: &[u64]) -> ZoneError {
    // The outer error has a general code; the others are its chain.
    let mut error = json!(null);
    for code in codes.iter().rev() {
        error = match error.is_null() {
            true => json!({"code": code, "message": "m"}),
            false => json!({"code": code, "message": "m", "error_chain": [error]}),
        };
    }
    let body = json!({"success": false, "errors": [error], "messages": [{"code": 10000}], "result": null});
    read("do", &answer(status, body.to_string(), None), NOW).unwrap_err()
}

#[test]
fn codes_are_found_at_any_level() {
    type Expected = fn(&ZoneError) -> bool;
    let table: [(u16, &[u64], Expected); 17] = [
        (400, &[81_058], |error| matches!(error, ZoneError::Conflict { .. })),
        (400, &[1004, 81_057], |error| matches!(error, ZoneError::Conflict { .. })),
        (400, &[81_053], |error| matches!(error, ZoneError::Conflict { .. })),
        (400, &[1004, 81_054], |error| matches!(error, ZoneError::Conflict { .. })),
        (400, &[81_056], |error| matches!(error, ZoneError::Conflict { .. })),
        (404, &[81_044], |error| matches!(error, ZoneError::Gone { .. })),
        (400, &[81_045], |error| matches!(error, ZoneError::Quota { .. })),
        (400, &[1004, 9300], |error| matches!(error, ZoneError::Quota { .. })),
        (400, &[1004, 9021], |error| matches!(error, ZoneError::Refused { .. })),
        (400, &[9101], |error| matches!(error, ZoneError::Refused { .. })),
        (400, &[7003, 7000], |error| matches!(error, ZoneError::Misconfigured { .. })),
        (400, &[6003, 6111], |error| matches!(error, ZoneError::Unauthorized { .. })),
        (400, &[9106], |error| matches!(error, ZoneError::Unauthorized { .. })),
        (403, &[10_000], |error| matches!(error, ZoneError::Unauthorized { .. })),
        (403, &[9109], |error| matches!(error, ZoneError::Unauthorized { .. })),
        (429, &[10_100], |error| matches!(error, ZoneError::RateLimited { .. })),
        (502, &[81_044], |error| matches!(error, ZoneError::NoAnswer { .. })),
    ];
    for (status, codes, expected) in table {
        let error = refusal(status, codes);
        assert!(expected(&error), "{status} {codes:?}: {error:?}");
    }
}

#[test]
fn an_answer_in_another_format_leaves_the_outcome_unknown() {
    for (status, body) in [
        (200, "<html>"),
        (200, ""),
        (200, r#"{"success":tr"#),
        (400, "<html>"),
        (403, "<html>"),
        (401, ""),
        (503, ""),
        (302, ""),
    ] {
        let error = read("do", &answer(status, body, None), NOW).unwrap_err();
        assert_eq!(error.failure(), Failure::Ambiguous, "{status} {body}: {error}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_classified_by_its_status() {
    let cut = |status| cut_off("do", status, (Some("7"), false), "cut".to_owned(), NOW);
    let seven = Duration::from_secs(7);
    assert!(matches!(cut(429), ZoneError::RateLimited { retry_after, .. } if retry_after == seven));
    for status in [401, 403] {
        assert!(matches!(cut(status), ZoneError::Unauthorized { .. }), "{status}");
    }
    for status in [200, 400, 404, 500, 503] {
        assert!(matches!(cut(status), ZoneError::NoAnswer { .. }), "{status}");
    }
    let page = cut_off("do", 403, (None, true), "cut".to_owned(), NOW);
    assert!(matches!(page, ZoneError::NoAnswer { .. }), "{page:?}");
}

#[test]
fn a_code_among_the_messages_of_a_success_is_ignored() {
    let body = json!({"success": true, "errors": [], "messages": [{"code": 10000, "message": "active"}],
        "result": {"status": "active", "expires_on": "2030-01-01T00:00:00Z"}});
    let document = read("verify", &answer(200, body.to_string(), None), NOW).unwrap();
    assert_eq!(token("verify", &document).unwrap(), Some(Timestamp::from_millis(1_893_456_000_000)));
    for status in ["disabled", "expired"] {
        let document = json!({"result": {"status": status}});
        assert!(matches!(token("verify", &document), Err(ZoneError::Unauthorized { .. })));
    }
}

#[test]
fn a_pause_is_as_long_as_the_server_asks_up_to_a_limit() {
    let pause = |text| pause(text, NOW);
    assert_eq!(pause(Some("7")), Duration::from_secs(7));
    assert_eq!(pause(Some("Tue, 14 Nov 2023 22:13:30 GMT")), Duration::from_secs(10));
    assert_eq!(pause(Some("99999")), MAX_PAUSE);
    for text in [None, Some("soon")] {
        assert!((DEFAULT_PAUSE..DEFAULT_PAUSE * 2).contains(&pause(text)), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(status in 0u16..1000, body in prop::collection::vec(any::<u8>(), 0..300), after in ".{0,20}") {
        let answer = answer(status, body, Some(&after));
        if let Ok(document) = read("do", &answer, NOW) {
            let _ = page(&document);
            let _ = token("do", &document);
        }
    }
}
