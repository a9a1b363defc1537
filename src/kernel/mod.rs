//! Basic types of the whole crate: typed ids, time, secrets, failure classes, text enums, host names, edge targets.
//!
//! Imports no other module, does no I/O, and is the only place that reads clocks ([`Clock`], [`boottime`]).

pub mod boottime;
mod clock;
mod dns_name;
mod failure;
mod hostname;
mod id;
mod reach;
mod retry;
mod secret;
mod target;
pub mod text;
mod text_enum;
mod vmid;

pub use clock::{Clock, Timestamp, short_span};
pub use dns_name::{DnsName, DnsNameError};
pub use failure::{Classify, Failure};
pub use hostname::{Hostname, HostnameError};
pub use id::{AuditId, CandidacyId, DebtId, IdError, InstanceId, OperationId, RequestId, TokenId, UserId, WorkerId};
pub use reach::{OutOfReach, Reach};
pub use retry::Backoff;
pub use secret::{Secret, StoredSecret};
pub use target::Target;
pub use text_enum::UnknownText;
pub(crate) use text_enum::text_enum;
pub use vmid::{VmId, VmIdError, VmIdRange};
