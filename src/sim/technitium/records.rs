//! The calls on records: add, get, update, delete, by the rules of docs/contracts/edge.md B3. Errors are sentences
//! without codes.

use std::str::FromStr;

use serde_json::{Value, json};

use super::model::{MAX_RECORDS, Rdata, Record, Zone};
use crate::kernel::Timestamp;

/// The expire value of the SOA; a TTL may not be greater.
const EXPIRE: u32 = 604_800;
const DEFAULT_TTL: u32 = 3600;

/// The parameters of a call, from query and form.
pub(super) struct Call {
    pub(super) parameters: Vec<(String, String)>,
    pub(super) now: Timestamp,
}

impl Call {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, key: &str) -> Result<&str, String> {
        self.get(key).filter(|value| !value.is_empty()).ok_or_else(|| format!("Parameter '{key}' missing."))
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn read<T: FromStr>(&self, key: &str) -> Result<T, String> {
        let text = self.required(key)?;
        text.parse().map_err(|_| format!("Parameter '{key}' has an invalid value: {text}"))
    }

    fn or<T: FromStr>(&self, key: &str, default: T) -> Result<T, String> {
        if self.get(key).is_none() { Ok(default) } else { self.read(key) }
    }

    /// A name: dots at both ends are removed, its case stays.
    pub(super) fn domain(&self) -> Result<String, String> {
        let domain = self.required("domain")?.trim_matches('.');
        let encoded = idna::domain_to_ascii(domain).map_err(|_| format!("Invalid domain name: {domain}"))?;
        // The encoder changes to lower case, but the server keeps the case.
        Ok(if encoded.eq_ignore_ascii_case(domain) { domain.to_owned() } else { encoded })
    }

    fn ttl(&self) -> Result<u32, String> {
        let ttl = self.or("ttl", DEFAULT_TTL)?;
        if ttl > EXPIRE {
            return Err(format!(
                "Failed to add record: TTL cannot be greater than SOA record's EXPIRE value {EXPIRE}."
            ));
        }
        Ok(ttl)
    }

