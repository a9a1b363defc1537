//! One entry of the data root.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::kernel::Timestamp;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A directory.
    Dir,
    /// A file and its bytes.
    File(#[serde(serialize_with = "as_base64", deserialize_with = "from_base64")] Bytes),
    /// A symbolic link and what it points to.
    Symlink(String),
    /// A FIFO, socket or device.
    Other,
}

impl Kind {
    /// The `type` on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::File(_) => "file",
            Self::Symlink(_) => "symlink",
            Self::Other => "other",
        }
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::File(bytes) => bytes.len(),
            Self::Symlink(target) => target.len(),
            Self::Dir | Self::Other => 0,
        }
    }
}

/// An entry with its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its permissions.
    pub mode: u32,
    /// When its content last changed.
    pub modified: Timestamp,
}

impl Node {
    /// A directory.
    pub const fn dir(modified: Timestamp) -> Self {
        Self { kind: Kind::Dir, mode: 0o755, modified }
    }

    /// A file.
    pub const fn file(bytes: Bytes, modified: Timestamp) -> Self {
        Self { kind: Kind::File(bytes), mode: 0o644, modified }
    }
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The entity tag of a file's content.
pub fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", sha256(bytes).get(..32).unwrap_or_default())
}

fn as_base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
}
