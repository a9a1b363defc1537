//! The payload of a power operation.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::db::entities::operation::CancelRule;
use crate::jobs::{Dedup, Queue, Work};
use crate::kernel::{VmId, text_enum};
use crate::standing::Action;

text_enum! {
    /// The change of a container's power.
    pub enum HostAction {
        /// Switch it on.
        Start = "start",
        /// Switch it off.
        Stop = "stop",
        /// Switch it off and on.
        Restart = "restart",
    }
}

impl HostAction {
    /// The action that the gate checks.
    pub const fn gated(self) -> Action {
        match self {
            Self::Start | Self::Restart => Action::Start,
            Self::Stop => Action::Stop,
        }
    }
}

/// The payload of a power operation, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerPayload {
    /// The server.
    pub vmid: VmId,
    /// The change.
    pub action: HostAction,
}

impl Work for PowerPayload {
    const KIND: &'static str = "power";
    const QUEUE: Queue = Queue::Host;
    const MAX_STARTS: i32 = 5;
    const CANCEL: CancelRule = CancelRule::Anytime;

    fn steps(&self) -> usize {
        match self.action {
            HostAction::Start | HostAction::Stop => 2,
            HostAction::Restart => 4,
        }
    }

    fn vmid(&self) -> Option<VmId> {
        Some(self.vmid)
    }

    fn shown(&self) -> Value {
        json!({ "action": self.action })
    }

    /// One key for all actions: a server has one power operation at a time.
    fn dedup(&self) -> Dedup {
        Dedup::Always(vec![self.vmid.to_string()])
    }
}
