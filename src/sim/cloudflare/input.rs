//! Reads a record from a request body: validates, normalises, and fills in what is left out.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::model::{Plan, Record, SrvData, new_id};
use super::problem::Problem;
use crate::kernel::Timestamp;

const KINDS: [&str; 6] = ["A", "AAAA", "CNAME", "NS", "SRV", "TXT"];

/// The zone and plan that a record is read for.
pub(super) struct Place<'a> {
    pub(super) zone: &'a str,
    pub(super) plan: Plan,
    pub(super) now: Timestamp,
}

impl Place<'_> {
    /// The record in `body`. Fields that are left out come from `base`, or are the defaults without one.
    pub(super) fn record(&self, body: &Value, base: Option<&Record>) -> Result<Record, Problem> {
        let kind = match text(body, "type")? {
            Some(kind) => kind.to_ascii_uppercase(),
            None => base.map(|base| base.kind.clone()).ok_or_else(|| missing("type"))?,
        };
        if !KINDS.contains(&kind.as_str()) {
            return Err(Problem::invalid(9004, format!("DNS record type \"{kind}\" is invalid.")));
        }
        let base_of_kind = base.filter(|base| base.kind == kind);
        let name = match text(body, "name")? {
            Some(name) => self.name(&name)?,
            None => base.map(|base| base.name.clone()).ok_or_else(|| missing("name"))?,
        };
        let (content, data) = if kind == "SRV" {
            let data = match body.get("data") {
                Some(data) => self.srv(data)?,
                None => base_of_kind.and_then(|base| base.data.clone()).ok_or_else(|| required("priority"))?,
            };
            (format!("{} {} {}", data.weight, data.port, data.target), Some(data))
        } else {
            let content = match text(body, "content")? {
                Some(content) => self.content(&kind, &content)?,
                None => base_of_kind.map(|base| base.content.clone()).ok_or_else(|| missing("content"))?,
            };
            (content, None)
        };
        let proxiable = matches!(kind.as_str(), "A" | "AAAA" | "CNAME");
        let proxied = match body.get("proxied") {
            Some(value) => value.as_bool().ok_or_else(|| Problem::invalid(9004, "proxied must be a boolean."))?,
            None => base.is_some_and(|base| base.proxied && proxiable),
        };
        if proxied && !proxiable {
            return Err(Problem::invalid(9004, "This record type cannot be proxied."));
        }
        let ttl = if proxied { 1 } else { self.ttl(body, base)? };
        Ok(Record {
            id: base.map_or_else(new_id, |base| base.id.clone()),
            kind,
            name,
            content,
            data,
            ttl,
            proxied,
            comment: self.comment(body, base)?,
            tags: self.tags(body, base)?,
            created_on: base.map_or(self.now, |base| base.created_on),
            modified_on: self.now,
            view: Map::new(),
        })
    }

    fn ttl(&self, body: &Value, base: Option<&Record>) -> Result<u32, Problem> {
        let Some(ttl) = body.get("ttl") else { return Ok(base.map_or(1, |base| base.ttl)) };
        let seconds = ttl.as_u64().filter(|ttl| *ttl == 1 || (60..=86_400).contains(ttl));
        seconds.and_then(|ttl| u32::try_from(ttl).ok()).ok_or_else(|| {
            Problem::invalid(9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")
        })
    }

    fn comment(&self, body: &Value, base: Option<&Record>) -> Result<Option<String>, Problem> {
        if body.get("comment").is_some_and(Value::is_null) {
            return Ok(None);
        }
        let Some(comment) = text(body, "comment")? else { return Ok(base.and_then(|base| base.comment.clone())) };
        let most = self.plan.comment;
        if comment.chars().count() > most {
            return Err(Problem::invalid(9301, format!("DNS record comment is longer than {most} characters.")));
        }
        if comment.contains('\n') {
            return Err(Problem::invalid(9301, "DNS record comment contains a line break."));
        }
        Ok(Some(comment).filter(|comment| !comment.is_empty()))
    }

    fn tags(&self, body: &Value, base: Option<&Record>) -> Result<Vec<String>, Problem> {
        let Some(tags) = body.get("tags") else { return Ok(base.map(|base| base.tags.clone()).unwrap_or_default()) };
        let tags: Vec<String> =
            tags.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let most = self.plan.tags;
        if tags.len() > most {
            let message = format!("DNS record has {} tags, exceeding the quota of {most}.", tags.len());
            return Err(Problem::invalid(9300, message));
        }
        Ok(tags)
    }

    /// The full name in the zone: a name that does not end in the zone is relative to it.
    pub(super) fn name(&self, text: &str) -> Result<String, Problem> {
        let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
        let name = match name.as_str() {
            "@" => return Ok(self.zone.to_owned()),
            name if name == self.zone || name.ends_with(&format!(".{}", self.zone)) => name.to_owned(),
            name => format!("{name}.{}", self.zone),
        };
        if is_name(&name) { Ok(name) } else { Err(Problem::invalid(9000, "DNS name is invalid.")) }
    }

    fn content(&self, kind: &str, text: &str) -> Result<String, Problem> {
        let wrong = |what: &str| Problem::invalid(9005, format!("Content for {kind} record must be a valid {what}."));
        match kind {
            "A" => text.parse::<Ipv4Addr>().map(|address| address.to_string()).map_err(|_| wrong("IPv4 address")),
            "AAAA" => text.parse::<Ipv6Addr>().map(|address| address.to_string()).map_err(|_| wrong("IPv6 address")),
            "CNAME" | "NS" => {
                let target = text.trim().trim_end_matches('.').to_ascii_lowercase();
                if is_name(&target) { Ok(target) } else { Err(wrong("host name")) }
            }
            _ => Ok(text.to_owned()),
        }
    }

    fn srv(&self, data: &Value) -> Result<SrvData, Problem> {
        let number = |key: &str| {
            let value = data.get(key).ok_or_else(|| required(key))?;
            let whole = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=65_535.0).contains(number));
            let message = || Problem::invalid(9005, format!("{key} must be an integer from 0 to 65535."));
            // A whole number within these bounds fits.
            whole.map(|number| number as u16).ok_or_else(message)
        };
        let (priority, weight, port) = (number("priority")?, number("weight")?, number("port")?);
        let target = text(data, "target")?.ok_or_else(|| required("target"))?;
        if target == "." {
            return Ok(SrvData { priority, weight, port, target });
        }
        let target = target.trim().trim_end_matches('.').to_ascii_lowercase();
        if !is_name(&target) {
            return Err(Problem::invalid(9005, "Target for SRV record must be a valid host name."));
        }
        Ok(SrvData { priority, weight, port, target })
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
    let fits = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(allowed);
    name.len() <= 253 && name.split('.').all(fits)
}

fn text(body: &Value, key: &str) -> Result<Option<String>, Problem> {
    match body.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Problem::invalid(9000, format!("{key} must be a string."))),
    }
}

fn missing(field: &str) -> Problem {
    Problem::invalid(9000, format!("DNS record {field} is required."))
}

fn required(field: &str) -> Problem {
    Problem::new(400, 9101, format!("{field} is a required data field."))
}
