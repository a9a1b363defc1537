//! Parses the answers of the bridge. Total: an answer of any shape gives a value or a reason.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use crate::adapters::answer::Answer;
use crate::ports::{ProxyEntry, ProxyError, ProxyListing};

const MAX_DETAIL: usize = 300;

/// Parses a listing: `{boot_id?, uptime_s?, servers:[{name, address?, port?, …}]}`. A server without a name makes the whole
/// listing an error; otherwise it would count as not registered. Names may be of any length: those of others are listed too.
pub(super) fn listing(answer: &Answer) -> Result<ProxyListing, String> {
    let document = answer.document().map_err(|error| format!("it is not JSON: {error}"))?;
    let servers = document.get("servers").and_then(Value::as_array).ok_or("it has no list of servers")?;
    let servers: Result<Vec<_>, String> = servers.iter().map(entry).collect();
    let boot_id = document.get("boot_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let uptime = document.get("uptime_s").and_then(Value::as_f64).and_then(|s| Duration::try_from_secs_f64(s).ok());
    Ok(ProxyListing { boot_id: boot_id.map(cut), uptime, servers: servers? })
}

fn entry(server: &Value) -> Result<ProxyEntry, String> {
    let name = server.get("name").and_then(Value::as_str);
    let name = name.ok_or("a listed server has no name")?.to_owned();
    let text = server.get("address").and_then(Value::as_str).unwrap_or_default().trim_start_matches('/');
    let port = server.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let separate = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, port?));
    Ok(ProxyEntry { name, address: separate().or_else(|| text.parse().ok()) })
}

/// The error for an answer that is not a success.
pub(super) fn refused(operation: String, answer: &Answer) -> ProxyError {
    let words = answer.text(MAX_DETAIL);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let detail = cut(&if words.is_empty() { answer.reason.clone().unwrap_or_default() } else { words });
    match answer.status {
        status @ (401 | 403) if detail.is_empty() => {
            ProxyError::Unauthorized { operation, detail: format!("status {status}") }
        }
        401 | 403 => ProxyError::Unauthorized { operation, detail },
        status => ProxyError::Refused { operation, status, detail },
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listing(body: &[u8]) -> Result<ProxyListing, String> {
        super::listing(&Answer { status: 200, reason: None, etag: None, retry_after: None, body: body.to_vec() })
    }

    #[test]
    fn listings_of_both_bridges_are_read() {
        let body = br#"{"boot_id":"b1","uptime_s":12.5,"servers":[
            {"name":"mc-1.zone.tld","address":"10.0.0.1","port":25565,"registered_at":"x","last_ping":null,"new":1},
            {"name":"mc-2","address":"/10.0.0.2:25566"},{"name":"lobby","address":"lobby.internal","port":25565}]}"#;
        let listing = listing(body).unwrap();
        assert_eq!((listing.boot_id.as_deref(), listing.uptime), (Some("b1"), Some(Duration::from_millis(12_500))));
        let seen: Vec<_> = listing.servers.iter().map(|server| (server.name.as_str(), server.address)).collect();
        let address = |text: &str| Some(text.parse().unwrap());
        let expected =
            [("mc-1.zone.tld", address("10.0.0.1:25565")), ("mc-2", address("10.0.0.2:25566")), ("lobby", None)];
        assert_eq!(seen, expected);
        let older = super::tests::listing(br#"{"servers":[{"name":"a"}]}"#).unwrap();
        assert_eq!((older.boot_id, older.uptime, older.servers[0].address), (None, None, None));
    }

    #[test]
    fn a_listing_with_any_error_is_refused() {
        for body in
            ["", "[]", "{}", r#"{"servers":{}}"#, r#"{"servers":[{"name":"a"},{}]}"#, "<html>", r#"{"servers":["#]
        {
            assert!(listing(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(status in 0u16..1000, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = listing(&body);
            let _ = refused(String::new(), &Answer { status, reason: None, etag: None, retry_after: None, body });
        }
    }
}
