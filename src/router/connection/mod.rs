//! What one TCP connection may cost: how long it may stay silent, and how many of them one address may open.
//!
//! [`Places`] counts the open connections of each peer address. [`Timed`] is the socket with its deadlines: on every request
//! head after the first one (whose deadline actix sets), on an idle connection, and on writes that make no progress; it passes on
//! one request at a time. [`attend()`]
//! reports to the socket when a request runs, and keeps what was not read of a body until the answer was sent: actix closes a
//! connection whose body is still held, and would wait for the rest of a body that was dropped.
//! The deadline on bodies is in `src/web/body.rs`, those on handlers in the table of routes.

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
