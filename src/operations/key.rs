//! Keys of fixed length for requests and episodes.

use sha2::{Digest, Sha256};

/// A key of fixed length for `parts`.
pub(super) fn hashed<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}
