//! Errors of accounts.

use std::time::Duration;

use sea_orm::DbErr;

use super::password::PasswordError;
use super::token::TokenError;
use crate::web::{ApiError, Code};

/// Why an action on an account failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The email address or the username belongs to another account.
    #[error("an account with this email or username exists")]
    Exists,
    /// No account has this username or email address.
    #[error("no account named `{0}`")]
    NotFound(String),
    /// The identifier or the password is wrong.
    #[error("wrong identifier or password")]
    WrongPassword,
    /// A password could not be hashed or verified.
    #[error("the password of an account could not be checked")]
    Password(#[from] PasswordError),
    /// A token could not be issued.
    #[error("no token could be issued")]
    Token(#[from] TokenError),
    /// The database failed.
    #[error("accounts could not be read or written")]
    Database(#[from] DbErr),
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Exists => Self::new(Code::AccountExists, "An account with this email or username exists."),
            AccountError::NotFound(_) => Self::not_found("account"),
            AccountError::WrongPassword => Self::new(Code::InvalidCredentials, "Wrong identifier or password."),
            AccountError::Password(PasswordError::Overloaded) => {
                Self::new(Code::Overloaded, "Too many people are logging in. Please try again shortly.")
                    .retry_after(Duration::from_secs(2))
            }
            AccountError::Database(error) => error.into(),
            AccountError::Password(_) | AccountError::Token(_) => Self::internal(error),
        }
    }
}
