//! Folders for databases and servers that live as long as a test.
//!
//! They are in memory if there is room (`/dev/shm`), so that a slow disk does not make a test time out.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;

const MEMORY: &str = "/dev/shm";

/// What a whole run needs there at a time, with a margin.
const ROOM_BYTES: u64 = 6 << 30;

/// A new folder, removed when it is dropped.
pub fn folder(prefix: &str) -> TempDir {
    static PLACE: LazyLock<PathBuf> =
        LazyLock::new(|| if has_room(Path::new(MEMORY)) { PathBuf::from(MEMORY) } else { std::env::temp_dir() });
    tempfile::Builder::new().prefix(prefix).tempdir_in(&*PLACE).expect("a folder")
}

fn has_room(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).is_ok_and(|room| room.blocks_available() * room.fragment_size() >= ROOM_BYTES)
}
