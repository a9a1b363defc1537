//! Task ids of the hypervisor: `UPID:node:pid:pstart:starttime:type:id:user:`, including the trailing colon.

use std::str::FromStr;

use crate::ports::NodeName;

/// A valid task id, as the hypervisor wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upid {
    text: String,
    node: NodeName,
}

/// The text is not a task id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a task id")]
pub(super) struct UpidError(String);

impl Upid {
    /// The text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The node that runs the task; requests about it go to that node.
    pub(super) fn node(&self) -> &NodeName {
        &self.node
    }
}

impl FromStr for Upid {
    type Err = UpidError;

    fn from_str(text: &str) -> Result<Self, UpidError> {
        let fields: Vec<&str> = text.split(':').collect();
        match fields.as_slice() {
            ["UPID", node, pid, pstart, starttime, kind, id, user, ""]
                if is_node(node)
                    && is_hex(pid)
                    && is_hex(pstart)
                    && is_hex(starttime)
                    && is_word(kind)
                    && is_word(user)
                    && (id.is_empty() || is_word(id)) =>
            {
                Ok(Self { text: text.to_owned(), node: NodeName::new(*node) })
            }
            _ => Err(UpidError(text.chars().take(128).collect())),
        }
    }
}

fn is_node(text: &str) -> bool {
    let inner = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    inner && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

fn is_hex(text: &str) -> bool {
    (8..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c == '/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_node_is_read_from_the_id() {
        for (text, node) in [
            ("UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:", "pve1"),
            ("UPID:node-7:0002D4BF:0A1B2C3D4:65F0A1B2:vzdump::root@pam:", "node-7"),
            ("UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:imgdel:100@local:root@pam:", "pve1"),
        ] {
            let upid: Upid = text.parse().unwrap();
            assert_eq!(upid.node().as_str(), node);
            assert_eq!(upid.as_str(), text);
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "OK",
            "UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl",
            "UPID::0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:",
            "UPID:../x:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:",
            "UPID:pve1:2D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:",
            "UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:90/0:zpack@pve!ctl:",
            "UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2::9000:zpack@pve!ctl:",
        ] {
            assert!(text.parse::<Upid>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = text.parse::<Upid>();
        }
    }
}
