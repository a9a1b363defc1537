//! Operations of a later release, which the workers of this one do not know.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zpack::db::entities::operation::CancelRule;
use zpack::jobs::{Dedup, Queue, Work};
use zpack::kernel::VmId;
use zpack::provision::ProvisionPayload;

/// An order of a later release, with a payload version that workers do not know.
#[derive(Serialize, Deserialize)]
pub struct LaterRelease(pub(super) ProvisionPayload);

impl Work for LaterRelease {
    const KIND: &'static str = ProvisionPayload::KIND;
    const QUEUE: Queue = ProvisionPayload::QUEUE;
    const VERSION: i32 = 99;
    const MAX_STARTS: i32 = ProvisionPayload::MAX_STARTS;
    const CANCEL: CancelRule = ProvisionPayload::CANCEL;

    fn steps(&self) -> usize {
        self.0.steps()
    }

    fn vmid(&self) -> Option<VmId> {
        self.0.vmid()
    }

    fn shown(&self) -> Value {
        self.0.shown()
    }

    fn dedup(&self) -> Dedup {
        Dedup::None
    }
}
