//! The public DNS zone over Cloudflare's API v4 (wire/edge.md section A).
//!
//! All handles of a process share one budget of calls, one pause after a 429 and one refusal of the token; a handle for
//! background work leaves a reserve to the others. Nothing is repeated here but what surely had no effect.

mod answer;
mod budget;
mod record;
mod settings;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::http::{Answer, Call, ClientError, HttpClient, Method, TransportError};
use super::token::Token;
use crate::kernel::{Clock, DnsName, Secret};
use crate::ports::{DnsZone, ZoneChange, ZoneError, ZoneHealth, ZoneRecord};

use self::budget::{Budget, Turn};
pub use self::settings::CloudflareSettings;

/// Records of one page; a whole zone of ours fits.
const PER_PAGE: u32 = 5000;
/// A page of records of the largest size.
const MAX_BODY: usize = 16 << 20;
/// How often a listing is read that changes while it is.
const LISTINGS: u32 = 3;
/// Operations of one batch on a free plan.
const MAX_BATCH: usize = 200;
/// The longest wait for one's turn.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// One zone. Cheap to clone; all clones share one budget.
#[derive(Clone)]
pub struct Cloudflare {
    shared: Arc<Shared>,
    background: bool,
}

struct Shared {
    client: HttpClient,
    settings: CloudflareSettings,
    token: Token,
    clock: Clock,
    budget: Mutex<Budget>,
}

impl Cloudflare {
    /// A client for the zone of `settings`.
    pub fn new(settings: CloudflareSettings, clock: Clock) -> Result<Self, ClientError> {
        let client = HttpClient::new(settings.client())?;
        let token = Token::new(settings.token.clone());
        let budget = Mutex::new(Budget::new(Instant::now(), settings.denial));
        Ok(Self { shared: Arc::new(Shared { client, settings, token, clock, budget }), background: false })
    }

