//! The name of a task: `UPID:node:pid:pstart:starttime:type:id:user:`.

use std::fmt;
use std::str::FromStr;

/// A task's name in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upid {
    /// The node it runs on.
    pub node: String,
    /// The process id.
    pub pid: u32,
    /// The process start, in jiffies.
    pub pstart: u64,
    /// When it started, in epoch seconds.
    pub starttime: u32,
    /// The type, such as `vzclone`.
    pub kind: String,
    /// The object, such as a VMID; may be empty.
    pub id: String,
    /// The token or user, such as `zpack@pve!ctl`.
    pub user: String,
}

/// The text is no UPID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse worker upid")]
pub struct UpidError;

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, pid, pstart, starttime, kind, id, user } = self;
        write!(f, "UPID:{node}:{pid:08X}:{pstart:08X}:{starttime:08X}:{kind}:{id}:{user}:")
    }
}

impl FromStr for Upid {
    type Err = UpidError;

    fn from_str(text: &str) -> Result<Self, UpidError> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["UPID", node, pid, pstart, starttime, kind, id, user, ""] = parts.as_slice() else {
            return Err(UpidError);
        };
        let hex32 = |text: &str| u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8);
        let pstart = u64::from_str_radix(pstart, 16).ok().filter(|_| (8..=9).contains(&pstart.len()));
        let (Some(pid), Some(pstart), Some(starttime)) = (hex32(pid), pstart, hex32(starttime)) else {
            return Err(UpidError);
        };
        if node.is_empty() || kind.is_empty() || user.is_empty() {
            return Err(UpidError);
        }
        let [node, kind, id, user] = [node, kind, id, user].map(|part| (*part).to_owned());
        Ok(Self { node, pid, pstart, starttime, kind, id, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_upid_survives_its_text() {
        let text = "UPID:pve1:0003A1B2:0123456A:66A1B2C3:vzclone:9000:zpack@pve!ctl:";
        assert_eq!(text.parse::<Upid>().unwrap().to_string(), text);
        for wrong in ["", "UPID:pve1", text.trim_end_matches(':'), &text.replace("0003A1B2", "zz")] {
            assert_eq!(wrong.parse::<Upid>(), Err(UpidError));
        }
    }
}
