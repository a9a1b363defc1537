//! One account.

use sea_orm::entity::prelude::*;

use crate::kernel::{Timestamp, UserId, text_enum};

text_enum! {
    /// What an account may do.
    pub enum Role {
        /// Its own servers.
        Customer = "customer",
        /// Everything.
        Admin = "admin",
    }
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UserId,
    /// Address in lower case, unique.
    pub email: String,
    /// Name as the user spells it.
    pub username: String,
    /// Name in lower case, unique.
    pub username_key: String,
    /// Shown name.
    pub display_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// What the account may do.
    pub role: Role,
    /// PHC string of argon2id, or an old bcrypt hash.
    pub password_hash: String,
    /// Tokens of an older epoch are revoked.
    pub token_epoch: i32,
    /// The last status from billing, for display.
    pub billing_status: Option<String>,
    /// Since when the account is suspended.
    pub suspended_at: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
