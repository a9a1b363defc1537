//! Password hashes: argon2id, on blocking threads, with bounded concurrency.
//!
//! By design, a hash takes tens of milliseconds of a core and 19 MiB. Without a bound, a burst of logins would starve
//! the rest of the API: so a few hashes run concurrently, a few wait, and further requests are refused with
//! `Retry-After`.

use std::sync::Arc;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::kernel::Secret;

/// Hashes and verifies passwords off the async threads.
#[derive(Clone, Debug)]
pub struct Passwords {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    decoy: Arc<str>,
}

/// Why a password could not be hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many checks are waiting.
    #[error("too many password checks are under way")]
    Overloaded,
    /// The thread of the hash ended early.
    #[error("the password thread ended early")]
    Thread(#[source] tokio::task::JoinError),
    /// The hash function refused its input.
    #[error("the password could not be hashed")]
    Hash(#[source] argon2::password_hash::Error),
}

/// The outcome of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordCheck {
    /// The password is wrong.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, and its outdated hash should be replaced.
    RightButOld,
}

/// How many checks may wait for each one that runs.
const WAITING: usize = 8;
/// The cost of bcrypt doubles with each step; above this one, an imported hash would block a thread for seconds.
const MOST_BCRYPT_COST: u32 = 14;
/// What bcrypt reads of a password: beyond it any text would do.
const MOST_BCRYPT_BYTES: usize = 72;
/// The most memory in KiB, passes and lanes of a stored argon2 hash; one beyond them matches nothing.
const MOST_ARGON2: (u32, u32, u32) = (128 * 1024, 16, 8);

impl Passwords {
    /// At most `parallel` hashes at once, and eight times as many waiting.
    pub fn new(parallel: usize) -> Result<Self, PasswordError> {
        let parallel = parallel.max(1);
        Ok(Self {
            running: Arc::new(Semaphore::new(parallel)),
            admitted: Arc::new(Semaphore::new(parallel * (1 + WAITING))),
            decoy: hash_now("the password of no account")?.into(),
        })
    }

    /// The argon2id hash of `password`, as a PHC string.
    pub async fn hash(&self, password: &Secret) -> Result<String, PasswordError> {
        let password = Zeroizing::new(password.expose().to_owned());
        self.run(move || hash_now(&password)).await?
    }

    /// Checks `password` against `hash`. Without a hash the check takes as long and fails, so that the response time
    /// does not reveal whether an account exists.
    pub async fn verify(&self, password: &Secret, hash: Option<&str>) -> Result<PasswordCheck, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        let password = Zeroizing::new(password.expose().to_owned());
        let verdict = self.run(move || verify_now(&password, &hash)).await?;
        Ok(if known { verdict } else { PasswordCheck::Wrong })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let _admitted = self.admitted.clone().try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| PasswordError::Overloaded)?;
        // The closure holds the permit: dropping this future does not free the place of a hash that is still running.
        let work = move || {
            let done = work();
            drop(running);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(PasswordError::Thread)
    }
}

fn hash_now(password: &str) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(PasswordError::Hash)?;
    Ok(hash.to_string())
}

fn verify_now(password: &str, hash: &str) -> PasswordCheck {
    if let Ok(parts) = hash.parse::<bcrypt::HashParts>() {
        let cheap = parts.get_cost() <= MOST_BCRYPT_COST;
        let right = cheap && bcrypt::verify(password, hash).unwrap_or(false) && password.len() <= MOST_BCRYPT_BYTES;
        return if right { PasswordCheck::RightButOld } else { PasswordCheck::Wrong };
    }
    let argon2 = Argon2::default();
    match PasswordHash::new(hash) {
        Ok(hash) if !is_affordable(&hash) => PasswordCheck::Wrong,
        Ok(hash) if argon2.verify_password(password.as_bytes(), &hash).is_ok() => {
            let current = argon2::Params::try_from(&hash).is_ok_and(|params| {
                let ours = argon2.params();
                hash.algorithm.as_str() == "argon2id"
                    && params.m_cost() >= ours.m_cost()
                    && params.t_cost() >= ours.t_cost()
            });
            if current { PasswordCheck::Right } else { PasswordCheck::RightButOld }
        }
        _ => PasswordCheck::Wrong,
    }
}

/// Whether verifying `hash` costs no more than [`MOST_ARGON2`].
fn is_affordable(hash: &PasswordHash) -> bool {
    let (memory, passes, lanes) = MOST_ARGON2;
    argon2::Params::try_from(hash)
        .is_ok_and(|params| params.m_cost() <= memory && params.t_cost() <= passes && params.p_cost() <= lanes)
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
    async fn outdated_hashes_are_accepted_and_reported() {
        let passwords = Passwords::new(2).unwrap();
        let old = bcrypt::hash("correct horse", 4).unwrap().replacen("$2b$", "$2a$", 1);
        assert_eq!(
            passwords.verify(&Secret::new("correct horse"), Some(&old)).await.unwrap(),
            PasswordCheck::RightButOld
        );
        assert_eq!(passwords.verify(&Secret::new("wrong"), Some(&old)).await.unwrap(), PasswordCheck::Wrong);
        let costly = old.replacen("$04$", "$31$", 1);
        assert_eq!(passwords.verify(&Secret::new("correct horse"), Some(&costly)).await.unwrap(), PasswordCheck::Wrong);
    }

    #[tokio::test]
    async fn what_bcrypt_does_not_read_is_not_ignored() {
        let passwords = Passwords::new(2).unwrap();
        let longest = "a1".repeat(36);
        let old = bcrypt::hash(&longest, 4).unwrap();
        assert_eq!(
            passwords.verify(&Secret::new(longest.as_str()), Some(&old)).await.unwrap(),
            PasswordCheck::RightButOld
        );
        let longer = format!("{longest} and garbage");
        assert_eq!(passwords.verify(&Secret::new(longer), Some(&old)).await.unwrap(), PasswordCheck::Wrong);
    }

    #[tokio::test]
    async fn a_hash_that_costs_too_much_is_not_computed() {
        let passwords = Passwords::new(2).unwrap();
        let with = |memory, passes, lanes| {
            let params = argon2::Params::new(memory, passes, lanes, None).unwrap();
            let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
            argon2.hash_password(b"correct horse").unwrap().to_string()
        };
        for (hash, verdict) in [
            (with(19_456, 2, 1), PasswordCheck::Right),
            (with(64, 17, 1), PasswordCheck::Wrong),
            (with(72, 1, 9), PasswordCheck::Wrong),
            (with(128 * 1024 + 8, 1, 1), PasswordCheck::Wrong),
        ] {
            assert_eq!(passwords.verify(&Secret::new("correct horse"), Some(&hash)).await.unwrap(), verdict, "{hash}");
        }
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
