//! The number of a container at Proxmox, and the range that zpack may use.

use std::fmt;
use std::str::FromStr;

use sea_orm::DeriveValueType;
use serde::{Deserialize, Serialize};

/// The number of a container. Proxmox accepts 100 to 999999999 (pve-schema.json, `pve-vmid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize)]
#[sea_orm(try_from_u64)]
#[serde(transparent)]
pub struct VmId(i32);

/// The text or number is not a VMID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a VMID: a whole number from 100 to 999999999")]
pub struct VmIdError(String);

impl VmId {
    /// The smallest number Proxmox accepts.
    pub const MIN: i32 = 100;
    /// The largest number Proxmox accepts.
    pub const MAX: i32 = 999_999_999;

    /// Checks `number` against the bounds of Proxmox.
    pub fn new(number: i64) -> Result<Self, VmIdError> {
        i32::try_from(number)
            .ok()
            .filter(|n| (Self::MIN..=Self::MAX).contains(n))
            .map(Self)
            .ok_or_else(|| VmIdError(number.to_string()))
    }

    /// The plain number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VmId {
    type Err = VmIdError;

    fn from_str(text: &str) -> Result<Self, VmIdError> {
        let plain = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
        let number = plain.then(|| text.parse::<i64>().ok()).flatten();
        number.and_then(|n| Self::new(n).ok()).ok_or_else(|| VmIdError(text.chars().take(32).collect()))
    }
}

/// An inclusive range of VMIDs, written `5000-5999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmIdRange {
    /// The first number of the range.
    pub first: VmId,
    /// The last number of the range.
    pub last: VmId,
}

impl VmIdRange {
    /// Whether `vmid` lies in the range.
    pub fn contains(&self, vmid: VmId) -> bool {
        (self.first..=self.last).contains(&vmid)
    }

    /// Whether the two ranges have a VMID in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for VmIdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for VmIdRange {
    type Err = VmIdError;

    fn from_str(text: &str) -> Result<Self, VmIdError> {
        let wrong = || VmIdError(text.chars().take(32).collect());
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let range = Self { first: first.trim().parse()?, last: last.trim().parse()? };
        if range.first > range.last { Err(wrong()) } else { Ok(range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_the_bounds_of_proxmox_are_refused() {
        for text in ["99", "1000000000", "-5000", "5e3", " 5000", "0x10", ""] {
            assert!(text.parse::<VmId>().is_err(), "{text}");
        }
        assert_eq!("5000".parse::<VmId>().unwrap().get(), 5000);
    }

    #[test]
    fn a_range_round_trips_through_its_text() {
        let range: VmIdRange = "5000-5999".parse().unwrap();
        assert_eq!(range.to_string(), "5000-5999");
        assert!("5999-5000".parse::<VmIdRange>().is_err());
        assert!(range.overlaps(&"5999-7000".parse().unwrap()));
        assert!(!range.overlaps(&"6000-6999".parse().unwrap()));
    }
}
