//! `zpack user`: users that an operator creates and changes.

use std::io::BufRead;

use anyhow::{Context, bail};
use sea_orm::DatabaseConnection;
use serde::Serialize;
use serde_json::json;

use super::output::{self, Output, age};
use super::random::secret_text;
use super::{audited, wiring};
use crate::accounts::admin::{self, Invitation};
use crate::accounts::{EmailAddress, Passwords, Username, check_password};
use crate::cli::UserCommand;
use crate::config::{DatabaseConfig, Settings, Source};
use crate::db;
use crate::db::entities::user::{self, Role};
use crate::kernel::{Secret, Timestamp, UserId};

/// The length of a generated password.
const PASSWORD_LENGTH: usize = 20;

/// One user, without its credentials.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccountView {
    id: UserId,
    email: String,
    username: String,
    role: Role,
    created_at: Timestamp,
}

impl From<user::Model> for AccountView {
    fn from(row: user::Model) -> Self {
        Self { id: row.id, email: row.email, username: row.username, role: row.role, created_at: row.created_at }
    }
}

/// Runs one `zpack user` command.
pub async fn run(source: &dyn Source, command: UserCommand, output: Output) -> anyhow::Result<()> {
    let db = wiring::database(&DatabaseConfig::load(source)?).await?;
    let now = db::now(&db).await.context("cannot read the clock of the database")?;
    match command {
        UserCommand::Create { email, username, role, password_stdin } => {
            create(&db, &email, username, role, password_stdin, now, output).await
        }
        UserCommand::List => {
            let users = admin::list_users(&db).await.context("cannot list the users")?;
            let users: Vec<AccountView> = users.into_iter().map(AccountView::from).collect();
            output.print(&json!({"users": users}), |_| {
                let rows = users.iter().map(|user| {
                    vec![
                        user.id.to_string(),
                        user.email.clone(),
                        user.username.clone(),
                        user.role.to_string(),
                        age(now, user.created_at),
                    ]
                });
                output::table(&["id", "email", "username", "role", "age"], rows, "No users.")
            })
        }
        UserCommand::SetRole { user, role } => {
            let changed = admin::set_role(&db, &user, role, now)
                .await
                .with_context(|| format!("the role of `{user}` was not changed"))?;
            let detail = json!({"role": role});
            audited::record(&db, "user.set_role", &changed.id.to_string(), detail, now)
                .await
                .context("the role was changed, but the audit log could not be written")?;
            let view = AccountView::from(changed);
            output.print(&json!({"ok": true, "user": view}), |_| format!("{} is {role} now.", view.email))
        }
    }
}

async fn create(
    db: &DatabaseConnection,
    email: &str,
    username: Option<String>,
    role: Role,
    password_stdin: bool,
    now: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    let email: EmailAddress = email.parse().context("--email")?;
    let name = username.unwrap_or_else(|| email.as_str().split('@').next().unwrap_or_default().to_owned());
    let username: Username = name.parse().with_context(|| format!("--username `{name}`"))?;
    let (password, made) = if password_stdin { (first_line()?, false) } else { (secret_text(PASSWORD_LENGTH), true) };
    check_password(&password, email.as_str(), username.as_str()).context("the password")?;
    let passwords = Passwords::new(1).context("cannot set up password hashing")?;
    let invitation = Invitation { email, username, role, password: Secret::new(password.clone()) };
    let user = admin::create_user(db, &passwords, invitation, now).await.context("the user was not created")?;
    audited::record(db, "user.create", &user.id.to_string(), json!({"role": role}), now)
        .await
        .context("the user was created, but the audit log could not be written")?;
    let shown = made.then_some(password);
    let view = AccountView::from(user);
    output.print(&json!({"ok": true, "user": view, "password": shown}), |_| {
        let password = shown.iter().map(|password| format!("\nIts password, shown only now: {password}"));
        format!("Created {} ({}, {role}).{}", view.email, view.id, password.collect::<String>())
    })
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        bail!("standard input contains no password; pipe one in, or omit --password-stdin to have one generated");
    }
    Ok(password.to_owned())
}
