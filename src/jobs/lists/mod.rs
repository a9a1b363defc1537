//! The Redis side of a queue: its lists, the receiving side of a worker, and the reaper. Nothing here decides ownership.

mod acks;
pub(super) mod commands;
pub(super) mod depth;
pub(super) mod intake;
pub(super) mod reaper;
mod receiver;
pub(super) mod requirements;
