//! One access token that was revoked before it expired.

use sea_orm::entity::prelude::*;

use crate::kernel::{Timestamp, TokenId, UserId};

/// One access token that was revoked before it expired.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revoked_tokens")]
pub struct Model {
    /// The token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_id: TokenId,
    /// Its user.
    pub user_id: UserId,
    /// When the row may be deleted.
    pub expires_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
