//! The data directory of a development company: locked by one `zpack dev` at a time, readable by its user only.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The file that is locked; a directory that has it is one of ours.
const LOCK: &str = "lock";

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
        make_private(&path)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
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
            // One that was left behind keeps its mode.
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            std::fs::rename(&temporary, &path)
        };
        written().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What others may do with a file or directory.
const OTHERS: u32 = 0o077;

/// Takes the directory at `path`, which exists, and its files from other users. A directory with other content than ours is
/// refused: its mode is someone else's decision.
fn make_private(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let read = || format!("cannot read the data directory {shown}");
    if path.metadata().with_context(read)?.permissions().mode() & OTHERS != 0 {
        let is_ours = path.join(LOCK).is_file() || path.read_dir().with_context(read)?.next().is_none();
        if !is_ours {
            bail!(
                "{shown} is open to other users and is no data directory of zpack; choose another with --data-dir, or close it \
                 with chmod 700"
            );
        }
        let closed = std::fs::set_permissions(path, Permissions::from_mode(0o700));
        closed.with_context(|| format!("the data directory {shown} is open to other users and cannot be closed"))?;
        tracing::warn!("the data directory {shown} was open to other users; it is closed now");
    }
    for entry in path.read_dir().with_context(read)? {
        let entry = entry.with_context(read)?;
        // Not of the file a link points to.
        let metadata = entry.metadata().with_context(read)?;
        let mode = metadata.permissions().mode();
        if metadata.is_file() && mode & OTHERS != 0 {
            let closed = std::fs::set_permissions(entry.path(), Permissions::from_mode(mode & 0o700));
            closed
                .with_context(|| format!("{} is open to other users and cannot be closed", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_open_is_closed_and_one_of_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, empty, theirs) =
            (folder.path().join("ours"), folder.path().join("empty"), folder.path().join("theirs"));
        let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for path in [&ours, &empty, &theirs] {
            std::fs::create_dir(path).unwrap();
        }
        for file in [ours.join("lock"), ours.join("zpack.env"), theirs.join("letter")] {
            std::fs::write(&file, "text").unwrap();
            open(&file, 0o644);
        }
        for path in [&ours, &empty, &theirs] {
            open(path, 0o755);
        }
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let kept = (DataDir::open(&ours).unwrap(), DataDir::open(&empty).unwrap());
        assert_eq!([mode(&ours), mode(&empty), mode(&ours.join("zpack.env"))], [0o700, 0o700, 0o600]);
        let refused = DataDir::open(&theirs).err().unwrap().to_string();
        assert!(refused.contains("open to other users"), "{refused}");
        assert_eq!([mode(&theirs), mode(&theirs.join("letter"))], [0o755, 0o644], "nothing was changed");
        std::fs::write(ours.join("secret.tmp"), "left behind").unwrap();
        open(&ours.join("secret.tmp"), 0o644);
        kept.0.write_private("secret", "text").unwrap();
        assert_eq!(mode(&ours.join("secret")), 0o600);
    }

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
