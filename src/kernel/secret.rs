//! Texts that must never be printed.

use std::fmt;
use std::path::{Path, PathBuf};

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

    /// The text itself, for the call that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its SHA-256 in lower-case hexadecimal digits, sent where both sides know the text. It is as secret as the text.
    pub fn digest(&self) -> Self {
        Self::new(hex::encode(Sha256::digest(self.0.as_bytes())))
    }

    /// Whether `candidate` equals this secret, compared in constant time.
    pub fn matches(&self, candidate: &str) -> bool {
        let ours = Sha256::digest(self.0.as_bytes());
        let theirs = Sha256::digest(candidate.as_bytes());
        ours.ct_eq(&theirs).into()
    }
}

/// A secret, and the file from which it can be read again after it was replaced there.
#[derive(Clone, Debug)]
pub struct StoredSecret {
    secret: Secret,
    file: Option<PathBuf>,
    /// Precedes the text of the file in the secret.
    before: String,
    min_chars: usize,
    /// A prefix of the text of the file that is not part of the secret.
    dropped: &'static str,
}

impl StoredSecret {
    /// The `secret` that was read from `file`.
    pub fn in_file(secret: Secret, file: impl Into<PathBuf>) -> Self {
        Self { secret, file: Some(file.into()), before: String::new(), min_chars: 1, dropped: "" }
    }

    /// Requires the file to have at least `min_chars` characters; shorter contents are ignored.
    #[must_use]
    pub fn at_least(self, min_chars: usize) -> Self {
        Self { min_chars, ..self }
    }

    /// Strips `prefix` from the text of the file, where it is present.
    #[must_use]
    pub fn dropping(self, prefix: &'static str) -> Self {
        Self { dropped: prefix, ..self }
    }

    /// Makes it the last part of a longer secret that begins with `before`.
    #[must_use]
    pub fn after(self, before: &str) -> Self {
        let secret = Secret::new(format!("{before}{}", self.secret.expose()));
        Self { secret, before: format!("{before}{}", self.before), ..self }
    }

    /// The secret as it was first read.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The file from which to read it again.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The secret that `text`, the content of the file, stands for; `None` if it is not usable.
    pub fn read(&self, text: &str) -> Option<Secret> {
        let text = text.trim();
        let text = text.strip_prefix(self.dropped).unwrap_or(text);
        let usable = text.chars().count() >= self.min_chars && !text.chars().any(char::is_control);
        usable.then(|| Secret::new(format!("{}{text}", self.before)))
    }
}

impl From<Secret> for StoredSecret {
    /// A secret that is never replaced.
    fn from(secret: Secret) -> Self {
        Self { secret, file: None, before: String::new(), min_chars: 1, dropped: "" }
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
    fn a_stored_secret_is_read_from_its_file_with_its_prefix() {
        let stored = StoredSecret::in_file(Secret::new("one"), "/run/secret").after("id=").after("user!");
        assert_eq!(stored.secret().expose(), "user!id=one");
        let read = |text| stored.read(text).map(|secret| secret.expose().to_owned());
        assert_eq!(read(" two\n").as_deref(), Some("user!id=two"));
        assert_eq!((read(" \n"), read("two\nthree")), (None, None));
        assert_eq!(stored.clone().dropping("Bearer ").read("Bearer two").unwrap().expose(), "user!id=two");
        assert!(stored.at_least(4).read("two").is_none());
    }

    #[test]
    fn its_digest_is_the_sha_256() {
        let digest = Secret::new("abc").digest();
        assert_eq!(digest.expose(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
