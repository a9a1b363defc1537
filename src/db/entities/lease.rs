//! Who leads, and how often that has changed.

use sea_orm::entity::prelude::*;

use crate::kernel::Timestamp;

/// Who leads, and how often that has changed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leases")]
pub struct Model {
    /// What is led.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Raised by every new leader; a transaction of an older one is refused.
    pub epoch: i64,
    /// The leader, absent after it has resigned.
    pub holder: Option<String>,
    /// When it last said that it leads, absent after it has resigned.
    pub renewed_at: Option<Timestamp>,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