    fn comments(&self) -> Option<String> {
        self.get("comments").filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn rdata(&self) -> Result<Rdata, String> {
        let kind = self.required("type")?.to_ascii_uppercase();
        Ok(match kind.as_str() {
            "A" => Rdata::A(self.read("ipAddress")?),
            "AAAA" => Rdata::Aaaa(self.read("ipAddress")?),
            "SRV" => Rdata::Srv {
                priority: self.read("priority")?,
                weight: self.read("weight")?,
                port: self.read("port")?,
                target: self.required("target")?.trim_matches('.').to_owned(),
            },
            "CNAME" => Rdata::Cname(self.required("cname")?.trim_matches('.').to_owned()),
            "NS" => Rdata::Ns(self.required("nameServer")?.trim_matches('.').to_owned()),
            "TXT" => Rdata::Txt(self.required("text")?.to_owned()),
            other => return Err(format!("Invalid DNS record type: {other}")),
        })
    }

    /// The value after an update: a field without a new value stays.
    fn new_rdata(&self, old: &Rdata) -> Result<Rdata, String> {
        Ok(match old {
            Rdata::A(address) => Rdata::A(self.or("newIpAddress", *address)?),
            Rdata::Aaaa(address) => Rdata::Aaaa(self.or("newIpAddress", *address)?),
            Rdata::Srv { priority, weight, port, target } => Rdata::Srv {
                priority: self.or("newPriority", *priority)?,
                weight: self.or("newWeight", *weight)?,
                port: self.or("newPort", *port)?,
                target: self.get("newTarget").map_or_else(|| target.clone(), |name| name.trim_matches('.').to_owned()),
            },
            Rdata::Cname(name) => Rdata::Cname(self.or("newCname", name.clone())?),
            Rdata::Ns(name) => Rdata::Ns(self.or("newNameServer", name.clone())?),
            Rdata::Txt(text) => Rdata::Txt(self.or("newText", text.clone())?),
        })
    }
}

pub(super) fn add(zone: &mut Zone, call: &Call) -> Result<Value, String> {
    let record = Record {
        name: call.domain()?,
        ttl: call.ttl()?,
        disabled: false,
        comments: call.comments(),
        expiry_ttl: call.or("expiryTtl", 0)?,
        rdata: call.rdata()?,
        modified: call.now,
    };
    insert(zone, record, call.flag("overwrite"))
}

/// Adds a record to its RRset, or replaces the whole RRset.
fn insert(zone: &mut Zone, record: Record, overwrite: bool) -> Result<Value, String> {
    let kind = record.rdata.kind();
    beside_alias(zone, &record.name, kind)?;
    let shown = record.show();
    if overwrite {
        zone.records.retain(|other| !other.is_of(&record.name, kind));
    } else {
        let same = |other: &Record| other.is_of(&record.name, kind) && other.rdata.equals(&record.rdata);
        let known = zone.records.iter().find(|other| same(other));
        if known.is_some_and(|known| known.ttl == record.ttl) {
            return Err("Cannot add record: record already exists.".to_owned());
        }
        let is_known = known.is_some();
        // One RRset has one TTL.
        for other in zone.records.iter_mut().filter(|other| other.is_of(&record.name, kind)) {
            other.ttl = record.ttl;
        }
        if is_known {
            return Ok(json!({"zone": {"name": zone.name, "type": "Primary"}, "addedRecord": shown}));
        }
    }
    if zone.records.len() >= MAX_RECORDS {
        return Err(format!("The simulator holds at most {MAX_RECORDS} records in a zone."));
    }
    zone.records.push(record);
    Ok(json!({"zone": {"name": zone.name, "type": "Primary"}, "addedRecord": shown}))
}

fn beside_alias(zone: &Zone, name: &str, kind: &str) -> Result<(), String> {
    let beside =
        |other: &Record| other.name.eq_ignore_ascii_case(name) && (other.rdata.kind() == "CNAME") != (kind == "CNAME");
    if zone.records.iter().any(beside) {
        return Err(
            "Cannot add record: a CNAME record cannot exists with other record types for the same name.".to_owned()
        );
    }
    Ok(())
}

pub(super) fn get(zone: &Zone, call: &Call) -> Result<Value, String> {
    let domain = call.domain()?;
    let whole = call.flag("listZone");
    let records: Vec<Value> = zone
        .records
        .iter()
        .filter(|record| whole || record.name.eq_ignore_ascii_case(&domain))
        .map(Record::show)
        .collect();
    Ok(json!({"zone": {"name": zone.name, "type": "Primary", "disabled": false}, "records": records}))
}

pub(super) fn update(zone: &mut Zone, call: &Call) -> Result<Value, String> {
    let (domain, old) = (call.domain()?, call.rdata()?);
    let new = call.new_rdata(&old)?;
    let ttl = call.ttl()?;
    let name = call.get("newDomain").map_or_else(|| domain.clone(), |name| name.trim_matches('.').to_owned());
    let same = |record: &Record| record.is_of(&domain, old.kind()) && record.rdata.equals(&old);
    let at = zone.records.iter().position(same);
    let at = at.ok_or("Cannot update record: no such record exists.")?;
    let clashes =
        |(index, other): (usize, &Record)| index != at && other.is_of(&name, new.kind()) && other.rdata.equals(&new);
    if zone.records.iter().enumerate().any(clashes) {
        return Err("Cannot update record: the new record already exists.".to_owned());
    }
    let record = Record {
        name: name.clone(),
        ttl,
        disabled: call.flag("disable"),
        // A field that is not sent is cleared.
        comments: call.comments(),
        expiry_ttl: call.or("expiryTtl", 0)?,
        rdata: new,
        modified: call.now,
    };
    let (kind, shown) = (record.rdata.kind(), record.show());
    if let Some(slot) = zone.records.get_mut(at) {
        *slot = record;
    }
    for other in zone.records.iter_mut().filter(|other| other.is_of(&name, kind)) {
        other.ttl = ttl;
    }
    Ok(json!({"zone": {"name": zone.name, "type": "Primary"}, "updatedRecord": shown}))
}

pub(super) fn delete(zone: &mut Zone, call: &Call) -> Result<Value, String> {
    let domain = call.domain()?;
    let is_alias = call.required("type")?.eq_ignore_ascii_case("CNAME");
    let before = zone.records.len();
    if is_alias {
        zone.records.retain(|record| !record.is_of(&domain, "CNAME"));
    } else {
        let rdata = call.rdata()?;
        zone.records.retain(|record| !(record.is_of(&domain, rdata.kind()) && record.rdata.equals(&rdata)));
    }
    if zone.records.len() == before {
        return Err("Cannot delete record: no such record exists.".to_owned());
    }
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(domain: &str) -> Call {
        let pairs = [("domain", domain), ("type", "A"), ("ipAddress", "192.0.2.1")];
        let parameters = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Call { parameters, now: Timestamp::from_millis(0) }
    }

    #[test]
    fn a_zone_holds_so_many_records_and_no_more() {
        let mut zone = Zone { name: "play.zpack.test".to_owned(), records: Vec::new() };
        add(&mut zone, &call("a.play.zpack.test")).unwrap();
        let first = zone.records[0].clone();
        zone.records.resize(MAX_RECORDS, first);
        assert!(add(&mut zone, &call("b.play.zpack.test")).unwrap_err().contains("at most"));
        assert_eq!(zone.records.len(), MAX_RECORDS);
    }
}
