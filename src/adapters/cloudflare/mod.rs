//! The public DNS zone over Cloudflare's API v4 (docs/contracts/edge.md A).
//!
//! All handles of a process share one budget of calls, one pause after a 429, and one refusal of the token; a handle
//! for background work leaves a reserve to the others. Calls are repeated here only if they certainly had no effect. A
//! listing is complete when it contains as many records as it announces. That the id is that of our zone is checked by
//! [`zone`].

mod answer;
mod budget;
mod record;
mod settings;
mod zone;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use super::held_secret::HeldSecret;
use super::http::{Call, ClientError, HttpClient, Method, TransportError};
use super::stopwatch::Stopwatch;
use super::token::{Attempt, Token};
use super::zone_names::ZoneNames;
use crate::kernel::{Clock, DnsName, Secret};
use crate::ports::{DnsZone, NewRecord, ZoneChange, ZoneError, ZoneHealth, ZoneRecord};

use self::budget::{Budget, Turn};
pub use self::settings::CloudflareSettings;
use self::zone::{Proof, created, misplaced, other_zone, outside};

/// Records per page; our whole zone fits into one.
const PER_PAGE: u32 = 5000;
/// Pages per listing, in case the server uses smaller pages: more than the largest plan can fill.
const MAX_PAGES: u32 = 50;
/// For a page of the largest size.
const MAX_BODY: usize = 16 << 20;
/// How often a listing is attempted that changes while it is read.
const LISTINGS: u32 = 3;
/// Operations of one batch on a free plan.
const MAX_BATCH: usize = 200;
/// The longest wait for the budget.
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
    names: ZoneNames,
    watch: Stopwatch,
    budget: Mutex<Budget>,
    /// Whether the zone turned out not to be ours.
    proof: Proof,
}

/// One request to the API.
struct Request<'a> {
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, String)],
    document: Option<Value>,
}

impl Cloudflare {
    /// A client for the zone of `settings`.
    pub fn new(settings: CloudflareSettings, clock: Clock) -> Result<Self, ClientError> {
        let client = HttpClient::new(settings.client())?;
        let held = Arc::new(HeldSecret::new(settings.token.clone()));
        let token = Token::new(held, settings.cool_down, clock.clone(), "authentication with Cloudflare");
        let (watch, names) = (Stopwatch::of(clock), ZoneNames::of(settings.zone.clone()));
        let budget = Mutex::new(Budget::new(watch.now()));
        let shared = Shared { client, settings, token, names, watch, budget, proof: Proof::default() };
        Ok(Self { shared: Arc::new(shared), background: false })
    }

