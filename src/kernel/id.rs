//! Typed ids: a prefix that names the kind of the id, and a UUID. They sort by time of creation (UUID version 7).

use std::fmt;
use std::str::FromStr;

use sea_orm::DeriveValueType;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_<32 hexadecimal digits>")]
pub struct IdError {
    prefix: &'static str,
    text: String,
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize)]
        #[sea_orm(value_type = "String")]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Creates an id; it is larger than those created before it.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32 && !hex.contains(|c: char| c.is_ascii_uppercase()))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { prefix: $prefix, text: text.chars().take(64).collect() })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    };
}

typed_id!(
    /// One durable operation; also the nonce in its external effects.
    OperationId,
    "op"
);
typed_id!(
    /// One server of a customer while its row exists. Customers address it by its VMID.
    InstanceId,
    "ins"
);
typed_id!(
    /// One account.
    UserId,
    "usr"
);
typed_id!(
    /// One issued access token (its `jti`).
    TokenId,
    "tok"
);
typed_id!(
    /// One HTTP request that the client did not name.
    RequestId,
    "req"
);
typed_id!(
    /// One process of a worker, from start to exit. Never reused (docs/contracts/jobs.md 0.7).
    WorkerId,
    "wrk"
);

typed_id!(
    /// One debt: something left outside that has to be removed later.
    DebtId,
    "dbt"
);
typed_id!(
    /// One candidacy for a lease, until the end of its term. Never reused.
    CandidacyId,
    "cnd"
);
typed_id!(
    /// One entry of the audit log.
    AuditId,
    "aud"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_round_trips_through_its_text() {
        let id = OperationId::generate();
        assert_eq!(id.to_string().parse::<OperationId>(), Ok(id));
        assert_eq!(serde_json::to_value(id).unwrap(), id.to_string());
    }

    #[test]
    fn ids_of_other_kinds_and_other_spellings_are_refused() {
        let id = OperationId::generate().to_string();
        assert!(id.replace("op_", "usr_").parse::<OperationId>().is_err());
        assert!(id.to_uppercase().parse::<OperationId>().is_err());
        assert!("op_".parse::<OperationId>().is_err());
        assert!("".parse::<OperationId>().is_err());
    }
}
