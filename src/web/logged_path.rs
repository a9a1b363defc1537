//! The path of a request as it is logged (pure): a segment that could be a secret is left out.

use uuid::Uuid;

/// The longest logged path, in characters.
const LONGEST: usize = 200;
/// The longest segment that is logged although it has digits.
const LONGEST_WITH_DIGITS: usize = 16;
/// The longest segment that is logged.
const LONGEST_WORD: usize = 32;

/// `path` without what could be a secret. The query is never logged.
pub(super) fn logged_path(path: &str) -> String {
    let segments = path.split('/').map(|segment| if is_plain(segment) { segment } else { "\u{2026}" });
    segments.collect::<Vec<_>>().join("/").chars().take(LONGEST).collect()
}

/// Whether `segment` is a word, a number or an id of ours.
fn is_plain(segment: &str) -> bool {
    if segment.split_once('_').is_some_and(|(kind, id)| kind.len() <= 4 && Uuid::try_parse(id).is_ok()) {
        return true;
    }
    let is_word =
        segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    let has_digits = segment.bytes().any(|b| b.is_ascii_digit());
    is_word && segment.len() <= if has_digits { LONGEST_WITH_DIGITS } else { LONGEST_WORD }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_ids_are_logged_and_what_could_be_a_secret_is_not() {
        let id = format!("op_{}", Uuid::now_v7());
        for plain in [
            "/".to_owned(),
            "/api/servers/5000/host/start".to_owned(),
            "/internal/velocity/proxy-status".to_owned(),
            format!("/api/operations/{id}/events"),
            "/openapi.json".to_owned(),
        ] {
            assert_eq!(logged_path(&plain), plain);
        }
        for secret in [
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3IifQ.c2lnbmF0dXJl",
            "0123456789abcdef0123456789abcdef",
            "3q2-7w_Zk1T8",
            "%65%79",
            "d41d8cd98f00b204e",
        ] {
            assert_eq!(logged_path(&format!("/api/console/{secret}/x")), "/api/console/\u{2026}/x");
        }
        assert_eq!(logged_path(&"/aaaaaaa".repeat(100)).len(), LONGEST);
    }
}
