//! Users, passwords and tokens, and the [`Caller`] of a request.
//!
//! A route names its principal in `router`; there the [`Authenticator`] turns credentials into a caller before the
//! handler runs. Handlers take the caller as an argument ([`Customer`], [`Admin`]), which fails closed where no route
//! let one through.
//!
//! Not here: what an owner may do now (`standing`), who owns a server (`instances`).

pub mod admin;
mod caller;
mod error;
pub mod http;
mod identity;
mod password;
pub mod store;
mod token;

pub use caller::{Admin, Authenticator, Caller, Customer, Proofs, SignedIn, unauthenticated};
pub use error::AccountError;
pub use identity::{EmailAddress, IdentityError, Username, check_password};
pub use password::{PasswordError, Passwords, Verdict};
pub use token::{Claims, TokenError, TokenSigner};