    /// The same client for work that nobody waits for.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self { shared: self.shared.clone(), background: true }
    }

    fn budget<T>(&self, use_it: impl FnOnce(&mut Budget) -> T) -> T {
        use_it(&mut self.shared.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a call of the budget. A pause is not waited for: the caller has other things to do.
    async fn turn(&self, operation: &str) -> Result<(), ZoneError> {
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            let now = Instant::now();
            let operation = || operation.to_owned();
            let wait = match self.budget(|budget| budget.take(now, self.background)) {
                Turn::Yours => return Ok(()),
                Turn::Wait(wait) if now + wait <= deadline => wait,
                Turn::Wait(wait) | Turn::Paused(wait) => {
                    return Err(ZoneError::RateLimited { operation: operation(), retry_after: wait });
                }
                Turn::Denied { detail } => return Err(ZoneError::Unauthorized { operation: operation(), detail }),
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn send(
        &self,
        operation: &str,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        document: Option<&Value>,
        token: &Secret,
    ) -> Result<Answer, ZoneError> {
        self.turn(operation).await?;
        let settings = &self.shared.settings;
        let mut url: Url = settings.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let call = Call::new(operation, method, url)
            .authorization(Secret::new(format!("Bearer {}", token.expose())))
            .deadline(settings.timeout)
            .max_body(MAX_BODY);
        let call = match document {
            Some(document) => call.json(document.to_string().into_bytes()),
            None => call,
        };
        let operation = operation.to_owned();
        self.shared.client.send(call).await.map_err(|error| match error {
            TransportError::NotSent { detail } => ZoneError::Unreachable { operation, detail },
            TransportError::NoAnswer { .. } | TransportError::Incomplete { .. } => {
                ZoneError::NoAnswer { operation, detail: error.to_string() }
            }
        })
    }

    /// The document of a call that succeeded. Refusals that concern every call are remembered.
    async fn call(
        &self,
        operation: &str,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        document: Option<Value>,
    ) -> Result<Value, ZoneError> {
        let mut token = self.shared.token.current();
        let answer = self.send(operation, method, path, query, document.as_ref(), &token).await?;
        let mut outcome = answer::read(operation, &answer, self.shared.clock.now());
        if matches!(outcome, Err(ZoneError::Unauthorized { .. })) && self.shared.token.was_replaced(&token).await {
            token = self.shared.token.current();
            let answer = self.send(operation, method, path, query, document.as_ref(), &token).await?;
            outcome = answer::read(operation, &answer, self.shared.clock.now());
        }
        let now = Instant::now();
        match &outcome {
            Ok(_) => self.budget(Budget::accepted),
            Err(ZoneError::RateLimited { retry_after, .. }) => self.budget(|budget| budget.pause(now, *retry_after)),
            Err(ZoneError::Unauthorized { detail, .. }) => self.budget(|budget| budget.deny(now, detail)),
            Err(_) => {}
        }
        outcome
    }

    /// Reads a listing to its end: every page, and only if they agree on how many records there are.
    async fn listing(&self, filters: &[(&str, String)]) -> Result<Vec<ZoneRecord>, ZoneError> {
        let operation = "list the records of the zone";
        let settings = &self.shared.settings;
        let path = ["zones", settings.zone_id.as_str(), "dns_records"];
        let mut why = String::new();
        for _ in 0..LISTINGS {
            let (mut rows, mut total, mut page) = (Vec::new(), None, 1u32);
            let complete = loop {
                let mut query = vec![("per_page", PER_PAGE.to_string()), ("page", page.to_string())];
                query.extend(filters.iter().cloned());
                let document = self.call(operation, Method::Get, &path, &query, None).await?;
                let read = answer::page(&document).map_err(|detail| no_answer(operation, detail))?;
                if read.rows.len() as u64 != read.count || total.is_some_and(|total| total != read.total_count) {
                    break false;
                }
                total = Some(read.total_count);
                rows.extend(read.rows);
                if u64::from(page) >= read.total_pages {
                    break rows.len() as u64 == read.total_count;
                }
                page += 1;
            };
            if complete {
                let records: Result<Vec<_>, String> =
                    rows.iter().filter_map(|row| record::read(row, &settings.zone).transpose()).collect();
                return records.map_err(|detail| no_answer(operation, detail));
            }
            why = format!("it changed while it was read, {LISTINGS} times in a row");
        }
        Err(no_answer(operation, why))
    }

    async fn apply_one(&self, change: &ZoneChange) -> Result<(), ZoneError> {
        let zone = ["zones", self.shared.settings.zone_id.as_str(), "dns_records"];
        match change {
            ZoneChange::Create(new) => {
                let operation = format!("create {} {}", new.data.record_type(), new.name);
                self.call(&operation, Method::Post, &zone, &[], Some(record::document(new))).await.map(drop)
            }
            ZoneChange::Update { from, to } => {
                let operation = format!("rewrite {} {}", to.data.record_type(), to.name);
                let id = id_of(&operation, from)?;
                let path = [zone.as_slice(), &[id]].concat();
                self.call(&operation, Method::Patch, &path, &[], Some(record::document(to))).await.map(drop)
            }
            ZoneChange::Delete(old) => {
                let operation = format!("delete {} {}", old.data.record_type(), old.name);
                let id = id_of(&operation, old)?;
                let path = [zone.as_slice(), &[id]].concat();
                match self.call(&operation, Method::Delete, &path, &[], None).await {
                    Err(ZoneError::Gone { .. }) => Ok(()),
                    outcome => outcome.map(drop),
                }
            }
        }
    }

    /// Makes many changes whole or not at all, in one transaction of the server's.
    async fn apply_batch(&self, changes: &[ZoneChange]) -> Result<(), ZoneError> {
        let operation = format!("make {} changes", changes.len());
        let (mut deletes, mut patches, mut posts) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            match change {
                ZoneChange::Delete(old) => deletes.push(json!({ "id": id_of(&operation, old)? })),
                ZoneChange::Update { from, to } => {
                    let mut document = record::document(to);
                    if let Some(fields) = document.as_object_mut() {
                        fields.insert("id".to_owned(), json!(id_of(&operation, from)?));
                    }
                    patches.push(document);
                }
                ZoneChange::Create(new) => posts.push(record::document(new)),
            }
        }
        let path = ["zones", self.shared.settings.zone_id.as_str(), "dns_records", "batch"];
        let document = json!({ "deletes": deletes, "patches": patches, "posts": posts });
        self.call(&operation, Method::Post, &path, &[], Some(document)).await.map(drop)
    }

    /// Makes the changes of a refused batch one by one, so that a bad one does not hold up the others. The first error.
    async fn apply_each(&self, changes: &[ZoneChange]) -> Result<(), ZoneError> {
        let mut first = Ok(());
        for change in changes {
            let done = self.apply_one(change).await;
            let concerns_all = matches!(
                done,
                Err(ZoneError::RateLimited { .. } | ZoneError::Unauthorized { .. } | ZoneError::Unreachable { .. })
            );
            first = first.and(done);
            if concerns_all {
                break;
            }
        }
        first
    }
}

/// Whether the token belongs to an account instead of a user (wire/edge.md A7).
fn is_account_token(token: &Secret) -> bool {
    token.expose().starts_with("cfat_")
}

fn no_answer(operation: &str, detail: String) -> ZoneError {
    ZoneError::NoAnswer { operation: operation.to_owned(), detail }
}

fn id_of<'a>(operation: &str, record: &'a ZoneRecord) -> Result<&'a str, ZoneError> {
    let id = record.id.as_ref().map(|id| id.0.as_str());
    id.ok_or_else(|| ZoneError::Gone { operation: operation.to_owned() })
}

