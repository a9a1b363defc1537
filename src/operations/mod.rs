//! Operations: the durable rows that users poll, from the accepted request to the end state.
//!
//! [`Acceptor`] accepts the order of a handler: [`begin()`] writes the row inside the transaction of the request, and
//! from its commit on the work is certain to run. While it runs, the [`StepJournal`] of the saga writes steps and
//! progress events under the owner's fence; the steps of a [`ForwardJob`] are never undone. Operations are kept after
//! their end.
//!
//! Elsewhere: claims, leases and recovery (`jobs`), the steps themselves (`provision` and others).

mod accept;
mod archive;
mod begin;
mod cancel;
pub mod creations;
pub mod episodes;
mod error;
mod events;
mod feeds;
mod forward;
pub mod http;
pub mod idempotency;
mod journal;
mod key;
mod order;
mod owner;
mod policy;
mod requester;
mod resource_lock;
mod sentence;
mod store;
mod view;

pub use accept::Acceptor;
pub use archive::{Place, archive_ended};
pub use begin::{Begun, begin, offer};
pub use cancel::cancel;
pub use creations::Creation;
pub use error::OperationError;
pub use events::{EventKind, after as events_after, record as record_event};
pub use feeds::Feeds;
pub use forward::{ForwardJob, failed, run_forward, stop_of};
pub use journal::StepJournal;
pub use order::Order;
pub use policy::{CancelFacts, CancelOutcome, CancelRefusal, may_cancel};
pub use requester::Requester;
pub use resource_lock::{Resource, ResourceLock};
pub use store::{Viewer, find, find_view, list};
pub use view::{Accepted, OperationView, shown_request, status_url};
