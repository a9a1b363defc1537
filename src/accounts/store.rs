//! Rows of users and revoked tokens.

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::error::AccountError;
use super::identity::{EmailAddress, Username};
use super::token::TokenClaims;
use crate::db;
use crate::db::entities::revoked_token;
use crate::db::entities::standing::{self, StandingState};
use crate::db::entities::user::{self, Role};
use crate::kernel::{Timestamp, TokenId, UserId};
use crate::web::FieldUpdate;

/// The data of a new account.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its email address.
    pub email: EmailAddress,
    /// Its username.
    pub username: Username,
    /// Shown name.
    pub display_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Its role.
    pub role: Role,
    /// PHC string of its password.
    pub password_hash: String,
}

/// Inserts an account; its email address and its username must be free.
pub async fn insert(db: &impl ConnectionTrait, new: NewUser, now: Timestamp) -> Result<user::Model, AccountError> {
    let row = user::Model {
        id: UserId::generate(),
        email: new.email.to_string(),
        username: new.username.to_string(),
        username_key: new.username.key(),
        display_name: new.display_name,
        first_name: new.first_name,
        last_name: new.last_name,
        role: new.role,
        password_hash: new.password_hash,
        token_epoch: 0,
        billing_status: None,
        suspended_at: None,
        created_at: now,
        updated_at: now,
    };
    let inserted = row.clone().into_active_model().reset_all();
    match user::Entity::insert(inserted).exec_without_returning(db).await {
        Ok(_) => Ok(row),
        Err(error) if db::is_duplicate(&error) => Err(AccountError::Exists),
        Err(error) => Err(error.into()),
    }
}

/// The account with this email address or username.
pub async fn find_by_identifier(db: &impl ConnectionTrait, identifier: &str) -> Result<Option<user::Model>, DbErr> {
    let folded = identifier.trim().to_ascii_lowercase();
    let column = if folded.contains('@') { user::Column::Email } else { user::Column::UsernameKey };
    user::Entity::find().filter(column.eq(folded)).one(db).await
}

/// The account of a token.
#[derive(Debug, FromQueryResult)]
pub struct TokenAccount {
    /// The account.
    #[sea_orm(nested)]
    pub user: user::Model,
    /// Its enforcement state; `None` means active.
    pub standing: Option<String>,
}

/// The account of a token, if the token is not revoked and has the account's current epoch. One statement.
pub async fn find_by_claims(db: &impl ConnectionTrait, claims: &TokenClaims) -> Result<Option<TokenAccount>, DbErr> {
    let revoked = Query::select()
        .expr(Expr::val(1))
        .from(revoked_token::Entity)
        .and_where(revoked_token::Column::TokenId.eq(claims.token))
        .take();
    let standing = Query::select()
        .column(standing::Column::State)
        .from(standing::Entity)
        .and_where(standing::Column::UserId.eq(claims.user))
        .take();
    user::Entity::find_by_id(claims.user)
        .expr_as(Expr::SubQuery(None, Box::new(standing.into())), "standing")
        .filter(user::Column::TokenEpoch.eq(claims.epoch))
        .filter(Expr::exists(revoked).not())
        .into_model()
        .one(db)
        .await
}

/// Those of `tokens` that are not revoked and have the current epoch of their account, with the role of the account.
pub async fn valid_tokens(
    db: &impl ConnectionTrait,
    tokens: impl Iterator<Item = TokenClaims> + Clone,
) -> Result<Vec<(TokenId, Role)>, DbErr> {
    let revoked = revoked_token::Entity::find().select_only().column(revoked_token::Column::TokenId);
    let revoked = revoked.filter(revoked_token::Column::TokenId.is_in(tokens.clone().map(|claims| claims.token)));
    let revoked: Vec<TokenId> = revoked.into_tuple().all(db).await?;
    let accounts = user::Entity::find().select_only();
    let accounts = accounts.column(user::Column::Id).column(user::Column::TokenEpoch).column(user::Column::Role);
    let accounts = accounts.filter(user::Column::Id.is_in(tokens.clone().map(|claims| claims.user)));
    let accounts: Vec<(UserId, i32, Role)> = accounts.into_tuple().all(db).await?;
    let of = |claims: &TokenClaims| accounts.iter().find(|(id, epoch, _)| *id == claims.user && *epoch == claims.epoch);
    let valid = tokens.filter(|claims| !revoked.contains(&claims.token));
    Ok(valid.filter_map(|claims| of(&claims).map(|(_, _, role)| (claims.token, *role))).collect())
}

/// The enforcement state of an account; no row means active.
pub async fn find_standing(db: &impl ConnectionTrait, user: UserId) -> Result<StandingState, DbErr> {
    let row = standing::Entity::find_by_id(user).one(db).await?;
    Ok(row.map_or(StandingState::Active, |row| row.state))
}

