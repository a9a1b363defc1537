//! The accounts a development company starts with.

use anyhow::Context;
use sea_orm::DatabaseConnection;

use super::credentials::{Login, Logins};
use crate::accounts::admin::{self, Invitation};
use crate::accounts::{AccountError, Passwords, store};
use crate::db::entities::user::Role;
use crate::kernel::{Secret, Timestamp};

/// Creates those of `logins` that do not exist. `renew` also gives the others the password in `logins`, which was generated
/// again after the old one was removed.
pub(super) async fn ensure(
    db: &DatabaseConnection,
    logins: &Logins,
    renew: bool,
    now: Timestamp,
) -> anyhow::Result<()> {
    let passwords = Passwords::new(1).context("passwords cannot be hashed")?;
    for (login, role) in [(&logins.admin, Role::Admin), (&logins.demo, Role::Customer)] {
        one(db, &passwords, login, role, renew, now)
            .await
            .with_context(|| format!("the account {} could not be created", login.email))?;
    }
    Ok(())
}

async fn one(
    db: &DatabaseConnection,
    passwords: &Passwords,
    login: &Login,
    role: Role,
    renew: bool,
    now: Timestamp,
) -> anyhow::Result<()> {
    let password = Secret::new(login.password.clone());
    if let Some(user) = store::find_by_identifier(db, &login.email).await? {
        if renew {
            let hash = passwords.hash(&password).await.map_err(AccountError::from)?;
            store::change_password(db, &user, &hash, now).await?;
        }
        return Ok(());
    }
    let name = login.email.split('@').next().unwrap_or_default();
    let invitation = Invitation { email: login.email.parse()?, username: name.parse()?, role, password };
    admin::create_user(db, passwords, invitation, now).await?;
    Ok(())
}
