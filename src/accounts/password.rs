//! Password hashes: argon2id, on threads of their own, with bounded concurrency.
//!
//! By design, a hash takes tens of milliseconds of a core and 19 MiB. Without a bound, a burst of logins would starve the rest
//! of the API: so a few hashes run concurrently, a few wait, and further requests are refused with `Retry-After`. The threads
//! and their memory are in [`hash_threads`](super::hash_threads), the hash functions in
//! [`password_hash`].

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

use super::hash_threads::HashThreads;
use super::password_hash::{self, Memory, PasswordCheck};
use crate::kernel::Secret;

/// Hashes and verifies passwords off the async threads.
#[derive(Clone, Debug)]
pub struct Passwords {
    threads: Arc<HashThreads>,
    admitted: Arc<Semaphore>,
    decoy: Arc<str>,
}

/// Why a password could not be hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many checks are waiting.
    #[error("too many password checks are under way")]
    Overloaded,
    /// No thread for hashes could be started.
    #[error("a thread for password hashes could not be started")]
    Start(#[source] io::Error),
    /// The thread of the hash ended early.
    #[error("the password thread ended early")]
    Thread,
    /// The hash function refused its input.
    #[error("the password could not be hashed")]
    Hash(#[source] argon2::password_hash::Error),
}

/// How many checks may wait for each one that runs.
const WAITING: usize = 8;

impl Passwords {
    /// At most `parallel` hashes at once, and eight times as many waiting.
    pub fn new(parallel: usize) -> Result<Self, PasswordError> {
        let parallel = parallel.max(1);
        let decoy = password_hash::hash("the password of no account", &mut Memory::default());
        Ok(Self {
            threads: Arc::new(HashThreads::start(parallel).map_err(PasswordError::Start)?),
            admitted: Arc::new(Semaphore::new(parallel * (1 + WAITING))),
            decoy: decoy.map_err(PasswordError::Hash)?.into(),
        })
    }

    /// The argon2id hash of `password`, as a PHC string.
    pub async fn hash(&self, password: &Secret) -> Result<String, PasswordError> {
        let password = Zeroizing::new(password.expose().to_owned());
        self.run(move |memory| password_hash::hash(&password, memory)).await?.map_err(PasswordError::Hash)
    }

    /// Checks `password` against `hash`. Without a hash the check takes as long and fails, so that the response time
    /// does not reveal whether an account exists.
    pub async fn verify(&self, password: &Secret, hash: Option<&str>) -> Result<PasswordCheck, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        let password = Zeroizing::new(password.expose().to_owned());
        let verdict = self.run(move |memory| password_hash::verify(&password, &hash, memory)).await?;
        Ok(if known { verdict } else { PasswordCheck::Wrong })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        let (answer, answered) = oneshot::channel();
        self.threads.run(move |memory| {
            // The client of a closed channel has hung up.
            if !answer.is_closed() {
                _ = answer.send(work(memory));
            }
            // Held here: dropping the future of this call does not free the place of a hash that is still running.
            drop(admitted);
        });
        answered.await.map_err(|_| PasswordError::Thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_verifies_its_own_password_only() {
        let passwords = Passwords::new(2).unwrap();
        let hash = passwords.hash(&Secret::new("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert_eq!(passwords.verify(&Secret::new("correct horse"), Some(&hash)).await.unwrap(), PasswordCheck::Right);
        assert_eq!(passwords.verify(&Secret::new("battery staple"), Some(&hash)).await.unwrap(), PasswordCheck::Wrong);
    }

    #[tokio::test]
    async fn an_unknown_account_has_no_valid_password() {
        let passwords = Passwords::new(1).unwrap();
        for password in ["the password of no account", ""] {
            assert_eq!(passwords.verify(&Secret::new(password), None).await.unwrap(), PasswordCheck::Wrong);
        }
        assert_eq!(passwords.verify(&Secret::new("x"), Some("garbage")).await.unwrap(), PasswordCheck::Wrong);
    }

    #[tokio::test]
    async fn checks_beyond_the_bound_are_refused() {
        let passwords = Passwords::new(1).unwrap();
        let secret = Secret::new("correct horse");
        let wave = (0..20).map(|_| passwords.verify(&secret, None));
        let outcomes = futures_util::future::join_all(wave).await;
        let refused = outcomes.iter().filter(|o| matches!(o, Err(PasswordError::Overloaded))).count();
        assert_eq!(refused, 20 - (1 + WAITING));
    }
}
