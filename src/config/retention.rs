//! When ended operations, audit entries and deleted servers are archived, and how long the archive keeps them.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};

keys! { "Retention";
    /// After how many days an ended operation is moved to the archive, with its steps, events and debts.
    RETENTION_OPERATIONS_DAYS = Key::default("RETENTION_OPERATIONS_DAYS", "180").number(30..=36_500);
    /// After how many days an entry of the audit log is moved to the archive.
    RETENTION_AUDIT_DAYS = Key::default("RETENTION_AUDIT_DAYS", "400").number(30..=36_500);
    /// After how many days a deleted server is moved to the archive.
    RETENTION_DELETED_SERVERS_DAYS = Key::default("RETENTION_DELETED_SERVERS_DAYS", "400").number(30..=36_500);
    /// After how many days in the archive a record is deleted for ever.
    RETENTION_ARCHIVE_DAYS = Key::default("RETENTION_ARCHIVE_DAYS", "400").number(30..=36_500);
}

/// The age at which records are moved to the archive, and deleted there.
#[derive(Clone, Copy, Debug)]
pub struct RetentionConfig {
    /// Ended operations.
    pub operations: Duration,
    /// Entries of the audit log.
    pub audit: Duration,
    /// Deleted servers.
    pub deleted_servers: Duration,
    /// Records of the archive, from the time at which they were moved there.
    pub archive: Duration,
}

impl Settings for RetentionConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let operations = env.number(&RETENTION_OPERATIONS_DAYS);
        let audit = env.number(&RETENTION_AUDIT_DAYS);
        let deleted_servers = env.number(&RETENTION_DELETED_SERVERS_DAYS);
        let archive = env.number(&RETENTION_ARCHIVE_DAYS);
        Ok(Self {
            operations: days(operations?),
            audit: days(audit?),
            deleted_servers: days(deleted_servers?),
            archive: days(archive?),
        })
    }
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 24 * 3600)
}
