//! The migrations of `migrations/`, embedded.

#[path = "../../migrations/mod.rs"]
mod migrations;

pub use migrations::Migrator;
