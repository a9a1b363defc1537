//! What a feature accepts to be done: the payload of an operation, and everything that holds for its kind.
//!
//! The payload type says once how its operations are queued, bounded, shown and cancelled. `operations::accept` writes the
//! row from it, and the [`Registry`](super::Registry) checks the jobs of a worker against it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::db::entities::operation::CancelRule;
use crate::kernel::VmId;

use super::queue::Queue;

/// The payload of one kind of operation. It carries ids and what was asked for, never what can be read when the job runs.
pub trait Work: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind of operation.
    const KIND: &'static str;

    /// The queue its operations wait in.
    const QUEUE: Queue;

    /// The newest version of this payload, counted from 1. Workers that know only older ones leave the operation queued.
    const VERSION: i32 = 1;

    /// How often an operation may be started.
    const MAX_STARTS: i32;

    /// When an operation may be cancelled. Who may is decided from who began it (`operations::policy`).
    const CANCEL: CancelRule;

    /// How many steps it takes, for progress.
    fn steps(&self) -> usize;

    /// The server it is about; `None` while it has no VMID yet.
    fn vmid(&self) -> Option<VmId>;

    /// What the user is shown as `request`.
    fn shown(&self) -> Value;

    /// What makes two requests the same.
    fn dedup(&self) -> Dedup;
}

/// Whether a second operation of a kind may be accepted while the first is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// It may.
    None,
    /// Not with the same parts.
    Always(Vec<String>),
    /// Not with the same parts, unless the request has an idempotency key: the key then says what is the same request.
    WithoutKey(Vec<String>),
}

impl Dedup {
    /// The parts that count for a request that is `keyed` by an idempotency key, or is not.
    pub fn parts(self, keyed: bool) -> Option<Vec<String>> {
        match self {
            Self::None => None,
            Self::Always(parts) => Some(parts),
            Self::WithoutKey(parts) => (!keyed).then_some(parts),
        }
    }
}

/// What the runtime needs to know of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkSpec {
    /// The kind of operation.
    pub kind: &'static str,
    /// The queue its operations wait in.
    pub queue: Queue,
    /// The newest payload version that is understood.
    pub version: i32,
}

impl WorkSpec {
    /// What `W` says.
    pub const fn of<W: Work>() -> Self {
        Self { kind: W::KIND, queue: W::QUEUE, version: W::VERSION }
    }
}
