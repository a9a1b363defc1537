//! Backups of one agent: each is a copy of the data root, with a checksum that a restore verifies.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::disk::{Disk, Kind};
use super::problem::{Code, Problem};
use crate::kernel::{Timestamp, text_enum};

/// The most backups one agent keeps.
pub const QUOTA: usize = 5;

text_enum! {
    /// The state of a backup.
    pub enum BackupState {
        /// Its archive is being written.
        Creating = "creating",
        /// It can be restored.
        Ready = "ready",
        /// Its archive was not finished.
        Failed = "failed",
        /// It is being restored.
        Restoring = "restoring",
    }
}

/// One backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// Its name.
    pub id: String,
    created_at: Timestamp,
    note: Option<String>,
    state: BackupState,
    truncate: bool,
    size: u64,
    sha256: String,
    content: Disk,
}

/// All backups of one agent, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Backups {
    all: Vec<Backup>,
}

impl Backups {
    /// As the wire lists them.
    pub fn list(&self) -> Value {
        let shown = |backup: &Backup| {
            json!({
                "id": backup.id, "created_at": backup.created_at, "size": backup.size, "sha256": backup.sha256,
                "state": backup.state, "note": backup.note,
            })
        };
        json!({"backups": self.all.iter().map(shown).collect::<Vec<_>>()})
    }

    /// The bytes they take.
    pub fn used(&self) -> u64 {
        self.all.iter().map(|backup| backup.size).sum()
    }

    /// Whether one more fits the quota.
    pub fn demand_room(&self) -> Result<(), Problem> {
        if self.all.len() < QUOTA {
            return Ok(());
        }
        Err(Problem::new(Code::Conflict, format!("the quota of {QUOTA} backups is used up")))
    }

    /// Begins a backup of the current content of the disk.
    pub fn begin(&mut self, id: String, note: Option<String>, content: Disk, now: Timestamp) {
        let (size, sha256) = (content.used(), checksum(&content));
        let state = BackupState::Creating;
        self.all.push(Backup { id, created_at: now, note, state, truncate: false, size, sha256, content });
    }

    /// Marks a backup as complete.
    pub fn finish(&mut self, id: &str) {
        if let Some(backup) = self.find(id) {
            backup.state = BackupState::Ready;
        }
    }

    /// The job on an archive was interrupted: an archive that was being written is lost, one that was being read is
    /// unchanged.
    pub fn abort(&mut self) {
        for backup in &mut self.all {
            backup.state = match backup.state {
                BackupState::Creating | BackupState::Failed => BackupState::Failed,
                BackupState::Restoring | BackupState::Ready => BackupState::Ready,
            };
        }
    }

    /// Whether the backup can be restored: it exists, is ready, and its checksum is right.
    pub fn demand_restorable(&mut self, id: &str) -> Result<(), Problem> {
        let backup = self.find(id).ok_or_else(|| missing(id))?;
        if backup.state != BackupState::Ready {
            return Err(Problem::new(Code::Conflict, format!("backup {id} is {}", backup.state)));
        }
        if checksum(&backup.content) != backup.sha256 {
            return Err(Problem::new(Code::Invalid, format!("backup {id}: checksum mismatch, the data was kept")));
        }
        Ok(())
    }

    /// Marks a backup as being restored.
    pub fn begin_restore(&mut self, id: &str, truncate: bool) {
        if let Some(backup) = self.find(id) {
            backup.state = BackupState::Restoring;
            backup.truncate = truncate;
        }
    }

    /// Replaces the content of the disk by that of the backup, or adds to it.
    pub fn restore_into(&mut self, id: &str, disk: &mut Disk) {
        if let Some(backup) = self.find(id) {
            backup.state = BackupState::Ready;
            if backup.truncate {
                *disk = backup.content.clone();
            } else {
                disk.overlay(&backup.content);
            }
        }
    }

    /// Removes a backup.
    pub fn delete(&mut self, id: &str) -> Result<(), Problem> {
        let backup = self.find(id).ok_or_else(|| missing(id))?;
        match backup.state {
            BackupState::Creating | BackupState::Restoring => {
                Err(Problem::new(Code::Conflict, format!("backup {id} is {}", backup.state)))
            }
            BackupState::Ready | BackupState::Failed => {
                self.all.retain(|backup| backup.id != id);
                Ok(())
            }
        }
    }

    /// Damages the content of a backup, as a bad disk would; false when there is no such backup.
    pub fn corrupt(&mut self, id: &str) -> bool {
        let found = self.find(id);
        found.map(|backup| backup.sha256 = "0".repeat(64)).is_some()
    }

    fn find(&mut self, id: &str) -> Option<&mut Backup> {
        self.all.iter_mut().find(|backup| backup.id == id)
    }
}

fn missing(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no backup {id}"))
}

fn checksum(content: &Disk) -> String {
    let mut hasher = Sha256::new();
    for (path, node) in content.nodes() {
        hasher.update(format!("{}\0{path}\0{}\0", node.kind.name(), node.kind.size()));
        match &node.kind {
            Kind::File(bytes) => hasher.update(bytes),
            Kind::Symlink(target) => hasher.update(target),
            Kind::Dir | Kind::Other => {}
        }
    }
    hex::encode(hasher.finalize())
}
