//! Formats and parses records of the API (docs/contracts/edge.md A2, A3 and A8). Total: a row of any shape gives a
//! record, a reason, or nothing when its name cannot belong to one of our servers.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::kernel::{DnsName, Timestamp};
use crate::ports::{NewRecord, RecordData, RecordId, RecordType, Srv, Ttl, ZoneRecord};

/// The document that creates `new`, or turns another record into it.
pub(super) fn document(new: &NewRecord) -> Value {
    let ttl = match new.ttl {
        Ttl::Auto => 1,
        Ttl::Seconds(seconds) => seconds,
    };
    let mut document = json!({
        "type": new.data.record_type(), "name": new.name, "ttl": ttl, "proxied": false, "comment": new.comment,
    });
    let (key, value) = match &new.data {
        RecordData::A(address) => ("content", json!(address)),
        RecordData::Aaaa(address) => ("content", json!(address)),
        RecordData::Cname(name) | RecordData::Ns(name) => ("content", json!(name)),
        RecordData::Other { text, .. } | RecordData::Unreadable { text, .. } => ("content", json!(text)),
        RecordData::Srv(Srv { priority, weight, port, target }) => {
            let target = target.as_ref().map_or(".", DnsName::as_str);
            ("data", json!({ "priority": priority, "weight": weight, "port": port, "target": target }))
        }
    };
    if let Some(fields) = document.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
    document
}

/// Parses a listed row.
pub(super) fn read(row: &Value, zone: &DnsName) -> Result<Option<ZoneRecord>, String> {
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    let kind = text("type").ok_or("a listed record has no type")?.to_ascii_uppercase();
    let Ok(name) = DnsName::in_zone(text("name").unwrap_or_default(), zone) else { return Ok(None) };
    let data = value(&kind, row, zone).unwrap_or_else(|kind| RecordData::Unreadable {
        kind,
        text: [row.get("content"), row.get("data")].into_iter().flatten().map(ToString::to_string).collect::<String>(),
    });
    let seconds = row.get("ttl").and_then(whole).and_then(|ttl| u32::try_from(ttl).ok());
    let created = text("created_on").and_then(|at| at.parse::<DateTime<Utc>>().ok());
    Ok(Some(ZoneRecord {
        id: text("id").map(|id| RecordId(id.to_owned())),
        data,
        ttl: match seconds {
            None | Some(1) => Ttl::Auto,
            Some(seconds) => Ttl::Seconds(seconds),
        },
        proxied: row.get("proxied").and_then(Value::as_bool).unwrap_or(false),
        disabled: false,
        comment: text("comment").filter(|comment| !comment.is_empty()).map(str::to_owned),
        created_at: created.map(|at| Timestamp::from_millis(at.timestamp_millis())),
        name,
    }))
}

/// The value of a row; the type of a value that cannot be parsed.
fn value(kind: &str, row: &Value, zone: &DnsName) -> Result<RecordData, RecordType> {
    let content = row.get("content").and_then(Value::as_str).map(str::trim);
    let parsed = match kind {
        "A" => (RecordType::A, content.and_then(|text| text.parse().ok()).map(RecordData::A)),
        "AAAA" => (RecordType::Aaaa, content.and_then(|text| text.parse().ok()).map(RecordData::Aaaa)),
        "CNAME" => (RecordType::Cname, content.and_then(|text| text.parse().ok()).map(RecordData::Cname)),
        "NS" => (RecordType::Ns, content.and_then(|text| text.parse().ok()).map(RecordData::Ns)),
        "SRV" => (RecordType::Srv, srv(row, zone).map(RecordData::Srv)),
        _ => {
            let text = content.unwrap_or_default().to_owned();
            (RecordType::Other, Some(RecordData::Other { kind: kind.to_owned(), text }))
        }
    };
    parsed.1.ok_or(parsed.0)
}

/// The SRV data of a row: from `data` if it has a target, otherwise from the text, which once had three fields and a
/// separate priority.
fn srv(row: &Value, zone: &DnsName) -> Option<Srv> {
    let data = row.get("data");
    let field = |key: &str| data.and_then(|data| data.get(key));
    if let Some(target) = field("target").and_then(Value::as_str) {
        let number = |key| field(key).and_then(short);
        return build(number("priority")?, number("weight")?, number("port")?, target, zone);
    }
    let words: Vec<&str> = row.get("content")?.as_str()?.split_whitespace().collect();
    match words.as_slice() {
        [priority, weight, port, target] => {
            build(priority.parse().ok()?, weight.parse().ok()?, port.parse().ok()?, target, zone)
        }
        [weight, port, target] => {
            let priority = row.get("priority").and_then(short)?;
            build(priority, weight.parse().ok()?, port.parse().ok()?, target, zone)
        }
        _ => None,
    }
}