    /// The same client for background work.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self { shared: self.shared.clone(), background: true }
    }

    fn budget<T>(&self, use_it: impl FnOnce(&mut Budget) -> T) -> T {
        use_it(&mut self.shared.budget.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for a call of the budget. During a pause, and while the token is refused, it returns an error at once so
    /// that the caller can continue elsewhere; an attempt that the caller already `has` may proceed.
    async fn turn(&self, operation: &str, has: Option<&Attempt<'_>>) -> Result<(), ZoneError> {
        let (operation, mut waited) = (operation.to_owned(), Duration::ZERO);
        loop {
            if has.is_none()
                && let Some(detail) = self.shared.token.kept_back(())
            {
                return Err(ZoneError::Unauthorized { operation, detail });
            }
            let now = self.shared.watch.now();
            match self.budget(|budget| budget.take(now, self.background)) {
                Turn::Yours => return Ok(()),
                Turn::Wait(wait) if waited + wait <= MAX_WAIT => {
                    waited += wait;
                    tokio::time::sleep(wait).await;
                }
                Turn::Wait(wait) | Turn::Paused(wait) => {
                    return Err(ZoneError::RateLimited { operation, retry_after: wait });
                }
            }
        }
    }

    /// The token to send, after waiting for the budget.
    async fn admit(&self, operation: &str) -> Result<Attempt<'_>, ZoneError> {
        self.turn(operation, None).await?;
        let unauthorized = |detail| ZoneError::Unauthorized { operation: operation.to_owned(), detail };
        self.shared.token.admit(()).await.map_err(unauthorized)
    }

    async fn send(&self, operation: &str, request: &Request<'_>, token: &Secret) -> Result<Value, ZoneError> {
        let settings = &self.shared.settings;
        let mut url: Url = settings.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let call = Call::new(operation, request.method, url)
            .authorization(Secret::new(format!("Bearer {}", token.expose())))
            .deadline(settings.timeout)
            .max_body(MAX_BODY);
        let call = match &request.document {
            Some(document) => call.json(document.to_string().into_bytes()),
            None => call,
        };
        let sent = self.shared.client.send(call).await;
        let now = self.shared.watch.wall();
        let outcome = match sent {
            Ok(answer) => answer::read(operation, &answer, now),
            Err(TransportError::NotSent { detail }) => {
                Err(ZoneError::Unreachable { operation: operation.to_owned(), detail })
            }
            Err(error @ TransportError::NoAnswer { .. }) => Err(no_answer(operation, error.to_string())),
            Err(ref error @ TransportError::Incomplete { status, ref retry_after, is_page, .. }) => {
                let facts = (retry_after.as_deref(), is_page);
                Err(answer::cut_off(operation, status, facts, error.to_string(), now))
            }
        };
        // All handles observe a request to slow down.
        if let Err(ZoneError::RateLimited { retry_after, .. }) = &outcome {
            self.budget(|budget| budget.pause(self.shared.watch.now(), *retry_after));
        }
        outcome
    }

    /// The document of a successful call about the zone. The call is repeated if the token was refused and has been
    /// replaced in its file.
    async fn call(&self, operation: &str, request: Request<'_>) -> Result<Value, ZoneError> {
        let mut attempt = self.admit(operation).await?;
        loop {
            let outcome = self.send(operation, &request, attempt.secret()).await;
            match &outcome {
                Err(ZoneError::Unauthorized { detail, .. }) => {
                    if attempt.refused(detail).await {
                        self.turn(operation, Some(&attempt)).await?;
                        continue;
                    }
                }
                // Too many calls may have come from our address; this says nothing about the token.
                Err(ZoneError::RateLimited { .. } | ZoneError::Unreachable { .. } | ZoneError::NoAnswer { .. }) => {}
                Ok(_)
                | Err(
                    ZoneError::Busy { .. }
                    | ZoneError::Conflict { .. }
                    | ZoneError::Gone { .. }
                    | ZoneError::Misconfigured { .. }
                    | ZoneError::Quota { .. }
                    | ZoneError::Refused { .. },
                ) => attempt.accepted(),
            }
            return outcome;
        }
    }

    /// Reads a complete listing: every record it announces, once, and only if its pages agree on the total.
    async fn listing(&self, filters: &[(&str, String)]) -> Result<Vec<ZoneRecord>, ZoneError> {
        let operation = "list the records of the zone";
        for _ in 0..LISTINGS {
            if let Some(rows) = self.rows(operation, filters).await? {
                let zone = &self.shared.settings.zone;
                if let Some(seen) = outside(&rows, zone) {
                    return Err(self.shared.proof.refuted(operation, zone, &seen));
                }
                let records: Result<Vec<_>, String> =
                    rows.iter().filter_map(|row| record::read(row, zone).transpose()).collect();
                return records.map_err(|detail| no_answer(operation, detail));
            }
        }
        Err(no_answer(operation, format!("it was incomplete or changed while it was read, {LISTINGS} times in a row")))
    }

    /// One attempt at a listing; `None` when it does not match the announced total.
    async fn rows(&self, operation: &str, filters: &[(&str, String)]) -> Result<Option<Vec<Value>>, ZoneError> {
        let path = ["zones", self.shared.settings.zone_id.as_str(), "dns_records"];
        let (mut rows, mut ids, mut announced) = (Vec::new(), BTreeSet::new(), None);
        for page in 1..=MAX_PAGES {
            let mut query = vec![("per_page", PER_PAGE.to_string()), ("page", page.to_string())];
            query.extend(filters.iter().cloned());
            let document = self.call(operation, reading(&path, &query)).await?;
            let read = answer::page(&document).map_err(|detail| no_answer(operation, detail))?;
            let total = *announced.get_or_insert(read.total_count);
            // A record that occurs twice means that another one was missed.
            let new = read.rows.iter().filter_map(|row| row.get("id")?.as_str()).all(|id| ids.insert(id.to_owned()));
            let (is_empty, agrees) = (read.rows.is_empty(), read.rows.len() as u64 == read.count);
            rows.extend(read.rows);
            let received = rows.len() as u64;
            if !agrees || !new || total != read.total_count || received > total {
                return Ok(None);
            }
            if received == total {
                return Ok(Some(rows));
            }
            if is_empty {
                return Ok(None);
            }
        }
        Err(no_answer(operation, format!("it has no end within {MAX_PAGES} pages")))
    }

    async fn apply_one(&self, change: &ZoneChange) -> Result<(), ZoneError> {
        let zone = ["zones", self.shared.settings.zone_id.as_str(), "dns_records"];
        match change {
            ZoneChange::Create(new) => {
                let operation = format!("create {} {}", new.data.record_type(), new.name);
                let answer = self.call(&operation, changing(Method::Post, &zone, Some(record::document(new)))).await?;
                self.demand_in_place(&operation, answer.get("result"), [new]).await
            }
            ZoneChange::Update { from, to } => {
                let operation = format!("rewrite {} {}", to.data.record_type(), to.name);
                let id = id_of(&operation, from)?;
                let path = [zone.as_slice(), &[id]].concat();
                self.call(&operation, changing(Method::Patch, &path, Some(record::document(to)))).await.map(drop)
            }
            ZoneChange::Delete(old) => {
                let operation = format!("delete {} {}", old.data.record_type(), old.name);
                let id = id_of(&operation, old)?;
                let path = [zone.as_slice(), &[id]].concat();
                match self.call(&operation, changing(Method::Delete, &path, None)).await {
                    Err(ZoneError::Gone { .. }) => Ok(()),
                    outcome => outcome.map(drop),
                }
            }
        }
    }

    /// Applies many changes in one transaction of the server: all or none.
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
        let answer = self.call(&operation, changing(Method::Post, &path, Some(document))).await?;
        let posts = answer.pointer("/result/posts").and_then(Value::as_array);
        self.demand_in_place(&operation, posts.into_iter().flatten(), created(changes)).await
    }

    /// Compares the names that records were created under with those that were sent. A record at another name shows that
    /// the zone is not ours: it is deleted at once, because it would not be found again.
    async fn demand_in_place<'a>(
        &self,
        operation: &str,
        answers: impl IntoIterator<Item = &'a Value>,
        sent: impl IntoIterator<Item = &'a NewRecord>,
    ) -> Result<(), ZoneError> {
        let misplaced_ones: Vec<_> =
            answers.into_iter().zip(sent).filter_map(|(answer, new)| misplaced(answer, new)).collect();
        let Some((_, first)) = misplaced_ones.first() else { return Ok(()) };
        let mut seen = format!("a record was created at {first}");
        for (id, name) in misplaced_ones {
            let path = ["zones", self.shared.settings.zone_id.as_str(), "dns_records", id];
            if let Err(error) = self.call("delete a misplaced record", changing(Method::Delete, &path, None)).await {
                seen = format!("{seen}; the one at {name} (id {id}) is still there: {error}");
            }
        }
        Err(self.shared.proof.refuted(operation, &self.shared.settings.zone, &seen))
    }

    /// Compares the name of the zone with ours. A token for records only cannot read it; this says nothing about the
    /// token.
    async fn demand_our_zone(&self) -> Result<(), ZoneError> {
        const OPERATION: &str = "read the name of the zone";
        let Shared { settings, token, proof, .. } = self.shared.as_ref();
        let path = ["zones", settings.zone_id.as_str()];
        self.turn(OPERATION, None).await?;
        match self.send(OPERATION, &reading(&path, &[]), &token.current()).await {
            Ok(document) => match other_zone(&document, &settings.zone) {
                Some(seen) => Err(proof.refuted(OPERATION, &settings.zone, &seen)),
                None => Ok(()),
            },
            Err(ZoneError::Unauthorized { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Applies the changes of a refused batch one by one, so that a bad one does not block the others. Returns the
    /// first error.
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

/// Whether the token belongs to an account instead of a user (docs/contracts/edge.md A7).
fn is_account_token(token: &Secret) -> bool {
    token.expose().starts_with("cfat_")
}

fn changing<'a>(method: Method, path: &'a [&'a str], document: Option<Value>) -> Request<'a> {
    Request { method, path, query: &[], document }
}

fn reading<'a>(path: &'a [&'a str], query: &'a [(&'a str, String)]) -> Request<'a> {
    Request { method: Method::Get, path, query, document: None }
}

fn no_answer(operation: &str, detail: String) -> ZoneError {
    ZoneError::NoAnswer { operation: operation.to_owned(), detail }
}

fn id_of<'a>(operation: &str, record: &'a ZoneRecord) -> Result<&'a str, ZoneError> {
    let id = record.id.as_ref().map(|id| id.0.as_str());
    id.ok_or_else(|| ZoneError::Gone { operation: operation.to_owned() })
}

/// The position of a change in a batch: the server runs a batch in this order, whatever order is sent.
const fn rank(change: &ZoneChange) -> u8 {
    match change {
        ZoneChange::Delete(_) => 0,
        ZoneChange::Update { .. } => 1,
        ZoneChange::Create(_) => 2,
    }
}

/// The name that is equal to or above all of `names`.
fn common_parent(names: &[DnsName]) -> Option<&DnsName> {
    let shortest = names.iter().min_by_key(|name| name.as_str().len())?;
    names.iter().all(|name| name.is_within(shortest)).then_some(shortest)
}

#[async_trait]
impl DnsZone for Cloudflare {
    async fn records_at(&self, names: &[DnsName]) -> Result<Vec<ZoneRecord>, ZoneError> {
        self.shared.proof.demand_ours("read the records")?;
        let names = self.shared.names.among(names);
        let mut found = match common_parent(&names) {
            Some(parent) => self.listing(&[("name.endswith", parent.to_string())]).await?,
            None => {
                let mut found = Vec::new();
                for name in &names {
                    found.extend(self.listing(&[("name.exact", name.to_string())]).await?);
                }
                found
            }
        };
        // The server's filter compares text; here names are compared.
        found.retain(|record| names.contains(&record.name));
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<ZoneRecord>, ZoneError> {
        self.shared.proof.demand_ours("list the records of the zone")?;
        self.listing(&[]).await
    }

    async fn apply(&self, changes: &[ZoneChange]) -> Result<(), ZoneError> {
        self.shared.proof.demand_ours("change the records")?;
        self.shared.names.check(changes)?;
        let mut changes = changes.to_vec();
        changes.sort_by_key(rank);
        for chunk in changes.chunks(MAX_BATCH) {
            match chunk {
                [one] => self.apply_one(one).await?,
                many => match self.apply_batch(many).await {
                    // A refused batch had no effect.
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
        // An active token may lack rights in the zone, so the zone is read first.
        let path = ["zones", self.shared.settings.zone_id.as_str(), "dns_records"];
        let query = [("per_page", "1".to_owned())];
        let operation = "read the zone";
        let document = self.call(operation, reading(&path, &query)).await?;
        let rows = document.get("result").and_then(Value::as_array);
        if let Some(seen) = rows.and_then(|rows| outside(rows, &self.shared.settings.zone)) {
            return Err(self.shared.proof.refuted(operation, &self.shared.settings.zone, &seen));
        }
        self.demand_our_zone().await?;
        // Only the answer about the zone counts for other calls: the next one neither proves nor refuses the token for
        // them.
        let operation = "verify the token";
        let token = self.shared.token.current();
        if is_account_token(&token) {
            // Can be verified only below the account, whose id is not among our settings.
            return Ok(ZoneHealth { token_expires_at: None });
        }
        let request = reading(&["user", "tokens", "verify"], &[]);
        self.turn(operation, None).await?;
        let document = self.send(operation, &request, &token).await?;
        Ok(ZoneHealth { token_expires_at: answer::token(operation, &document)? })
    }
}
