//! Snapshots taken during a run: states that must never be seen, even for a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr, FromQueryResult, Statement};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zpack::db::RedisPool;
use zpack::db::entities::operation::{OperationState, UndoState};
use zpack::kernel::OperationId;

use super::facts::Lists;
use super::{Violation, violation};

/// How long a living worker may keep an id without handling it (I13), with a margin for a slow machine.
const UNHANDLED: Duration = Duration::from_secs(60);

/// Operations with their slots and their oldest unresolved effect, from one statement.
const SNAPSHOT: &str = "SELECT o.id, o.state, o.unwind, o.committed, o.fence, o.worker, o.starts, o.max_starts, o.dedup_key, \
    s.slot, s.fence AS slot_fence, \
    (SELECT MIN(t.fence) FROM operation_steps t \
     WHERE t.operation_id = o.id AND t.outside = TRUE AND t.status = 'started') AS open_fence \
    FROM operations o LEFT JOIN queue_slots s ON s.operation_id = o.id ORDER BY o.id, s.slot";

/// One operation at one moment.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Moment {
    id: OperationId,
    state: OperationState,
    unwind: UndoState,
    committed: bool,
    fence: i64,
    worker: Option<String>,
    starts: i32,
    max_starts: i32,
    dedup_key: Option<String>,
    slot: Option<i32>,
    slot_fence: Option<i64>,
    open_fence: Option<i64>,
}

impl Moment {
    fn is_in_progress(&self) -> bool {
        self.state == OperationState::Running || self.unwind == UndoState::Running
    }
}

/// The snapshots so far.
#[derive(Debug, Default)]
pub struct History {
    slots: usize,
    last: BTreeMap<OperationId, Moment>,
    owners: BTreeMap<(OperationId, i64), String>,
    unhandled: BTreeMap<(String, String), Instant>,
    pub snapshots: usize,
    pub broken: BTreeSet<Violation>,
}

impl History {
    /// The history of a queue with this many slots.
    pub fn new(slots: usize) -> Self {
        Self { slots, ..Self::default() }
    }

    fn note(&mut self, broken: bool, invariant: &'static str, what: impl FnOnce() -> String) {
        if broken {
            self.broken.insert(violation(invariant, what()));
        }
    }

    /// Adds a snapshot of SQL.
    pub fn observe(&mut self, rows: Vec<Moment>) {
        self.snapshots += 1;
        let working = rows.iter().filter(|row| row.is_in_progress()).count();
        let slots = self.slots;
        self.note(working > slots, "I8", || format!("{working} operations run in {slots} slots"));
        let mut keys = BTreeSet::new();
        for row in &rows {
            if let (false, Some(key)) = (row.state.is_ended(), &row.dedup_key) {
                self.note(!keys.insert(key), "I9", || format!("two operations with the key of {} run", row.id));
            }
        }
        for row in rows {
            self.i3_one_owner(&row);
            self.i4_fences_and_states(&row);
            self.i6_no_blind_retry(&row);
            self.i16_no_undo_of_what_has_committed(&row);
            self.i8_slots(&row);
            self.last.insert(row.id, row);
        }
    }

    fn i3_one_owner(&mut self, row: &Moment) {
        let Some(worker) = row.worker.clone().filter(|_| row.is_in_progress()) else { return };
        let owner = self.owners.entry((row.id, row.fence)).or_insert_with(|| worker.clone()).clone();
        self.note(owner != worker, "I3", || format!("{owner} and {worker} own {} with fence {}", row.id, row.fence));
    }

    fn i4_fences_and_states(&mut self, row: &Moment) {
        let (starts, most) = (row.starts, row.max_starts);
        self.note(starts > most || starts < 0, "I4", || format!("{} has {starts} starts of {most}", row.id));
        let Some(before) = self.last.get(&row.id).cloned() else { return };
        let older = row.fence < before.fence;
        self.note(older, "I4", || format!("the fence of {} fell from {} to {}", row.id, before.fence, row.fence));
        let reborn = before.state.is_ended() && row.state != before.state;
        self.note(reborn, "I4", || format!("{} was {} and is {}", row.id, before.state, row.state));
    }

