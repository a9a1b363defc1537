//! The SQL side of a queue: every statement that moves an operation from one owner to another, by the rules of
//! `lifecycle.rs`.

pub(super) mod claim;
pub(super) mod finish;
pub(super) mod listing;
pub mod locks;
mod one_statement;
pub(super) mod owner;
pub(super) mod recover;
pub(super) mod settle;
pub(super) mod slots;
pub(super) mod status;
pub(super) mod sweeper;
