//! Formats and parses records of the API (docs/contracts/edge.md B2). Total.

use serde_json::Value;

use crate::kernel::{DnsName, Timestamp};
use crate::ports::{RecordData, RecordId, RecordType, Srv, Ttl, ZoneRecord};

/// The value that makes the server choose the TTL.
const DEFAULT_TTL: u32 = 3600;

/// A TTL in the server's format.
pub(super) const fn seconds(ttl: Ttl) -> u32 {
    match ttl {
        Ttl::Auto => DEFAULT_TTL,
        Ttl::Seconds(seconds) => seconds,
    }
}

/// The fields that identify a record: its name, its type and its current value.
pub(super) fn identity(name: &DnsName, data: &RecordData) -> Vec<(&'static str, String)> {
    let mut fields = vec![("domain", name.to_string()), ("type", kind(data))];
    match data {
        RecordData::A(address) => fields.push(("ipAddress", address.to_string())),
        RecordData::Aaaa(address) => fields.push(("ipAddress", address.to_string())),
        RecordData::Cname(target) => fields.push(("cname", target.to_string())),
        RecordData::Ns(server) => fields.push(("nameServer", server.to_string())),
        RecordData::Srv(srv) => fields.extend([
            ("priority", srv.priority.to_string()),
            ("weight", srv.weight.to_string()),
            ("port", srv.port.to_string()),
            ("target", target(srv)),
        ]),
        RecordData::Unreadable { .. } | RecordData::Other { .. } => {}
    }
    fields
}

/// The fields that set a record's new value.
pub(super) fn new_value(data: &RecordData) -> Vec<(&'static str, String)> {
    match data {
        RecordData::A(address) => vec![("newIpAddress", address.to_string())],
        RecordData::Aaaa(address) => vec![("newIpAddress", address.to_string())],
        RecordData::Srv(srv) => vec![
            ("newPriority", srv.priority.to_string()),
            ("newWeight", srv.weight.to_string()),
            ("newPort", srv.port.to_string()),
            ("newTarget", target(srv)),
        ],
        RecordData::Cname(_) | RecordData::Ns(_) | RecordData::Unreadable { .. } | RecordData::Other { .. } => {
            Vec::new()
        }
    }
}

fn kind(data: &RecordData) -> String {
    match data {
        RecordData::Other { kind, .. } => kind.clone(),
        RecordData::A(_)
        | RecordData::Aaaa(_)
        | RecordData::Srv(_)
        | RecordData::Cname(_)
        | RecordData::Ns(_)
        | RecordData::Unreadable { .. } => data.record_type().to_string(),
    }
}

fn target(srv: &Srv) -> String {
    srv.target.as_ref().map_or_else(|| ".".to_owned(), ToString::to_string)
}

/// Parses a listed row. Older releases spell some keys differently.
pub(super) fn read(row: &Value, zone: &DnsName) -> Result<Option<ZoneRecord>, String> {
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    let kind = text("type").ok_or("a listed record has no type")?.to_ascii_uppercase();
    let name = text("name").or_else(|| text("domain")).ok_or("a listed record has no name")?;
    let Ok(name) = DnsName::in_zone(name, zone) else { return Ok(None) };
    let value = row.get("rData").or_else(|| row.get("rdata"));
    let data = parse(&kind, value, zone).unwrap_or_else(|kind| RecordData::Unreadable { kind, text: shown(value) });
    let ttl = row.get("ttl").and_then(Value::as_u64).and_then(|ttl| u32::try_from(ttl).ok());
    Ok(Some(ZoneRecord {
        id: Some(id_of(&name, &data)),
        data,
        ttl: ttl.map_or(Ttl::Auto, Ttl::Seconds),
        proxied: false,
        disabled: row.get("disabled").and_then(Value::as_bool).unwrap_or(false),
        comment: text("comments").filter(|comment| !comment.is_empty()).map(str::to_owned),
        created_at: None::<Timestamp>,
        name,
    }))
}

/// The server identifies a record by its name, its type and its value.
fn id_of(name: &DnsName, data: &RecordData) -> RecordId {
    let fields = identity(name, data).into_iter().map(|(_, value)| value);
    RecordId(fields.collect::<Vec<_>>().join(" "))
}

/// A value as the server shows it, cut to a readable length.
fn shown(value: Option<&Value>) -> String {
    value.map(ToString::to_string).unwrap_or_default().chars().take(200).collect()
}

