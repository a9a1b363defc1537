//! A customer's request, as it is stored with the operation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::db::entities::instance::InstanceKind;
use crate::db::entities::operation::CancelRule;
use crate::instances::pending::CREATE_KIND;
use crate::jobs::{Dedup, Queue, Work};
use crate::kernel::{UserId, VmId};

/// The number of provisioning steps.
pub(super) const STEP_COUNT: usize = 9;

/// The server to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerRequest {
    /// Game server or dev container, and what runs in it.
    #[serde(flatten)]
    pub workload: Workload,
    /// Memory limit in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u32,
    /// Number of cores.
    pub cpu_cores: u32,
    /// The server's display name; the host name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What runs in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ctype", rename_all = "lowercase")]
pub enum Workload {
    /// A game server.
    Game {
        /// The game, for example `minecraft`.
        game: String,
        /// The variant, for example `paper`.
        variant: String,
        /// The game's version.
        version: String,
        /// The name of the world.
        world: String,
    },
    /// A dev container.
    Dev {
        /// The runtime, for example `node`.
        runtime: String,
        /// The runtime's version.
        version: String,
    },
}

impl Workload {
    /// Game server or dev container.
    pub const fn kind(&self) -> InstanceKind {
        match self {
            Self::Game { .. } => InstanceKind::Game,
            Self::Dev { .. } => InstanceKind::Dev,
        }
    }
}

/// The payload of a provisioning operation, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionPayload {
    /// The owner.
    pub user_id: UserId,
    /// The request; shown to the owner.
    pub request: ServerRequest,
}

impl Work for ProvisionPayload {
    const KIND: &'static str = CREATE_KIND;
    const QUEUE: Queue = Queue::Provision;
    const MAX_STARTS: i32 = 1;
    const CANCEL: CancelRule = CancelRule::Anytime;

    fn steps(&self) -> usize {
        STEP_COUNT
    }

    /// Reserved by the first step.
    fn vmid(&self) -> Option<VmId> {
        None
    }

    fn shown(&self) -> Value {
        serde_json::to_value(&self.request).unwrap_or_default()
    }

    /// An equal request of the same customer is answered with the unfinished operation.
    fn dedup(&self) -> Dedup {
        Dedup::WithoutKey(vec![self.user_id.to_string(), self.shown().to_string()])
    }
}