    /// A claim after a hand-back raises the fence by one, a claim after a recovery by two.
    fn i6_no_blind_retry(&mut self, row: &Moment) {
        let recovered = row.open_fence.is_some_and(|fence| row.fence - fence > 1);
        let again = row.state == OperationState::Running && recovered && !row.committed;
        self.note(again, "I6", || format!("{} runs again over an unresolved effect: {row:?}", row.id));
    }

    fn i16_no_undo_of_what_has_committed(&mut self, row: &Moment) {
        let undone =
            row.unwind != UndoState::None || matches!(row.state, OperationState::Stale | OperationState::Cancelled);
        self.note(row.committed && undone, "I16", || format!("{} has committed and is undone: {row:?}", row.id));
    }

    fn i8_slots(&mut self, row: &Moment) {
        let right = match row.slot {
            Some(_) => row.is_in_progress() && row.slot_fence == Some(row.fence),
            None => !row.is_in_progress(),
        };
        self.note(!right, "I8", || format!("slot and operation disagree: {row:?}"));
    }

    /// Adds a snapshot of Redis (I13).
    pub fn observe_lists(&mut self, lists: &Lists, now: Instant) {
        let owned: BTreeSet<(String, String)> = self
            .last
            .values()
            .filter(|row| row.is_in_progress())
            .filter_map(|row| Some((row.worker.clone()?, row.id.to_string())))
            .collect();
        let mut seen = BTreeMap::new();
        for (worker, entries) in &lists.processing {
            for entry in entries {
                let pair = (worker.clone(), entry.clone());
                if lists.workers.get(worker) == Some(&true) && !owned.contains(&pair) {
                    seen.insert(pair.clone(), self.unhandled.get(&pair).copied().unwrap_or(now));
                }
            }
        }
        self.unhandled = seen;
        let late = self.unhandled.iter().find(|(_, since)| now.duration_since(**since) > UNHANDLED);
        if let Some(((worker, entry), _)) = late {
            self.broken.insert(violation("I13", format!("{worker} lives and does nothing about `{entry}`")));
        }
    }
}

/// Takes snapshots until it is stopped.
pub struct Sampler {
    stop: CancellationToken,
    history: Arc<Mutex<History>>,
    task: JoinHandle<()>,
}

impl Sampler {
    /// Takes one every `every`.
    pub fn start(db: DatabaseConnection, mut lists: RedisPool, slots: usize, every: Duration) -> Self {
        let (stop, history) = (CancellationToken::new(), Arc::new(Mutex::new(History::new(slots))));
        let (token, shared) = (stop.clone(), history.clone());
        let task = tokio::spawn(async move {
            while !token.is_cancelled() {
                // Either store may be down.
                if let Ok(rows) = snapshot(&db).await {
                    shared.lock().unwrap().observe(rows);
                }
                if let Ok(lists) = Lists::read(&mut lists).await {
                    shared.lock().unwrap().observe_lists(&lists, Instant::now());
                }
                tokio::select! {
                    () = token.cancelled() => {}
                    () = tokio::time::sleep(every) => {}
                }
            }
        });
        Self { stop, history, task }
    }

    /// How many snapshots there were, and the violations.
    pub fn so_far(&self) -> (usize, Vec<Violation>) {
        let history = self.history.lock().unwrap();
        (history.snapshots, history.broken.iter().cloned().collect())
    }

    /// Stops it; returns the violations.
    pub async fn end(self) -> Vec<Violation> {
        self.stop.cancel();
        self.task.await.unwrap();
        self.history.lock().unwrap().broken.iter().cloned().collect()
    }
}

async fn snapshot(db: &DatabaseConnection) -> Result<Vec<Moment>, DbErr> {
    Moment::find_by_statement(Statement::from_string(db.get_database_backend(), SNAPSHOT)).all(db).await
}
