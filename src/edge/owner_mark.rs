//! The mark in a record's comment that says whose it is.

use std::fmt;

use crate::kernel::VmId;
use crate::ports::ZoneRecord;

/// The server a record belongs to, written as `zpack vmid=<vmid> gen=<n>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The server.
    pub vmid: VmId,
    /// The generation that published it; a newer one replaces it.
    pub generation: u32,
}

impl Owner {
    /// The mark of `record`, if it carries one.
    pub fn of(record: &ZoneRecord) -> Option<Self> {
        record.comment.as_deref().and_then(Self::read)
    }

    /// Reads the mark. Anything but exactly the form above is somebody else's remark.
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

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zpack vmid={} gen={}", self.vmid, self.generation)
    }
}
