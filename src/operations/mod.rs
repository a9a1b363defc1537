//! Durable intent: the row a user polls, from the accepted request to its end state.
//!
//! [`begin()`] writes the row inside the transaction of the request; that row is the enqueue. While it runs, the
//! [`StepJournal`] of the saga writes steps and progress events under the owner's fence. Operations are kept when they
//! end.
//!
//! Not here: claiming, leases and recovery (`jobs`), what the steps do (`provision`).

mod begin;
mod cancel;
mod error;
mod events;
mod forward;
pub mod http;
pub mod idempotency;
mod journal;
mod server_lock;
mod store;
mod view;

pub use begin::{Begun, NewOperation, begin, dedup_key, try_begin};
pub use cancel::{CancelOutcome, cancel, goes_on};
pub use error::OperationError;
pub use events::{EventKind, after as events_after, record as record_event};
pub use forward::{run_forward, stop_of};
pub use journal::StepJournal;
pub use server_lock::ServerLock;
pub use store::{Scope, find, find_view, list};
pub use view::{Accepted, OperationView};
