//! A directory as a `tar.gz`: ustar records in a gzip file of stored blocks, which every tar can read.

use std::collections::BTreeMap;

use super::{Kind, Node};

const BLOCK: usize = 512;
/// The most bytes in a stored deflate block.
const STORED: usize = 65_535;

/// Packs entries under the directory `name`. Entries that are neither file nor directory are left out, as are paths of
/// more than 255 bytes, which ustar cannot represent.
pub fn tar_gz(name: &str, entries: &BTreeMap<String, Node>) -> Vec<u8> {
    gzip(&tar(name, entries))
}

fn tar(name: &str, entries: &BTreeMap<String, Node>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, node) in entries {
        let path = format!("{name}/{path}");
        let (kind, content): (u8, &[u8]) = match &node.kind {
            Kind::File(bytes) => (b'0', bytes),
            Kind::Dir => (b'5', &[]),
            Kind::Symlink(_) | Kind::Other => continue,
        };
        let Some((prefix, base)) = split_name(&path) else { continue };
        archive.extend(header(prefix, base, kind, content.len(), node));
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// Splits a path into the 155 and 100 byte fields of a header.
fn split_name(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()))
        .find(|(prefix, base)| prefix.len() <= 155 && (1..=100).contains(&base.len()))
}

fn header(prefix: &str, name: &str, kind: u8, size: usize, node: &Node) -> Vec<u8> {
    let mut head = Vec::with_capacity(BLOCK);
    let mut field = |text: &str, width: usize| {
        let end = head.len() + width;
        head.extend(text.as_bytes());
        head.resize(end, 0);
    };
    field(name, 100);
    field(&format!("{:07o}", node.mode), 8);
    field("0000000", 8);
    field("0000000", 8);
    field(&format!("{size:011o}"), 12);
    field(&format!("{:011o}", node.modified.seconds().max(0)), 12);
    field("        ", 8);
    field(char::from(kind).encode_utf8(&mut [0; 4]), 1);
    field("", 100);
    field("ustar\u{0}00", 8);
    field("zpack", 32);
    field("zpack", 32);
    field("", 16);
    field(prefix, 155);
    field("", 12);
    let sum: u32 = head.iter().map(|&byte| u32::from(byte)).sum();
    head.splice(148..156, format!("{sum:06o}\0 ").into_bytes());
    head
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut chunks = data.chunks(STORED).peekable();
    while let Some(chunk) = chunks.next() {
        let length = u16::try_from(chunk.len()).unwrap_or(u16::MAX);
        out.push(u8::from(chunks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(chunk);
    }
    out.extend(crc32(data).to_le_bytes());
    out.extend(u32::try_from(data.len() & 0xffff_ffff).unwrap_or(0).to_le_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::kernel::Timestamp;

    #[test]
    fn the_checksum_is_that_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn tar_reads_what_was_packed() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let big = vec![b'x'; 200_000];
        let entries = BTreeMap::from([
            ("logs".to_owned(), Node::dir(now)),
            ("logs/latest.log".to_owned(), Node::file(big.clone().into(), now)),
            (format!("deep/{}/{}", "d".repeat(90), "f".repeat(90)), Node::file("deep".into(), now)),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar.gz");
        std::fs::write(&archive, tar_gz("world", &entries)).unwrap();
        let status = Command::new("tar").arg("xzf").arg(&archive).current_dir(folder.path()).status().unwrap();
        assert!(status.success());
        assert_eq!(std::fs::read(folder.path().join("world/logs/latest.log")).unwrap(), big);
        let deep = folder.path().join(format!("world/deep/{}/{}", "d".repeat(90), "f".repeat(90)));
        assert_eq!(std::fs::read_to_string(deep).unwrap(), "deep");
    }
}
