//! The internal DNS zone over Technitium's HTTP API (docs/contracts/edge.md B).
//!
//! Every call is a POST with a form. The token is sent in the `Authorization` header; a server that supports only the
//! older way gets it in the form, never in a URL. The API has no transactions: changes are made one by one.

mod answer;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use url::Url;

use super::held_secret::HeldSecret;
use super::http::{Call, ClientError, ClientSettings, HttpClient, Method, TransportError};
use super::tls::TlsVerify;
use super::token::{self, Token};
use super::zone_names::ZoneNames;
use crate::kernel::{Clock, DnsName, Reach, Secret, StoredSecret};
use crate::ports::{DnsZone, ZoneChange, ZoneError, ZoneHealth, ZoneRecord};

/// Our whole zone fits.
const MAX_BODY: usize = 16 << 20;

/// Settings of the Technitium client.
#[derive(Clone, Debug)]
pub struct TechnitiumSettings {
    /// Its root, without `/api`.
    pub base_url: Url,
    /// The token; if it is in a file, the file is read again when the token is refused.
    pub token: StoredSecret,
    /// The zone.
    pub zone: DnsName,
    /// The timeout of a call.
    pub timeout: Duration,
    /// How long a refused token is not sent again.
    pub cool_down: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl TechnitiumSettings {
    /// How long a refused token is not sent again, unless it is set otherwise.
    pub const COOL_DOWN: Duration = token::COOL_DOWN;
}

/// One zone.
pub struct Technitium {
    client: HttpClient,
    settings: TechnitiumSettings,
    token: Token,
    names: ZoneNames,
    /// The server reads the token only from the form, as releases up to 14 do.
    token_in_form: AtomicBool,
}

type Form = Vec<(&'static str, String)>;

impl Technitium {
    /// A client for the zone of `settings`.
    pub fn new(settings: TechnitiumSettings, clock: Clock) -> Result<Self, ClientError> {
        let tls = if settings.base_url.scheme() == "http" { TlsVerify::Plain } else { TlsVerify::SystemRoots };
        let client = HttpClient::new(ClientSettings {
            peer: "technitium",
            connect_timeout: settings.timeout / 2,
            keep_idle: Some(Duration::from_secs(30)),
            tls,
            reach: settings.reach,
        })?;
        let held = Arc::new(HeldSecret::new(settings.token.clone()));
        let token = Token::new(held, settings.cool_down, clock, "authentication with Technitium");
        let names = ZoneNames::of(settings.zone.clone());
        Ok(Self { client, settings, token, names, token_in_form: AtomicBool::new(false) })
    }

    /// Makes a call and returns its `response`. The first refusal of the token may only mean that the server supports
    /// only the older way to send it.
    async fn call(&self, operation: &str, route: &str, form: Form) -> Result<Value, ZoneError> {
        let unauthorized = |detail| ZoneError::Unauthorized { operation: operation.to_owned(), detail };
        let mut attempt = self.token.admit(()).await.map_err(unauthorized)?;
        loop {
            return match self.try_both_ways(operation, route, &form, attempt.secret()).await {
                Ok(response) => {
                    attempt.accepted();
                    self.demand_our_zone(operation, &response)?;
                    Ok(response)
                }
                Err(answer::Refusal::Token { detail }) => {
                    if attempt.refused(&detail).await {
                        continue;
                    }
                    Err(unauthorized(detail))
                }
                // This says nothing about the token.
                Err(answer::Refusal::Other(error @ (ZoneError::Unreachable { .. } | ZoneError::NoAnswer { .. }))) => {
                    Err(error)
                }
                // A missing permission is a refusal too, but the token itself was accepted.
                Err(answer::Refusal::Other(error)) => {
                    attempt.accepted();
                    Err(error)
                }
            };
        }
    }

    async fn try_both_ways(
        &self,
        operation: &str,
        route: &str,
        form: &Form,
        token: &Secret,
    ) -> Result<Value, answer::Refusal> {
        let older = self.token_in_form.load(Ordering::Relaxed);
        let outcome = self.send(operation, route, form.clone(), token, older).await;
        if !matches!(outcome, Err(answer::Refusal::Token { .. })) {
            return outcome;
        }
        let outcome = self.send(operation, route, form.clone(), token, !older).await;
        if !matches!(outcome, Err(answer::Refusal::Token { .. })) {
            self.token_in_form.store(!older, Ordering::Relaxed);
        }
        outcome
    }

    async fn send(
        &self,
        operation: &str,
        route: &str,
        mut form: Form,
        token: &Secret,
        token_in_form: bool,
    ) -> Result<Value, answer::Refusal> {
        let mut url = self.settings.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(route.split('/'));
        }
        let call = Call::new(operation, Method::Post, url).deadline(self.settings.timeout).max_body(MAX_BODY);
        let call = if token_in_form {
            form.push(("token", token.expose().to_owned()));
            call.form(form)
        } else {
            call.form(form).authorization(Secret::new(format!("Bearer {}", token.expose())))
        };
        match self.client.send(call).await {
            Ok(answer) => answer::read(operation, &answer),
            Err(TransportError::NotSent { detail }) => {
                Err(answer::Refusal::Other(ZoneError::Unreachable { operation: operation.to_owned(), detail }))
            }
            Err(error @ TransportError::Incomplete { status: 401 | 403, is_page: false, .. }) => {
                Err(answer::Refusal::Token { detail: error.to_string() })
            }
            Err(error @ (TransportError::NoAnswer { .. } | TransportError::Incomplete { .. })) => {
                Err(answer::Refusal::Other(ZoneError::NoAnswer {
                    operation: operation.to_owned(),
                    detail: error.to_string(),
                }))
            }
        }
    }

    /// Compares the zone of an answer with ours: the server takes the nearest enclosing zone for one that it does not have.
    fn demand_our_zone(&self, operation: &str, response: &Value) -> Result<(), ZoneError> {
        let ours = &self.settings.zone;
        match response.pointer("/zone/name").and_then(Value::as_str) {
            Some(name) if name.parse::<DnsName>().ok().as_ref() != Some(ours) => {
                let detail =
                    format!("the server has no zone {ours} and took zone {name} (create it, or correct ZPACK_ZONE)");
                Err(ZoneError::Misconfigured { operation: operation.to_owned(), detail })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn zone(&self) -> (&'static str, String) {
        ("zone", self.settings.zone.to_string())
    }

    async fn get(&self, operation: &str, domain: &DnsName, whole: bool) -> Result<Vec<ZoneRecord>, ZoneError> {
        let mut form = vec![("domain", domain.to_string()), self.zone()];
        if whole {
            form.push(("listZone", "true".to_owned()));
        }
        let response = self.call(operation, "zones/records/get", form).await?;
        let unreadable = |detail: String| ZoneError::NoAnswer { operation: operation.to_owned(), detail };
        let rows = response.get("records").and_then(Value::as_array);
        let rows = rows.ok_or_else(|| unreadable("it has no list of records".to_owned()))?;
        let records = rows.iter().filter_map(|row| record::read(row, &self.settings.zone).transpose());
        records.collect::<Result<_, _>>().map_err(unreadable)
    }

    async fn apply_one(&self, change: &ZoneChange) -> Result<(), ZoneError> {
        match change {
            ZoneChange::Create(new) => {
                let operation = format!("add {} {}", new.data.record_type(), new.name);
                let mut form = record::identity(&new.name, &new.data);
                form.extend([
                    self.zone(),
                    ("ttl", record::seconds(new.ttl).to_string()),
                    ("comments", new.comment.clone()),
                    // Replaces the whole set of this name and type, so that a repeated call adds nothing.
                    ("overwrite", "true".to_owned()),
                ]);
                self.call(&operation, "zones/records/add", form).await.map(drop)
            }
            ZoneChange::Update { from, to } => {
                let operation = format!("rewrite {} {}", to.data.record_type(), to.name);
                let mut form = record::identity(&from.name, &from.data);
                form.push(self.zone());
                form.extend(record::new_value(&to.data));
                // Fields that are left out are reset: the comment would be lost, and the TTL set to the default.
                form.extend([
                    ("ttl", record::seconds(to.ttl).to_string()),
                    ("comments", to.comment.clone()),
                    ("disable", "false".to_owned()),
                    ("expiryTtl", "0".to_owned()),
                ]);
                self.call(&operation, "zones/records/update", form).await.map(drop)
            }
            ZoneChange::Delete(old) => {
                let operation = format!("delete {} {}", old.data.record_type(), old.name);
                let mut form = record::identity(&old.name, &old.data);
                form.push(self.zone());
                match self.call(&operation, "zones/records/delete", form).await {
                    Err(ZoneError::Gone { .. }) => Ok(()),
                    outcome => outcome.map(drop),
                }
            }
        }
    }
}

#[async_trait]
impl DnsZone for Technitium {
    async fn records_at(&self, names: &[DnsName]) -> Result<Vec<ZoneRecord>, ZoneError> {
        let mut found = Vec::new();
        for name in &self.names.among(names) {
            found.extend(self.get(&format!("read the records of {name}"), name, false).await?);
        }
        found.retain(|record| names.contains(&record.name));
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<ZoneRecord>, ZoneError> {
        self.get("list the records of the zone", &self.settings.zone, true).await
    }

    async fn apply(&self, changes: &[ZoneChange]) -> Result<(), ZoneError> {
        self.names.check(changes)?;
        for change in changes {
            self.apply_one(change).await?;
        }
        Ok(())
    }

    async fn check(&self) -> Result<ZoneHealth, ZoneError> {
        self.get("read the zone", &self.settings.zone, false).await?;
        Ok(ZoneHealth { token_expires_at: None })
    }
}
