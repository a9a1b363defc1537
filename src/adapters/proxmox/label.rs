//! The name of a request in errors and log events, and whether it may be repeated.

use std::fmt;

use crate::kernel::VmId;

/// Whether a request changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It only reads, so it can be repeated when the answer is lost.
    Read,
    /// It writes, so a lost answer leaves the outcome unknown.
    Write,
}

/// The label of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestLabel {
    name: String,
    access: Access,
    claims: Option<VmId>,
}

impl RequestLabel {
    /// A request that only reads.
    pub(super) fn read(name: impl Into<String>) -> Self {
        Self { name: name.into(), access: Access::Read, claims: None }
    }

    /// A request that changes something.
    pub(super) fn write(name: impl Into<String>) -> Self {
        Self { name: name.into(), access: Access::Write, claims: None }
    }

    /// The request needs `vmid` to be free.
    pub(super) fn claiming(mut self, vmid: VmId) -> Self {
        self.claims = Some(vmid);
        self
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn claims(&self) -> Option<VmId> {
        self.claims
    }
}

impl fmt::Display for RequestLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
