//! What one provisioning at a time may do: clone a template (docs/contracts/proxmox.md 5.4 and 14.3), and decide where
//! a container goes.

use std::fmt;

use crate::jobs::locks;
use crate::kernel::VmId;
use crate::saga::{StepContext, StepError, Stopped};

use super::run::Run;

/// What is locked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    /// A template, while it is cloned.
    Template(VmId),
    /// The memory of all nodes, while some of it is given away.
    Placement,
}

impl Resource {
    /// Where tests break a process that has just locked it.
    const fn place(self) -> &'static str {
        match self {
            Self::Template(_) => "clone_container.locked",
            Self::Placement => "reserve_identity.locked",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(vmid) => write!(f, "template:{vmid}"),
            Self::Placement => f.write_str("placement"),
        }
    }
}

/// Waits for the lock of `resource`. Those before us end or lose their lease; a lock that comes too late for our own is
/// none.
pub(super) async fn lock(run: &Run, cx: &StepContext<'_>, resource: Resource) -> Result<(), StepError> {
    let name = resource.to_string();
    loop {
        let now = run.deps.clock.now();
        let taking = || locks::take(&run.deps.db, &name, run.operation(), run.cx.fence(), now);
        if run.ask("lock", taking).await? {
            run.hit(resource.place()).await;
            return if run.cx.is_held() { Ok(()) } else { Err(Stopped::Lost.into()) };
        }
        cx.wait(run.deps.policy.timings.container.task_poll).await?;
    }
}

/// Gives the lock of `resource` back.
pub(super) async fn unlock(run: &Run, resource: Resource) {
    if let Err(error) = locks::give_back(&run.deps.db, &resource.to_string(), run.operation()).await {
        tracing::warn!(operation.id = %run.operation(), %error, "{resource} stays locked until this operation ends");
    }
}
