//! The payload of an operation, and the properties of its kind.
//!
//! The payload type defines in one place how its operations are queued, bounded, shown and cancelled.
//! `operations::accept` writes the row from it, and the [`Registry`](super::Registry) checks the jobs of a worker
//! against it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::db::entities::operation::CancelRule;
use crate::kernel::VmId;

use super::queue::Queue;

/// The payload of one kind of operation. It holds ids and what was requested, but nothing that the job can read when it
/// runs.
pub trait Work: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind of operation.
    const KIND: &'static str;

    /// The queue of its operations.
    const QUEUE: Queue;

    /// The newest version of this payload, counted from 1. Workers that can read only older versions leave the
    /// operation queued.
    const VERSION: i32 = 1;

    /// How often an operation may be started.
    const MAX_STARTS: i32;

    /// When an operation may be cancelled. Who may cancel it depends on who began it (`operations::policy`).
    const CANCEL: CancelRule;

    /// The number of its steps, for progress.
    fn steps(&self) -> usize;

    /// The VMID of its server; `None` while it has none.
    fn vmid(&self) -> Option<VmId>;

    /// What the user is shown as `request`.
    fn shown(&self) -> Value;

    /// When two requests count as the same.
    fn dedup(&self) -> Dedup;
}

/// Whether a second operation of a kind may be accepted while the first is unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// It is accepted.
    None,
    /// It is refused if it has the same parts.
    Always(Vec<String>),
    /// It is refused if it has the same parts, unless the request has an idempotency key, which then identifies the
    /// request.
    WithoutKey(Vec<String>),
}

impl Dedup {
    /// The parts to compare, for a request that has an idempotency key (`keyed`) or has none.
    pub fn parts(self, keyed: bool) -> Option<Vec<String>> {
        match self {
            Self::None => None,
            Self::Always(parts) => Some(parts),
            Self::WithoutKey(parts) => (!keyed).then_some(parts),
        }
    }
}

/// The properties of a kind that the runtime needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkSpec {
    /// The kind of operation.
    pub kind: &'static str,
    /// The queue of its operations.
    pub queue: Queue,
    /// The newest payload version.
    pub version: i32,
}

impl WorkSpec {
    /// The properties of `W`.
    pub const fn of<W: Work>() -> Self {
        Self { kind: W::KIND, queue: W::QUEUE, version: W::VERSION }
    }
}
