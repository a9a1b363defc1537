//! One DNS label, lower-case: the name of a server in its zone.

use std::fmt;
use std::str::FromStr;

use sea_orm::DeriveValueType;
use serde::{Deserialize, Serialize};

use super::vmid::VmId;

/// A host name of one label: letters, digits and inner hyphens, 1 to 63 characters (RFC 1123).
/// Upper case is folded; an underscore is refused, as Proxmox and DNS host names refuse it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize)]
#[sea_orm(value_type = "String")]
#[serde(into = "String", try_from = "String")]
pub struct Hostname(String);

/// The text is not a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host name: one label of letters, digits and inner hyphens, at most 63 characters")]
pub struct HostnameError(String);

impl Hostname {
    /// `srv-<vmid>`, the name of a server that has no other.
    pub fn numbered(vmid: VmId) -> Self {
        Self(format!("srv-{vmid}"))
    }

    /// The label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let label = text.to_ascii_lowercase();
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=63).contains(&label.len()) && label.bytes().all(inner);
        if fits && !label.starts_with('-') && !label.ends_with('-') {
            Ok(Self(label))
        } else {
            Err(HostnameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> String {
        name.0
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;

    fn try_from(text: String) -> Result<Self, HostnameError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_valid_label_is_accepted() {
        assert_eq!("MC-Paper-5013".parse::<Hostname>().unwrap().as_str(), "mc-paper-5013");
        for text in ["", "my_srv", "-a", "a-", "a.b", "ä", "a b", &"a".repeat(64)] {
            assert!(text.parse::<Hostname>().is_err(), "{text}");
        }
    }
}
