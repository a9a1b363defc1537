//! Something an operation left in the outside world and that must be removed.

use std::fmt;
use std::str::FromStr;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::kernel::{DebtId, OperationId, Target, Timestamp, UnknownText, VmId, text_enum};

/// What was left behind. Its text is that of the target, where it is something at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize)]
#[sea_orm(value_type = "String")]
#[serde(into = "String", try_from = "String")]
pub enum DebtKind {
    /// A container.
    Container,
    /// A reserved VMID and host name.
    Reservation,
    /// Something published at a target that is a peer.
    Edge(Target),
}

impl DebtKind {
    /// Every kind there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Container, Self::Reservation].into_iter().chain(Target::peers().map(Self::Edge))
    }

    /// The text of this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Reservation => "reservation",
            Self::Edge(target) => target.as_str(),
        }
    }
}

impl fmt::Display for DebtKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DebtKind {
    type Err = UnknownText;

    fn from_str(text: &str) -> Result<Self, UnknownText> {
        Self::all().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownText {
            text: text.chars().take(64).collect(),
            allowed: Self::all().map(Self::as_str).collect::<Vec<_>>().join(", "),
        })
    }
}

impl From<DebtKind> for String {
    fn from(kind: DebtKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl TryFrom<String> for DebtKind {
    type Error = UnknownText;

    fn try_from(text: String) -> Result<Self, UnknownText> {
        text.parse()
    }
}

text_enum! {
    /// Where a debt stands.
    pub enum DebtState {
        /// It has to be removed.
        Open = "open",
        /// It was removed.
        Settled = "settled",
        /// An operator decided to leave it.
        Released = "released",
    }
}

/// Something an operation left in the outside world and that must be removed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "debts")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DebtId,
    /// The operation that left it, and the nonce it carries.
    pub operation_id: OperationId,
    /// What it is.
    pub kind: DebtKind,
    /// The number of the container.
    pub vmid: Option<VmId>,
    /// Where it was last known.
    pub node: Option<String>,
    /// What and why, in words.
    pub detail: String,
    /// JSON of what is needed to remove it; absent for one that only an operator can judge.
    pub subject: Option<String>,
    /// Where it stands.
    pub state: DebtState,
    /// How often its removal was tried.
    pub attempts: i32,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// No relations: queries join by hand where they need it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_kind_is_what_installations_have_stored() {
        let texts: Vec<&str> = DebtKind::all().map(DebtKind::as_str).collect();
        assert_eq!(texts, ["container", "reservation", "velocity", "technitium", "cloudflare"]);
        for kind in DebtKind::all() {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        let unknown = "traefik".parse::<DebtKind>().unwrap_err();
        assert_eq!(
            unknown.allowed,
            texts.join(", "),
            "nothing of ours can be left at a target that reads our documents"
        );
    }
}
