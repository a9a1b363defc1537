//! The data directory of a development company: locked by one `zpack dev` at a time, readable by its user only.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The directory, locked until this is dropped. The system releases the lock when the process ends, however it ends.
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it does not exist, and locks it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot create the data directory {shown}; choose another with --data-dir"))?;
        let path = path.canonicalize().with_context(|| format!("cannot find the data directory {shown}"))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .with_context(|| format!("cannot write into the data directory {shown}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Only for the message; the lock decides.
                let _ = lock.read_to_string(&mut owner);
                let process = owner.trim().parse::<u32>().map(|pid| format!(" (process {pid})")).unwrap_or_default();
                bail!(
                    "another zpack dev{process} is running in {shown}; stop it, connect to it with --env-file {}, or choose \
                     another directory with --data-dir",
                    path.join("zpack.env").display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock the data directory {shown}"));
            }
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).context("cannot write the lock")?;
        Ok(Self { path, _lock: lock })
    }

    /// The file `name` inside, as an absolute path.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Replaces the file `name` by one that only this user can read. A reader gets the old text or the new one.
    pub(super) fn write_private(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, temporary) = (self.file(name), self.file(&format!("{name}.tmp")));
        let written = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            std::fs::rename(&temporary, &path)
        };
        written().with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_owner_at_a_time_and_private_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/zpack");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).err().unwrap().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())) && refused.contains("--data-dir"));
        first.write_private("secret", "text").unwrap();
        assert_eq!(first.file("secret").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }
}
