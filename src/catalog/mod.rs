//! What may be provisioned: games, variants, runtimes and their versions, read from the artifact server
//! (docs/contracts/edge.md F).
//!
//! The documents are parsed leniently, but ids and versions are checked strictly, because they become parts of artifact
//! paths. Elsewhere: the request that selects from the catalog (`provision::http`), and the client of the artifact
//! server (`adapters`).

mod artifacts;
mod cache;
mod copies;
mod document;
mod error;
mod handle;
pub mod http;
mod java;
mod parse;
mod select;
mod version;

pub use artifacts::{ArtifactPaths, artifacts_for};
pub use cache::Reading;
pub use document::{Game, Games, Runtime, Runtimes, Variant};
pub use error::{CatalogUnavailable, RefreshError};
pub use handle::{Catalog, CatalogRefresh};
pub use java::{Java, UnknownMinecraftVersion, java_for};
pub use parse::{MalformedDocument, is_id, is_version, parse_games, parse_runtimes};
pub use select::{NotInCatalog, SelectionField, validate_game, validate_runtime};
pub use version::compare as compare_versions;