fn build(priority: u16, weight: u16, port: u16, target: &str, zone: &DnsName) -> Option<Srv> {
    let target = match target.trim() {
        "." => None,
        name => Some(DnsName::target(name, zone).ok()?),
    };
    Some(Srv { priority, weight, port, target })
}

/// A whole number, also if it is written as a float.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..1e9).contains(float))?;
        Some(float as u64)
    })
}

fn short(value: &Value) -> Option<u16> {
    whole(value).and_then(|number| u16::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone() -> DnsName {
        "zone.tld".parse().unwrap()
    }

    fn service() -> RecordData {
        let target = Some("mc-1.zone.tld".parse().unwrap());
        RecordData::Srv(Srv { priority: 0, weight: 5, port: 25_565, target })
    }

    #[test]
    fn every_format_of_an_srv_record_is_parsed_equally() {
        let rows = [
            json!({"data": {"priority": 0, "weight": 5, "port": 25565, "target": "mc-1.zone.tld"}}),
            json!({"data": {"priority": 0.0, "weight": 5.0, "port": 25565.0, "target": "MC-1.Zone.TLD."}, "content": "x"}),
            json!({"data": {"service": "_minecraft", "proto": "_tcp", "name": "mc-1", "priority": 0, "weight": 5,
                "port": 25565, "target": "mc-1"}, "priority": 9}),
            json!({"content": "0 5 25565 mc-1.zone.tld."}),
            json!({"content": "5\t25565\tmc-1.zone.tld", "priority": 0, "data": {}}),
        ];
        for mut row in rows {
            row["type"] = json!("SRV");
            row["name"] = json!("_Minecraft._TCP.MC-1.Zone.TLD.");
            let record = read(&row, &zone()).unwrap().unwrap();
            assert_eq!((record.name.as_str(), record.data), ("_minecraft._tcp.mc-1.zone.tld", service()), "{row}");
        }
    }

    #[test]
    fn an_invalid_record_is_listed_as_unreadable() {
        for row in [
            json!({"data": {"priority": 0.5, "weight": 5, "port": 25565, "target": "a"}}),
            json!({"data": {"priority": 0, "weight": 5, "port": 70000, "target": "a"}}),
            json!({"content": "5 25565 a"}),
            json!({"content": "0 5 25565"}),
            json!({}),
        ] {
            let mut row = row;
            row["type"] = json!("SRV");
            row["name"] = json!("a.zone.tld");
            let data = read(&row, &zone()).unwrap().unwrap().data;
            assert!(matches!(data, RecordData::Unreadable { kind: RecordType::Srv, .. }), "{row}: {data:?}");
        }
        for (kind, content) in [("A", json!("1.2.3")), ("AAAA", Value::Null), ("CNAME", json!("a b")), ("NS", json!(5))]
        {
            let row = json!({"type": kind, "name": "a.zone.tld", "content": content});
            let data = read(&row, &zone()).unwrap().unwrap().data;
            assert!(matches!(data, RecordData::Unreadable { .. }), "{row}: {data:?}");
            assert_eq!(data.record_type().as_str(), kind);
        }
    }

    #[test]
    fn a_written_record_is_parsed_back() {
        for data in [
            service(),
            RecordData::A([203, 0, 113, 1].into()),
            RecordData::Srv(Srv { priority: 1, weight: 2, port: 3, target: None }),
        ] {
            let new =
                NewRecord { name: "a.zone.tld".parse().unwrap(), data, ttl: Ttl::Seconds(60), comment: "x".to_owned() };
            let record = read(&document(&new), &zone()).unwrap().unwrap();
            assert_eq!((record.name, record.data, record.ttl), (new.name, new.data, new.ttl));
            assert_eq!((record.proxied, record.comment.as_deref()), (false, Some("x")));
        }
    }

    #[test]
    fn records_of_other_types_and_names_are_tolerated() {
        let other = read(&json!({"type": "TXT", "name": "zone.tld", "content": "v=spf1"}), &zone()).unwrap().unwrap();
        assert_eq!(other.data, RecordData::Other { kind: "TXT".to_owned(), text: "v=spf1".to_owned() });
        assert_eq!(read(&json!({"type": "A", "name": "a b.zone.tld", "content": "1.2.3.4"}), &zone()), Ok(None));
    }

    proptest! {
        #[test]
        fn no_row_makes_it_panic(kind in "A|AAAA|SRV|CNAME|NS|[A-Z]{1,3}", name in ".{0,40}", content in ".{0,40}",
                                 number in any::<f64>(), target in ".{0,20}") {
            let row = json!({"type": kind, "name": name, "content": content, "ttl": number, "priority": number,
                "data": {"priority": number, "weight": number, "port": number, "target": target}});
            let _ = read(&row, &zone());
        }
    }
}
