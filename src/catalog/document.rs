//! The two documents of the catalog as types.

use serde::Serialize;
use utoipa::ToSchema;

/// Every game that can be installed, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Games {
    /// The games.
    pub games: Vec<Game>,
}

/// One game and its variants; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Game {
    /// For example `minecraft`.
    #[schema(example = "minecraft")]
    pub id: String,
    /// The variants.
    pub variants: Vec<Variant>,
}

/// One variant of a game and its versions, newest first; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Variant {
    /// For example `paper`.
    #[schema(example = "paper")]
    pub id: String,
    /// The versions.
    #[schema(example = json!(["1.21.10", "1.20.4"]))]
    pub versions: Vec<String>,
}

/// Every runtime of dev containers, in the order of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Runtimes {
    /// The runtimes.
    pub runtimes: Vec<Runtime>,
}

/// One runtime and its versions, newest first; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Runtime {
    /// For example `node`.
    #[schema(example = "node")]
    pub id: String,
    /// The versions.
    #[schema(example = json!(["24", "22"]))]
    pub versions: Vec<String>,
}
