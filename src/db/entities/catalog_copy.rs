//! The last valid copy of a catalog document.

use sea_orm::entity::prelude::*;

use crate::kernel::Timestamp;

/// The last valid copy of a catalog document.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "catalog_copies")]
pub struct Model {
    /// `games` or `runtimes`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub document: String,
    /// The document as it was served.
    pub body: String,
    /// Its entity tag.
    pub etag: Option<String>,
    /// When it was last known to be current.
    pub fetched_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
