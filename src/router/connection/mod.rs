//! Limits of a TCP connection: how long it may be silent, and how many one address may open.
//!
//! [`Places`] counts the open connections of each peer address. [`Timed`] is the socket with deadlines: for every
//! request head after the first one (whose deadline actix sets), for an idle connection, and for a write that makes no
//! progress. It passes on one request at a time. [`attend()`] reports to the socket that a request runs, and keeps the
//! unread rest of its body until the response is sent: actix closes a connection whose body is still held, but would
//! wait for the rest of a body that was dropped. The deadline of bodies is in `src/web/body.rs`, that of handlers in
//! `src/router/route.rs`.

mod attend;
mod deadlines;
mod exchange;
mod head_end;
mod places;
mod timed;

pub(super) use attend::attend;
pub use deadlines::ConnectionDeadlines;
pub(super) use places::Places;
pub(super) use timed::Timed;
