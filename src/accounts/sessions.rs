//! Tokens that are used for longer than one request. Each is checked again every two seconds, in two queries for all of them:
//! a logout, a new password or another role ends what it opened, whichever process was asked for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tokio_util::sync::CancellationToken;

use super::caller::SignedIn;
use super::store;
use super::token::TokenClaims;
use crate::db::entities::user::Role;
use crate::kernel::Clock;

/// How often tokens are checked. While the database does not answer they stay: nothing is sent then, either.
const CHECK: Duration = Duration::from_secs(2);
/// The most tokens of one query.
const PAGE: usize = 500;

/// The tokens that are in use, and the task that checks them while there are any.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    db: DatabaseConnection,
    clock: Clock,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    sessions: HashMap<u64, Entry>,
    is_checked: bool,
}

#[derive(Clone)]
struct Entry {
    claims: TokenClaims,
    role: Role,
    ended: CancellationToken,
}

/// The use of one token, until it is dropped.
pub struct Session {
    id: u64,
    ended: CancellationToken,
    sessions: Sessions,
}

impl Sessions {
    /// Tokens that are checked in `db`.
    pub fn new(db: DatabaseConnection, clock: Clock) -> Self {
        Self(Arc::new(Inner { db, clock, open: Mutex::default() }))
    }

    /// Begins to use the token of `account`.
    pub fn begin(&self, account: &SignedIn) -> Session {
        let ended = CancellationToken::new();
        let entry = Entry { claims: account.claims, role: account.user.role, ended: ended.clone() };
        let mut open = self.0.open();
        open.last += 1;
        let id = open.last;
        open.sessions.insert(id, entry);
        if !std::mem::replace(&mut open.is_checked, true) {
            tokio::spawn(check(Checking { inner: self.0.clone(), is_over: false }));
        }
        Session { id, ended, sessions: self.clone() }
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the sessions whose token is not valid any more.
    async fn end_invalid(&self, entries: &[Entry]) -> Result<(), DbErr> {
        let valid = store::valid_tokens(&self.db, entries.iter().map(|entry| entry.claims)).await?;
        let now = self.clock.now();
        for Entry { claims, role, ended } in entries {
            if claims.expires_at <= now || !valid.contains(&(claims.token, *role)) {
                ended.cancel();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Session {
    /// Cancelled when the token is not valid any more.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.0.open().sessions.remove(&self.id);
    }
}

/// The checking task. When it is dropped before its end, all sessions end, and another one may begin.
struct Checking {
    inner: Arc<Inner>,
    is_over: bool,
}

impl Drop for Checking {
    fn drop(&mut self) {
        if !self.is_over {
            let mut open = self.inner.open();
            open.is_checked = false;
            open.sessions.values().for_each(|session| session.ended.cancel());
        }
    }
}

async fn check(mut checking: Checking) {
    loop {
        tokio::time::sleep(CHECK).await;
        let entries: Vec<Entry> = {
            let mut open = checking.inner.open();
            open.is_checked = !open.sessions.is_empty();
            checking.is_over = !open.is_checked;
            open.sessions.values().cloned().collect()
        };
        if checking.is_over {
            return;
        }
        for page in entries.chunks(PAGE) {
            if let Err(error) = checking.inner.end_invalid(page).await {
                tracing::debug!(%error, "tokens in use could not be checked: {error}");
            }
        }
    }
}