/// Revokes one token; the row is kept until the token has expired. Idempotent.
pub async fn revoke(db: &impl ConnectionTrait, claims: &TokenClaims) -> Result<(), DbErr> {
    let row = revoked_token::ActiveModel {
        token_id: Set(claims.token),
        user_id: Set(claims.user),
        expires_at: Set(claims.expires_at),
    };
    match revoked_token::Entity::insert(row).exec_without_returning(db).await {
        Err(error) if !db::is_duplicate(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Deletes at most `most` revoked tokens that expired before `now`, oldest first. Returns how many.
pub async fn purge_revoked(db: &impl ConnectionTrait, now: Timestamp, most: u64) -> Result<u64, DbErr> {
    let ended = || revoked_token::Column::ExpiresAt.lt(now);
    let oldest = revoked_token::Entity::find().select_only().column(revoked_token::Column::TokenId).filter(ended());
    let oldest = oldest.order_by_asc(revoked_token::Column::ExpiresAt).order_by_asc(revoked_token::Column::TokenId);
    let ids: Vec<TokenId> = oldest.limit(most).into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let delete = revoked_token::Entity::delete_many().filter(revoked_token::Column::TokenId.is_in(ids));
    Ok(delete.filter(ended()).exec(db).await?.rows_affected)
}

/// Replaces the hash `old` with `new`; false if it was changed meanwhile.
pub async fn replace_hash(
    db: &impl ConnectionTrait,
    id: UserId,
    old: &str,
    new: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let update = user::Entity::update_many()
        .col_expr(user::Column::PasswordHash, Expr::val(new))
        .col_expr(user::Column::UpdatedAt, Expr::val(now))
        .filter(user::Column::Id.eq(id))
        .filter(user::Column::PasswordHash.eq(old));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Sets a new password hash and revokes all tokens of the account; false if the hash was changed meanwhile.
pub async fn change_password(
    db: &impl ConnectionTrait,
    user: &user::Model,
    new: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let update = user::Entity::update_many()
        .col_expr(user::Column::PasswordHash, Expr::val(new))
        .col_expr(user::Column::TokenEpoch, Expr::col(user::Column::TokenEpoch).add(1))
        .col_expr(user::Column::UpdatedAt, Expr::val(now))
        .filter(user::Column::Id.eq(user.id))
        .filter(user::Column::PasswordHash.eq(user.password_hash.as_str()))
        .filter(user::Column::TokenEpoch.eq(user.token_epoch));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// What to change of an account; the rest stays as it is, whatever other requests write meanwhile.
#[derive(Clone, Debug)]
pub struct ProfileChange {
    /// A new address.
    pub email: Option<EmailAddress>,
    /// A new name.
    pub username: Option<Username>,
    /// Shown name.
    pub display_name: FieldUpdate<String>,
    /// Given name.
    pub first_name: FieldUpdate<String>,
    /// Family name.
    pub last_name: FieldUpdate<String>,
}

/// Writes the columns of `change` and returns the whole account.
pub async fn update_profile(
    db: &impl ConnectionTrait,
    id: UserId,
    change: ProfileChange,
    now: Timestamp,
) -> Result<user::Model, AccountError> {
    let ProfileChange { email, username, display_name, first_name, last_name } = change;
    let changed = user::ActiveModel {
        id: Set(id),
        email: written(email.map(|email| email.to_string())),
        username_key: written(username.as_ref().map(Username::key)),
        username: written(username.map(|username| username.to_string())),
        display_name: written(display_name.write()),
        first_name: written(first_name.write()),
        last_name: written(last_name.write()),
        updated_at: Set(now),
        ..Default::default()
    };
    match changed.update(db).await {
        Ok(user) => Ok(user),
        Err(error) if db::is_duplicate(&error) => Err(AccountError::Exists),
        Err(error) => Err(error.into()),
    }
}

fn written<T: Into<sea_orm::Value>>(value: Option<T>) -> ActiveValue<T> {
    value.map_or(ActiveValue::NotSet, Set)
}

/// Sets the role of an account; false if there is no such account.
pub async fn set_role(db: &impl ConnectionTrait, id: UserId, role: Role, now: Timestamp) -> Result<bool, DbErr> {
    let update = user::Entity::update_many()
        .col_expr(user::Column::Role, Expr::val(role))
        .col_expr(user::Column::UpdatedAt, Expr::val(now))
        .filter(user::Column::Id.eq(id));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// At most `limit` accounts, in the order of their registration, after the account `after`.
pub async fn list(db: &impl ConnectionTrait, after: Option<UserId>, limit: u64) -> Result<Vec<user::Model>, DbErr> {
    let mut query = user::Entity::find().order_by_asc(user::Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(user::Column::Id.gt(after));
    }
    query.all(db).await
}
