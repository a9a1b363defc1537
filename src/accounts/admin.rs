//! Account administration by operators: `zpack user create|list|set-role`, and the first accounts of `zpack dev`.

use sea_orm::DatabaseConnection;

use super::error::AccountError;
use super::identity::{EmailAddress, Username};
use super::password::Passwords;
use super::store::{self, NewUser};
use crate::db::entities::user::{self, Role};
use crate::kernel::{Secret, Timestamp};

/// An account to be created by an operator.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Its email address.
    pub email: EmailAddress,
    /// Its username.
    pub username: Username,
    /// Its role.
    pub role: Role,
    /// Its first password.
    pub password: Secret,
}

/// Creates an account.
pub async fn create_user(
    db: &DatabaseConnection,
    passwords: &Passwords,
    invitation: Invitation,
    now: Timestamp,
) -> Result<user::Model, AccountError> {
    let password_hash = passwords.hash(&invitation.password).await?;
    let new = NewUser {
        email: invitation.email,
        username: invitation.username,
        display_name: None,
        first_name: None,
        last_name: None,
        role: invitation.role,
        password_hash,
    };
    store::insert(db, new, now).await
}

/// Every account, in the order of registration, read in pages.
pub async fn list_users(db: &DatabaseConnection) -> Result<Vec<user::Model>, AccountError> {
    const PAGE: u64 = 500;
    let mut users: Vec<user::Model> = Vec::new();
    loop {
        let page = store::list(db, users.last().map(|user| user.id), PAGE).await?;
        let complete = (page.len() as u64) < PAGE;
        users.extend(page);
        if complete {
            return Ok(users);
        }
    }
}

/// Sets the role of the account with this username or email address. The new role applies to its existing tokens
/// immediately.
pub async fn set_role(
    db: &DatabaseConnection,
    identifier: &str,
    role: Role,
    now: Timestamp,
) -> Result<user::Model, AccountError> {
    let not_found = || AccountError::NotFound(identifier.chars().take(254).collect());
    let user = store::find_by_identifier(db, identifier).await?.ok_or_else(not_found)?;
    if !store::set_role(db, user.id, role, now).await? {
        return Err(not_found());
    }
    Ok(user::Model { role, updated_at: now, ..user })
}
