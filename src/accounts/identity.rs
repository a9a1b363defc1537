//! Validation of email addresses, usernames and passwords (pure).

use std::fmt;
use std::str::FromStr;

use sea_orm::DeriveValueType;

use super::password_hash::normalized;

/// Why a text is not a valid email address, username or password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not an email address.
    #[error("must be an email address of at most 254 characters")]
    Email,
    /// Not a username.
    #[error("must have 3 to 32 letters, digits, `.`, `_` or `-`, and begin with a letter or digit")]
    Username,
    /// A password of the wrong length.
    #[error("must have 10 to 128 characters")]
    PasswordLength,
    /// A password that is easily guessed.
    #[error("must not be the email address, the username or one repeated character")]
    PasswordGuessable,
}

/// An email address in lower case.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct EmailAddress(String);

/// The name of an account, as its owner spells it. Names that differ only in case are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl EmailAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Username {
    /// The name as spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for EmailAddress {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let text = text.trim().to_ascii_lowercase();
        let (local, domain) = text.rsplit_once('@').ok_or(IdentityError::Email)?;
        let label = |label: &str| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-.".contains(&b);
        let local_fits = (1..=64).contains(&local.len()) && local.bytes().all(atom);
        let dots_fit = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
        let domain_fits = domain.contains('.') && domain.split('.').all(label);
        if text.len() <= 254 && local_fits && dots_fit && domain_fits {
            Ok(Self(text))
        } else {
            Err(IdentityError::Email)
        }
    }
}

impl FromStr for Username {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = (3..=32).contains(&text.len()) && text.bytes().all(allowed);
        // Without `@`, a username cannot be mistaken for an email address at login.
        if fits && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentityError::Username)
        }
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks whether `password` is acceptable for the account of `email` and `username`.
pub fn check_password(password: &str, email: &str, username: &str) -> Result<(), IdentityError> {
    let password = normalized(password);
    if !(10..=128).contains(&password.chars().count()) {
        return Err(IdentityError::PasswordLength);
    }
    let mut characters = password.chars();
    let first = characters.next();
    let repeated = characters.all(|c| Some(c) == first);
    let named = [email, username].iter().any(|name| name.eq_ignore_ascii_case(&password));
    if repeated || named { Err(IdentityError::PasswordGuessable) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_folded_and_checked() {
        assert_eq!(" Ada.L+x@Example.COM ".parse::<EmailAddress>().unwrap().as_str(), "ada.l+x@example.com");
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "",
            "ada",
            "@x.y",
            "ada@",
            "ada@local",
            "a b@x.y",
            ".a@x.y",
            "a..b@x.y",
            "a@-x.y",
            "a@x..y",
            "a\u{0}@x.y",
            &long,
        ] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn usernames_are_plain() {
        assert_eq!("Ada_L".parse::<Username>().unwrap().key(), "ada_l");
        for bad in ["", "ab", "_ada", "ada@x", "ada l", "äda", &"a".repeat(33)] {
            assert!(bad.parse::<Username>().is_err(), "{bad}");
        }
    }

    #[test]
    fn guessable_passwords_are_refused() {
        let check = |password: &str| check_password(password, "ada@example.com", "ada-lovelace");
        assert_eq!(check("correct horse"), Ok(()));
        assert_eq!(check("short"), Err(IdentityError::PasswordLength));
        assert_eq!(check(&"x1".repeat(65)), Err(IdentityError::PasswordLength));
        assert_eq!(check("aaaaaaaaaaaa"), Err(IdentityError::PasswordGuessable));
        assert_eq!(check("a\u{ff41}a\u{ff41}a\u{ff41}a\u{ff41}a\u{ff41}"), Err(IdentityError::PasswordGuessable));
        assert_eq!(check("Ada-Lovelace"), Err(IdentityError::PasswordGuessable));
    }
}
