//! Text that must never be printed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A token, password or key. `Debug` and `Display` show `***`; it cannot be serialised; memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one call that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its SHA-256 in lower-case hexadecimal digits: what is sent where both sides know the text. As secret as itself.
    pub fn digest(&self) -> Self {
        Self::new(hex::encode(Sha256::digest(self.0.as_bytes())))
    }

    /// Whether `candidate` is this secret, in time that does not depend on where they differ.
    pub fn matches(&self, candidate: &str) -> bool {
        let ours = Sha256::digest(self.0.as_bytes());
        let theirs = Sha256::digest(candidate.as_bytes());
        ours.ct_eq(&theirs).into()
    }
}

/// A secret, and the file it stands in when it may be replaced there.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    /// The secret as it was read.
    pub secret: Secret,
    /// Where to read it again.
    pub file: Option<PathBuf>,
}

impl From<Secret> for StoredSecret {
    /// One that stays as it is.
    fn from(secret: Secret) -> Self {
        Self { secret, file: None }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_printed() {
        let secret = Secret::new("open sesame");
        assert_eq!(format!("{secret:?} {secret}"), "*** ***");
        assert!(secret.matches("open sesame"));
        assert!(!secret.matches("open sesam"));
    }

    #[test]
    fn its_digest_is_the_sha_256() {
        let digest = Secret::new("abc").digest();
        assert_eq!(digest.expose(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
