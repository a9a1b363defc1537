//! What the watch keeps of each published server: a few hundred bytes instead of its row.
//!
//! A pass reads the revision of every row, and those rows whole that have changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr};

use super::super::live::LiveKey;
use crate::db::entities::instance;
use crate::edge::{
    EDGE_KEY, EdgeRecord, Intent, PROXY_KEY, ProxyRecord, Registration, Target, TargetRecord, TargetState,
};
use crate::kernel::{Timestamp, VmId};
use crate::servers::payload::PayloadValues;
use crate::servers::store::{self, GameRevision};

/// How many revisions are read at a time.
const REVISIONS: u64 = 2000;
/// How many rows are read at a time.
const ROWS: usize = 200;

/// A published server with a registration at the proxy.
#[derive(Clone, Debug)]
pub(super) struct Published {
    /// The keys of its observations.
    pub(super) key: LiveKey,
    /// The registration it should have.
    pub(super) wanted: Registration,
    /// What is stored of it at the proxy, in this publication or an older one.
    pub(super) stored: Option<ProxyRecord>,
    /// The publication.
    pub(super) generation: u32,
    begun_at: Timestamp,
    /// Whether its registration is being made or retried anyway.
    pub(super) in_hand: bool,
}

impl Published {
    /// `row`, if it is published with a registration. A value that cannot be read counts as absent; the code that writes
    /// it reports the error.
    pub(super) fn of(row: &instance::Model) -> Option<Self> {
        let values = PayloadValues::of(row, EDGE_KEY).ok()?;
        let edge: EdgeRecord = values.read(EDGE_KEY).ok().flatten()?;
        let due_at = edge.due_at();
        let EdgeRecord { generation, begun_at, intent, publication, targets, .. } = edge;
        let wanted = publication.registration.filter(|_| intent == Intent::Published)?;
        let is_tried = |target: &TargetRecord| matches!(target.state, TargetState::Retrying | TargetState::Blocked);
        Some(Self {
            key: LiveKey { id: row.id, vmid: row.vmid, recorded_at: row.created_at },
            wanted,
            stored: values.read(PROXY_KEY).ok().flatten(),
            generation,
            begun_at,
            in_hand: row.edge_due_at != due_at || targets.get(&Target::Velocity).is_some_and(is_tried),
        })
    }

    /// A server that was published a moment ago.
    #[cfg(test)]
    pub(super) fn for_test(wanted: Registration) -> Self {
        use crate::kernel::InstanceId;

        let now = Timestamp::from_millis(0);
        let key = LiveKey { id: InstanceId::generate(), vmid: VmId::new(5000).unwrap(), recorded_at: now };
        Self { key, wanted, stored: None, generation: 1, begun_at: now, in_hand: false }
    }

    /// What is known of it at the proxy in this publication.
    pub(super) fn record(&self) -> ProxyRecord {
        let current =
            |record: &&ProxyRecord| record.since == Some(self.begun_at) && record.backend == Some(self.wanted.address);
        let begun = || ProxyRecord::begin(self.begun_at, self.wanted.address);
        self.stored.as_ref().filter(current).cloned().unwrap_or_else(begun)
    }
}

/// All published servers, by number.
#[derive(Default)]
pub(super) struct PublishedServers(BTreeMap<VmId, Known>);

/// A row as it was read last.
struct Known {
    of: GameRevision,
    /// Absent if the server is not published.
    published: Option<Arc<Published>>,
}

impl PublishedServers {
    /// Reads what has changed since the last time.
    pub(super) async fn refresh(&mut self, db: &DatabaseConnection) -> Result<(), DbErr> {
        let (mut present, mut after) = (BTreeMap::new(), None);
        loop {
            let page = store::list_game_revisions(db, after, REVISIONS).await?;
            let is_last = (page.len() as u64) < REVISIONS;
            after = page.last().map(|last| last.vmid);
            present.extend(page.into_iter().map(|row| (row.vmid, row)));
            if is_last {
                break;
            }
        }
        self.0.retain(|vmid, known| present.get(vmid) == Some(&known.of));
        let changed: Vec<GameRevision> = present.into_values().filter(|row| !self.0.contains_key(&row.vmid)).collect();
        for part in changed.chunks(ROWS) {
            let numbers: Vec<VmId> = part.iter().map(|row| row.vmid).collect();
            for row in store::list_by_number(db, &numbers).await? {
                let instance::Model { vmid, id, revision, edge_due_at, .. } = row;
                // A row that changed in between has a newer revision; the next pass compares with that.
                let of = GameRevision { vmid, id, revision, edge_due_at };
                self.0.insert(vmid, Known { of, published: Published::of(&row).map(Arc::new) });
            }
        }
        Ok(())
    }

    /// The published servers, by number.
    pub(super) fn all(&self) -> Vec<Arc<Published>> {
        self.0.values().filter_map(|known| known.published.clone()).collect()
    }
}
