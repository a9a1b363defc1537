//! The payload of a teardown.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::subject::TeardownSubject;
use crate::db::entities::operation::CancelRule;
use crate::jobs::{Dedup, Queue, Work};
use crate::kernel::{Target, VmId};

/// How many steps a teardown takes: one for each peer of the edge, beside archive, container and release.
pub(super) fn step_count() -> usize {
    Target::peers().count() + 3
}

/// The payload of a teardown, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeardownPayload {
    /// The server.
    pub vmid: VmId,
    /// Who requested it: a user id or `internal`.
    pub by: String,
    /// A container without a server; nothing for a server, whose row says what to remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan: Option<TeardownSubject>,
}

impl Work for TeardownPayload {
    const KIND: &'static str = "teardown";
    const QUEUE: Queue = Queue::Host;
    const MAX_STARTS: i32 = 5;
    /// A deletion that has begun cannot be undone.
    const CANCEL: CancelRule = CancelRule::BeforeStart;

    fn steps(&self) -> usize {
        step_count()
    }

    fn vmid(&self) -> Option<VmId> {
        Some(self.vmid)
    }

    fn shown(&self) -> Value {
        let action = if self.orphan.is_some() { "delete_container" } else { "delete_server" };
        json!({ "action": action })
    }

    fn dedup(&self) -> Dedup {
        Dedup::Always(vec![self.vmid.to_string()])
    }
}