/// Parses the value of a row; the type of one that cannot be parsed.
fn parse(kind: &str, value: Option<&Value>, zone: &DnsName) -> Result<RecordData, RecordType> {
    let field = |key: &str| value.and_then(|value| value.get(key)).and_then(Value::as_str).map(str::trim);
    let parsed = match kind {
        "A" => (RecordType::A, field("ipAddress").and_then(|text| text.parse().ok()).map(RecordData::A)),
        "AAAA" => (RecordType::Aaaa, field("ipAddress").and_then(|text| text.parse().ok()).map(RecordData::Aaaa)),
        "CNAME" => (RecordType::Cname, field("cname").and_then(|text| text.parse().ok()).map(RecordData::Cname)),
        "NS" => (RecordType::Ns, field("nameServer").and_then(|text| text.parse().ok()).map(RecordData::Ns)),
        "SRV" => (RecordType::Srv, value.and_then(|value| srv(value, zone)).map(RecordData::Srv)),
        _ => (RecordType::Other, Some(RecordData::Other { kind: kind.to_owned(), text: shown(value) })),
    };
    parsed.1.ok_or(parsed.0)
}

fn srv(value: &Value, zone: &DnsName) -> Option<Srv> {
    let number = |key: &str| value.get(key).and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok());
    let (priority, weight, port) = (number("priority")?, number("weight")?, number("port")?);
    let target = match value.get("target")?.as_str()?.trim() {
        "." | "" => None,
        text => Some(DnsName::target(text, zone).ok()?),
    };
    Some(Srv { priority, weight, port, target })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn zone() -> DnsName {
        "zone.tld".parse().unwrap()
    }

    #[test]
    fn rows_of_old_and_new_releases_are_read() {
        let new = json!({"name": "MC-1.Zone.TLD", "type": "A", "ttl": 60, "disabled": true, "comments": "x",
            "rData": {"ipAddress": "203.0.113.1"}});
        let old = json!({"domain": "mc-1.zone.tld", "type": "A", "ttl": 60, "disabled": true, "comments": "x",
            "rdata": {"ipAddress": "203.0.113.1"}});
        let record = read(&new, &zone()).unwrap().unwrap();
        assert_eq!(read(&old, &zone()).unwrap().unwrap(), record);
        assert_eq!((record.name.as_str(), record.disabled, record.ttl), ("mc-1.zone.tld", true, Ttl::Seconds(60)));
        assert_eq!((record.data, record.comment.as_deref()), (RecordData::A([203, 0, 113, 1].into()), Some("x")));
    }

    #[test]
    fn an_srv_record_without_a_target_has_none() {
        let row = json!({"name": "a.zone.tld", "type": "SRV", "ttl": 60,
            "rData": {"priority": 0, "weight": 5, "port": 25565, "target": "."}});
        let record = read(&row, &zone()).unwrap().unwrap();
        let RecordData::Srv(srv) = &record.data else { panic!("{record:?}") };
        assert_eq!(
            (srv.target.clone(), identity(&record.name, &record.data).last().cloned()),
            (None, Some(("target", ".".to_owned())))
        );
    }

    #[test]
    fn an_unreadable_value_is_listed_as_such_and_a_row_without_name_or_type_is_no_record() {
        for row in [
            json!({"name": "a.zone.tld", "type": "A", "rData": {}}),
            json!({"name": "a.zone.tld", "type": "SRV", "rData": {"priority": 0, "weight": 5, "port": 70000, "target": "a"}}),
            json!({"name": "a.zone.tld", "type": "CNAME", "rData": {"cname": "a b"}}),
            json!({"name": "a.zone.tld", "type": "AAAA"}),
        ] {
            let data = read(&row, &zone()).unwrap().unwrap().data;
            assert!(matches!(data, RecordData::Unreadable { .. }), "{row}: {data:?}");
            assert_eq!(json!(data.record_type()), row["type"]);
        }
        for row in [json!({"name": "a.zone.tld"}), json!({"type": "A", "rData": {"ipAddress": "1.2.3.4"}})] {
            assert!(read(&row, &zone()).is_err(), "{row}");
        }
        assert!(read(&json!({"name": "zone.tld", "type": "SOA", "rData": {}}), &zone()).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn no_row_makes_it_panic(kind in "A|AAAA|SRV|CNAME|NS|[A-Z]{1,3}", name in ".{0,40}", text in ".{0,40}") {
            let value = json!({"ipAddress": text, "target": text, "priority": 1, "weight": 1, "port": 1, "cname": text});
            let _ = read(&json!({"type": kind, "name": name, "rData": value, "ttl": -1}), &zone());
        }
    }
}
