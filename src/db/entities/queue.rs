//! One queue and whether it hands out work.

use sea_orm::entity::prelude::*;

use crate::kernel::Timestamp;

/// One queue and whether it hands out work.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "queues")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// No operation of a paused queue is claimed.
    pub paused: bool,
    /// When that was decided.
    pub updated_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
