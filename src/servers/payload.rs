//! Changes one key of a server's payload without touching the keys of other writers.
//!
//! The payload is a JSON object in which each feature owns a key. A writer reads the row, changes its key, and writes
//! the row if the revision is still the one it read; otherwise it reads again. Unknown keys are kept byte for byte.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::store;
use crate::db;
use crate::db::entities::instance;
use crate::kernel::{Backoff, Classify, Failure, Timestamp, VmId};

/// The payload of a server for which no feature has stored anything.
pub const EMPTY: &str = "{}";

/// The largest payload in bytes; `TEXT` of MariaDB ends at 65 535.
const MAX_PAYLOAD: usize = 60_000;

/// How often a writer that loses a race tries again. Of several concurrent writers, one always succeeds.
const MAX_ATTEMPTS: u32 = 200;

/// The backoff of a writer that lost a race.
const RACE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The server does not exist any more.
    #[error("there is no server {vmid}")]
    Gone {
        /// Its number.
        vmid: VmId,
    },
    /// The stored value cannot be parsed; nothing was changed.
    #[error("the payload of server {vmid} cannot be read at `{key}`: {source}")]
    Damaged {
        /// The server.
        vmid: VmId,
        /// The key.
        key: &'static str,
        /// The error.
        source: serde_json::Error,
    },
    /// The payload would not fit its column; nothing was changed.
    #[error("the payload of server {vmid} would have {bytes} bytes with the new `{key}`, more than {MAX_PAYLOAD}")]
    TooLarge {
        /// The server.
        vmid: VmId,
        /// The key.
        key: &'static str,
        /// The size it would have.
        bytes: usize,
    },
    /// Another writer was faster each time.
    #[error("other writers changed server {vmid} first, {MAX_ATTEMPTS} times in a row")]
    Contended {
        /// The server.
        vmid: VmId,
    },
    /// The database failed.
    #[error("the payload of a server could not be changed")]
    Database(#[from] DbErr),
}

impl Classify for PayloadError {
    fn failure(&self) -> Failure {
        match self {
            Self::Gone { .. } | Self::TooLarge { .. } => Failure::Permanent,
            Self::Damaged { .. } => Failure::NeedsOperator,
            Self::Contended { .. } => Failure::Transient,
            Self::Database(error) => db::failure(error),
        }
    }
}

/// The change that a writer makes to the row.
#[derive(Clone, Debug)]
pub struct PayloadUpdate<T> {
    /// The new value of the key; `None` removes the key.
    pub value: Option<T>,
    /// The new time at which the edge is due, if that changes too.
    pub edge_due_at: Option<Option<Timestamp>>,
}

impl<T> PayloadUpdate<T> {
    /// Sets the key and nothing else.
    pub const fn to(value: T) -> Self {
        Self { value: Some(value), edge_due_at: None }
    }
}

/// The value of `key` in a payload; `None` if there is none.
pub fn read<T: DeserializeOwned>(row: &instance::Model, key: &'static str) -> Result<Option<T>, PayloadError> {
    PayloadValues::of(row, key)?.read(key)
}

/// The values of a payload, each not yet parsed: to read several of them.
pub struct PayloadValues<'a> {
    vmid: VmId,
    values: BTreeMap<String, &'a RawValue>,
}

impl<'a> PayloadValues<'a> {
    /// Those of `row`; the error names `key`, the first that is wanted.
    pub fn of(row: &'a instance::Model, key: &'static str) -> Result<Self, PayloadError> {
        let vmid = row.vmid;
        let values = serde_json::from_str(&row.payload);
        Ok(Self { vmid, values: values.map_err(|source| PayloadError::Damaged { vmid, key, source })? })
    }

    /// The value of `key`; `None` if there is none.
    pub fn read<T: DeserializeOwned>(&self, key: &'static str) -> Result<Option<T>, PayloadError> {
        let value = self.values.get(key).map(|value| serde_json::from_str(value.get())).transpose();
        value.map_err(|source| PayloadError::Damaged { vmid: self.vmid, key, source })
    }
}

/// Changes `key` of server `vmid` as `change` says of the row and the key's value; `None` changes nothing. `change` is
/// asked again with the newer row when another writer was faster. Returns the row as it is then.
pub async fn merge<T: DeserializeOwned + Serialize>(
    db: &impl ConnectionTrait,
    vmid: VmId,
    key: &'static str,
    now: Timestamp,
    change: impl Fn(&instance::Model, Option<T>) -> Option<PayloadUpdate<T>>,
) -> Result<instance::Model, PayloadError> {
    for attempt in 0..MAX_ATTEMPTS {
        let mut row = store::find(db, vmid).await?.ok_or(PayloadError::Gone { vmid })?;
        let Some(change) = change(&row, read(&row, key)?) else { return Ok(row) };
        let payload = with_key(&row, key, change.value.as_ref())?;
        let due_at = change.edge_due_at.unwrap_or(row.edge_due_at);
        if payload == row.payload && due_at == row.edge_due_at {
            return Ok(row);
        }
        let revision = row.revision;
        row = instance::Model { payload, edge_due_at: due_at, revision: revision + 1, updated_at: now, ..row };
        if store::mark_payload(db, &row, revision).await? {
            return Ok(row);
        }
        tokio::time::sleep(RACE_BACKOFF.jittered(attempt)).await;
    }
    Err(PayloadError::Contended { vmid })
}

/// The payload of `row` with another value of `key`.
fn with_key<T: Serialize>(row: &instance::Model, key: &'static str, value: Option<&T>) -> Result<String, PayloadError> {
    let vmid = row.vmid;
    let damaged = |source| PayloadError::Damaged { vmid, key, source };
    let mut keys: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&row.payload).map_err(damaged)?;
    match value {
        Some(value) => drop(keys.insert(key.to_owned(), serde_json::value::to_raw_value(value).map_err(damaged)?)),
        None => drop(keys.remove(key)),
    }
    let payload = serde_json::to_string(&keys).map_err(damaged)?;
    if payload.len() > MAX_PAYLOAD {
        return Err(PayloadError::TooLarge { vmid, key, bytes: payload.len() });
    }
    Ok(payload)
}
