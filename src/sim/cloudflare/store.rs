//! Changes of the zone: conflicts between records, the quota, and batches that are applied completely or not at all.

use serde_json::{Value, json};

use super::input::Place;
use super::model::{MAX_RECORDS, Model, Plan, Record, is_id};
use super::problem::Problem;
use crate::kernel::Timestamp;

/// The records of a zone under change: a copy, which replaces the original when everything succeeded.
pub(super) struct Store<'a> {
    pub(super) records: Vec<Record>,
    place: Place<'a>,
}

impl<'a> Store<'a> {
    /// A copy of the zone.
    pub(super) fn of(model: &'a Model, now: Timestamp) -> Self {
        Self { records: model.records.clone(), place: Place { zone: &model.zone, plan: model.plan, now } }
    }

    fn plan(&self) -> Plan {
        self.place.plan
    }

    pub(super) fn create(&mut self, body: &Value) -> Result<Value, Problem> {
        let record = self.place.record(body, None)?;
        self.admit(&record)?;
        if self.records.len() >= self.plan().records.min(MAX_RECORDS) {
            return Err(Problem::new(400, 81_045, "Record quota exceeded."));
        }
        let shown = record.show();
        self.records.push(record);
        Ok(shown)
    }

    /// Changes a record; with `whole` the fields that the body leaves out get their defaults.
    pub(super) fn update(&mut self, id: &str, body: &Value, whole: bool) -> Result<Value, Problem> {
        let at = self.position(id)?;
        let base = self.records.get(at).cloned().ok_or_else(Problem::no_record)?;
        let mut record = self.place.record(body, (!whole).then_some(&base))?;
        (record.id, record.created_on) = (base.id, base.created_on);
        self.admit(&record)?;
        let shown = record.show();
        if let Some(slot) = self.records.get_mut(at) {
            *slot = record;
        }
        Ok(shown)
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Value, Problem> {
        let at = self.position(id)?;
        let record = self.records.remove(at);
        Ok(json!({"id": record.id}))
    }

    pub(super) fn read(&self, id: &str) -> Result<Value, Problem> {
        let at = self.position(id)?;
        self.records.get(at).map(Record::show).ok_or_else(Problem::no_record)
    }

    /// Deletes, patches, puts and posts, in this order; the first error ends it.
    pub(super) fn batch(&mut self, body: &Value) -> Result<Value, Problem> {
        let list = |key: &str| body.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let (deletes, patches, puts, posts) = (list("deletes"), list("patches"), list("puts"), list("posts"));
        let count = deletes.len() + patches.len() + puts.len() + posts.len();
        let most = self.plan().batch;
        if count > most {
            let message = format!("A batch of {count} operations exceeds the limit of {most}.");
            return Err(Problem::new(400, 81_071, message));
        }
        let id = |item: &Value| item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let deletes: Result<Vec<_>, _> = deletes
            .iter()
            .map(|item| {
                let shown = self.read(&id(item))?;
                self.delete(&id(item)).map(|_| shown)
            })
            .collect();
        let deletes = deletes?;
        let patches: Result<Vec<_>, _> = patches.iter().map(|item| self.update(&id(item), item, false)).collect();
        let patches = patches?;
        let puts: Result<Vec<_>, _> = puts.iter().map(|item| self.update(&id(item), item, true)).collect();
        let puts = puts?;
        let posts: Result<Vec<_>, _> = posts.iter().map(|item| self.create(item)).collect();
        Ok(json!({"deletes": deletes, "patches": patches, "puts": puts, "posts": posts?}))
    }

    fn position(&self, id: &str) -> Result<usize, Problem> {
        if !is_id(id) {
            return Err(Problem::no_route(&format!("/zones/…/dns_records/{id}")));
        }
        self.records.iter().position(|record| record.id == id).ok_or_else(Problem::no_record)
    }

    /// Whether `record` may exist beside the others at its name.
    fn admit(&self, record: &Record) -> Result<(), Problem> {
        let others = || self.records.iter().filter(|other| other.id != record.id && other.name == record.name);
        if others().any(|other| other.equals(record)) {
            return Err(Problem::new(400, 81_058, "An identical record already exists."));
        }
        let has = |kinds: &[&str]| others().any(|other| kinds.contains(&other.kind.as_str()));
        let is_apex = record.name == self.place.zone;
        match record.kind.as_str() {
            "CNAME" if has(&["NS"]) => Err(Problem::new(400, 81_056, "NS records with that host already exist.")),
            "CNAME" if others().next().is_some() => {
                Err(Problem::new(400, 81_053, "An A, AAAA, or CNAME record with that host already exists."))
            }
            kind if kind != "NS" && !is_apex && has(&["NS"]) => {
                Err(Problem::new(400, 81_056, "NS records with that host already exist."))
            }
            kind if kind != "CNAME" && has(&["CNAME"]) => {
                Err(Problem::new(400, 81_054, "A CNAME record with that host already exists."))
            }
            _ => Ok(()),
        }
    }
}
