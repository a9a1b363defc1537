//! Users, passwords and tokens, and the [`Caller`] of a request.
//!
//! A route declares its principal in `router`, where the [`Authenticator`] turns credentials into a caller before the
//! handler runs. Handlers take the caller as an argument ([`Customer`], [`Admin`]); without an authenticated caller
//! that extraction fails.
//!
//! Elsewhere: what an owner may do now (`standing`), who owns a server (`instances`).

pub mod admin;
mod caller;
mod error;
mod hash_threads;
pub mod http;
mod identity;
mod password;
mod password_hash;
mod sessions;
pub mod store;
mod token;

pub use caller::{Admin, Authenticator, Caller, Customer, Proofs, SignedIn, unauthenticated};
pub use error::AccountError;
pub use identity::{EmailAddress, IdentityError, Username, check_password};
pub use password::{PasswordError, Passwords};
pub use password_hash::PasswordCheck;
pub use sessions::{Session, Sessions};
pub use token::{TokenClaims, TokenError, TokenSigner};
