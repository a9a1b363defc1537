//! A debt: something that an operation left outside and that has to be removed.

use std::fmt;
use std::str::FromStr;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::kernel::{DebtId, OperationId, Target, Timestamp, UnknownText, VmId, text_enum};

/// The kind of a debt. For something at the edge, its text is that of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize)]
#[sea_orm(value_type = "String")]
#[serde(into = "String", try_from = "String")]
pub enum DebtKind {
    /// A container.
    Container,
    /// A reserved VMID and host name.
    Reservation,
    /// An entry at an edge target that is a peer.
    Edge(Target),
}

impl DebtKind {
    /// All kinds.
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
    /// The state of a debt.
    pub enum DebtState {
        /// It has to be removed.
        Open = "open",
        /// It was removed.
        Settled = "settled",
        /// An operator decided to leave it.
        Released = "released",
    }
}

/// A debt: something that an operation left outside and that has to be removed.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "debts")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DebtId,
    /// The operation that left it, and the nonce it carries.
    pub operation_id: OperationId,
    /// Its kind.
    pub kind: DebtKind,
    /// The VMID of the container.
    pub vmid: Option<VmId>,
    /// The node on which it was last observed.
    pub node: Option<String>,
    /// What it is and why it is left, for operators.
    pub detail: String,
    /// What is needed to remove it, as JSON; `None` if only an operator can remove it.
    pub subject: Option<String>,
    /// Its state.
    pub state: DebtState,
    /// The number of attempts to remove it.
    pub attempts: i32,
    /// When the next attempt is due.
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
        assert_eq!(unknown.allowed, texts.join(", "), "a target that reads our documents cannot have a debt");
    }
}
