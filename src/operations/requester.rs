//! The actor of a request, with the name that the audit log gives it.

use crate::accounts::{Caller, SignedIn};
use crate::db::entities::operation::Actor;
use crate::db::entities::user::Role;
use crate::web::{ApiError, Code};

/// The actor of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The kind of actor.
    pub actor: Actor,
    /// Its name in the audit log: a user id, `internal`, or a part of zpack.
    pub name: String,
}

impl From<&SignedIn> for Requester {
    fn from(account: &SignedIn) -> Self {
        let actor = match account.user.role {
            Role::Customer => Actor::Customer,
            Role::Admin => Actor::Operator,
        };
        Self { actor, name: account.user.id.to_string() }
    }
}

impl TryFrom<&Caller> for Requester {
    type Error = ApiError;

    fn try_from(caller: &Caller) -> Result<Self, ApiError> {
        match caller {
            Caller::Customer(account) | Caller::Admin(account) => Ok(account.into()),
            Caller::Internal => Ok(Self { actor: Actor::Internal, name: caller.actor() }),
            Caller::Anonymous | Caller::Discovery | Caller::Bridge => {
                Err(ApiError::new(Code::Forbidden, "This caller begins no operations."))
            }
        }
    }
}
