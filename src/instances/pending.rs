//! Servers that are being created, and those whose creation failed, as their owner sees them beside the others.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::view::Category;
use crate::db::entities::operation::OperationState;
use crate::kernel::{OperationId, Timestamp, text_enum};
use crate::operations::{Creation, status_url};

/// The kind of the operations that create servers.
pub const CREATE_KIND: &str = "provision";

text_enum! {
    /// How far the creation of a server is.
    pub enum PendingStatus {
        /// It waits for a worker.
        Queued = "queued",
        /// A worker creates it.
        Installing = "installing",
        /// It failed.
        Failed = "failed",
    }
}

/// A server that is being created, or whose creation failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingServer {
    /// The operation that creates it.
    #[schema(value_type = String)]
    operation_id: OperationId,
    /// Where to poll the operation.
    status_url: String,
    /// `GAME` or `DEV`.
    #[schema(value_type = String, example = "GAME")]
    category: Category,
    /// The game or the runtime.
    #[schema(example = "minecraft")]
    runtime: String,
    /// The variant of the game.
    #[schema(example = "paper")]
    flavor: Option<String>,
    /// The version of game or runtime.
    version: String,
    /// `queued`, `installing` or `failed`.
    #[schema(value_type = String, example = "installing")]
    status: PendingStatus,
    /// The step that is running or was last done.
    phase: Option<String>,
    /// Steps done in percent.
    percent: u8,
    /// Why it failed, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
}

/// What was asked for.
#[derive(Deserialize)]
#[serde(tag = "ctype", rename_all = "lowercase")]
enum Asked {
    Game { game: String, variant: String, version: String },
    Dev { runtime: String, version: String },
}

impl PendingServer {
    /// The view of `creation`; `None` when this release cannot read what was asked for.
    pub fn new(creation: Creation) -> Option<Self> {
        let Creation { id, state, request, phase, percent, error, created_at } = creation;
        let status = status(state)?;
        let (category, runtime, flavor, version) = asked(request)?;
        let error =
            (status == PendingStatus::Failed).then(|| error.unwrap_or("The server could not be created.").to_owned());
        let status_url = status_url(id);
        Some(Self {
            operation_id: id,
            status_url,
            category,
            runtime,
            flavor,
            version,
            status,
            phase,
            percent,
            error,
            created_at,
        })
    }

    /// The operation that creates it.
    pub const fn operation(&self) -> OperationId {
        self.operation_id
    }
}

const fn status(state: OperationState) -> Option<PendingStatus> {
    match state {
        OperationState::Queued => Some(PendingStatus::Queued),
        OperationState::Running => Some(PendingStatus::Installing),
        OperationState::Failed | OperationState::Stale => Some(PendingStatus::Failed),
        OperationState::Succeeded | OperationState::Cancelled => None,
    }
}

fn asked(request: Value) -> Option<(Category, String, Option<String>, String)> {
    Some(match serde_json::from_value(request).ok()? {
        Asked::Game { game, variant, version } => (Category::Game, game, Some(variant), version),
        Asked::Dev { runtime, version } => (Category::Dev, runtime, None, version),
    })
}
