//! A callback of the proxy that reports on one server (docs/contracts/edge.md C1), merged into that server's payload.

use std::net::IpAddr;

use sea_orm::DatabaseConnection;
use serde_json::Value;
use utoipa::ToSchema;

use crate::db::entities::instance;
use crate::edge::{EDGE_KEY, EdgeRecord, Intent, PROXY_KEY, PingState, ProxyEvent, ProxyRecord, ProxyStatus, Receipt};
use crate::kernel::{DnsName, Hostname, Timestamp, VmId};
use crate::servers::payload::{self, PayloadError, PayloadUpdate};
use crate::servers::store;
use crate::web::{ApiResult, Fields, FromFields, readers};

/// The body of a callback. Other fields are ignored.
#[derive(Clone, Debug, ToSchema)]
pub struct ProxyCallback(pub ProxyEvent);

impl FromFields for ProxyCallback {
    fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
        fields.tolerate_unknown();
        let server_name = fields.required(&["server_name"], readers::text(1..=253));
        let status = fields.required(&["status"], |value: &Value| {
            let text = value.as_str().unwrap_or_default();
            text.parse::<ProxyStatus>().map_err(|error| error.to_string())
        });
        let address = fields.optional(&["address"], |value: &Value| {
            let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
            address.map(|address| address.to_string()).ok_or_else(|| "must be an IP address".to_owned())
        });
        let port = fields.optional(&["port"], |value: &Value| {
            let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
            port.ok_or_else(|| "must be a port".to_owned())
        });
        let at = fields.optional(&["at"], |value: &Value| {
            serde_json::from_value::<Timestamp>(value.clone()).map_err(|_| "must be a time (RFC 3339)".to_owned())
        });
        // These fields are optional information: a value of another type counts as absent.
        let loose = |name: &'static str| fields.peek(&[name]).cloned();
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let (error, boot_id) = (text(loose("error")), text(loose("boot_id")));
        let latency_ms = loose("latency_ms").and_then(|value| value.as_f64());
        let latency_ms = latency_ms.filter(|ms| (0.0..1e12).contains(ms)).map(|ms| ms as u64);
        let (server_name, status, address, port, at) = fields.finish((server_name, status, address, port, at))?;
        Ok(Self(ProxyEvent { server_name, status, address, port, latency_ms, error, boot_id, at }))
    }
}

/// Stores a callback that arrived at `now`, and returns whether it changed what is stored of a known server. A callback
/// about an unknown server is not an error of the bridge: the server may just have been deleted.
pub async fn receive(db: &DatabaseConnection, event: &ProxyEvent, now: Timestamp) -> Result<bool, PayloadError> {
    let Ok(name) = event.server_name.parse::<DnsName>() else { return Ok(false) };
    let Ok(host) = name.first_label().parse::<Hostname>() else { return Ok(false) };
    let Some(row) = store::find_by_hostname(db, &host).await? else {
        tracing::info!(server = %name, status = %event.status, "the proxy reported {} of {name}, which is unknown", event.status);
        return Ok(false);
    };
    let (before, pinged) = (row.revision, ping_of(&row));
    let merged = payload::merge(db, row.vmid, PROXY_KEY, now, |row, stored: Option<ProxyRecord>| {
        let edge: Option<EdgeRecord> = payload::read(row, EDGE_KEY).ok().flatten();
        let edge = edge.filter(|edge| edge.intent == Intent::Published && edge.is_called(&name))?;
        match edge.proxy_record(stored.unwrap_or_default()).receive(event, now) {
            Receipt::Kept(next) => Some(PayloadUpdate::to(next)),
            Receipt::Known | Receipt::Late | Receipt::Elsewhere => None,
        }
    })
    .await;
    match merged {
        Ok(row) => {
            log_ping(row.vmid, pinged, ping_of(&row), event);
            Ok(row.revision != before)
        }
        Err(PayloadError::Gone { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn ping_of(row: &instance::Model) -> Option<PingState> {
    let record: Option<ProxyRecord> = payload::read(row, PROXY_KEY).ok().flatten();
    record?.ping.map(|ping| ping.state)
}

/// Logs a line when the result of the proxy's pings changes.
fn log_ping(vmid: VmId, before: Option<PingState>, now: Option<PingState>, event: &ProxyEvent) {
    let name = event.server_name.as_str();
    match now {
        _ if now == before => {}
        Some(PingState::Answered) => tracing::info!(vmid = vmid.get(), "the proxy reaches {name}"),
        Some(PingState::Failed) => {
            let error = event.error.as_deref().unwrap_or("no reason given");
            tracing::info!(vmid = vmid.get(), error, "the proxy does not reach {name}: {error}");
        }
        Some(PingState::Silent | PingState::Unknown | PingState::NotNeeded) | None => {}
    }
}