/// The place of a change in a batch, which the server runs in this order whatever is sent first.
const fn rank(change: &ZoneChange) -> u8 {
    match change {
        ZoneChange::Delete(_) => 0,
        ZoneChange::Update { .. } => 1,
        ZoneChange::Create(_) => 2,
    }
}

/// The name that all of `names` are at or below.
fn common_parent(names: &[DnsName]) -> Option<&DnsName> {
    let shortest = names.iter().min_by_key(|name| name.as_str().len())?;
    names.iter().all(|name| name.is_within(shortest)).then_some(shortest)
}

#[async_trait]
impl DnsZone for Cloudflare {
    async fn records_at(&self, names: &[DnsName]) -> Result<Vec<ZoneRecord>, ZoneError> {
        let mut found = match common_parent(names) {
            Some(parent) => self.listing(&[("name.endswith", parent.to_string())]).await?,
            None => {
                let mut found = Vec::new();
                for name in names {
                    found.extend(self.listing(&[("name.exact", name.to_string())]).await?);
                }
                found
            }
        };
        // The filter compares text; names are compared here.
        found.retain(|record| names.contains(&record.name));
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<ZoneRecord>, ZoneError> {
        self.listing(&[]).await
    }

    async fn apply(&self, changes: &[ZoneChange]) -> Result<(), ZoneError> {
        let mut changes = changes.to_vec();
        changes.sort_by_key(rank);
        for chunk in changes.chunks(MAX_BATCH) {
            match chunk {
                [one] => self.apply_one(one).await?,
                many => match self.apply_batch(many).await {
                    // Nothing of a refused batch was done.
                    Err(
                        ZoneError::Refused { .. }
                        | ZoneError::Quota { .. }
                        | ZoneError::Conflict { .. }
                        | ZoneError::Gone { .. },
                    ) => self.apply_each(many).await?,
                    outcome => outcome?,
                },
            }
        }
        Ok(())
    }

    async fn check(&self) -> Result<ZoneHealth, ZoneError> {
        let settings = &self.shared.settings;
        let token_expires_at = if is_account_token(&self.shared.token.current()) {
            // Verified below the account only, whose id is not among our settings.
            None
        } else {
            let operation = "verify the token";
            let path = ["user", "tokens", "verify"];
            let document = self.call(operation, Method::Get, &path, &[], None).await?;
            answer::token(operation, &document)?
        };
        // An active token says nothing of its rights in the zone.
        let path = ["zones", settings.zone_id.as_str(), "dns_records"];
        self.call("look at the zone", Method::Get, &path, &[("per_page", "1".to_owned())], None).await?;
        Ok(ZoneHealth { token_expires_at })
    }
}
