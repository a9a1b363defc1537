//! The mark in a record's comment that names its server.

use std::collections::BTreeSet;
use std::fmt;

use crate::kernel::VmId;
use crate::ports::{RecordId, ZoneRecord};

/// What decides which records at the names of a server are its own. A record is ours if it carries our mark, or if it carries
/// no comment at all and was ours when it was last read back. Everything else is foreign, whatever its value (docs/edge.md,
/// "Ours and foreign").
#[derive(Clone, Copy, Debug)]
pub struct Ownership<'a> {
    /// The server.
    pub vmid: VmId,
    /// The ids of its records, as they were read back.
    pub known: &'a BTreeSet<RecordId>,
}

impl Ownership<'_> {
    /// Whether the record is ours.
    pub fn covers(&self, record: &ZoneRecord) -> bool {
        match (OwnerMark::of(record), &record.comment, &record.id) {
            (Some(mark), _, _) => mark.vmid == self.vmid,
            (None, None, Some(id)) => self.known.contains(id),
            (None, Some(_), _) | (None, None, None) => false,
        }
    }
}

/// The server a record belongs to, written as `zpack vmid=<vmid> gen=<n>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerMark {
    /// The server.
    pub vmid: VmId,
    /// The generation that published it; a newer one replaces it.
    pub generation: u32,
}

impl OwnerMark {
    /// The mark of `record`, if it carries one.
    pub fn of(record: &ZoneRecord) -> Option<Self> {
        record.comment.as_deref().and_then(Self::read)
    }

    /// Reads the mark. A comment in any other form is not ours.
    pub fn read(comment: &str) -> Option<Self> {
        let mut words = comment.split_ascii_whitespace();
        let (Some("zpack"), Some(vmid), Some(generation), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return None;
        };
        let vmid = vmid.strip_prefix("vmid=")?.parse::<i64>().ok()?;
        let generation = generation.strip_prefix("gen=")?.parse().ok()?;
        Some(Self { vmid: VmId::new(vmid).ok()?, generation })
    }
}

impl fmt::Display for OwnerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zpack vmid={} gen={}", self.vmid, self.generation)
    }
}
