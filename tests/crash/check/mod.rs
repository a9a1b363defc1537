//! The invariants I1 to I15 of docs/invariants.md, one function each.
//!
//! How far each is checked:
//! - At the end, from SQL, the ledger of the simulated Proxmox and the lists ([`Facts`]): I1, I2, I7, I10, I11, I12,
//!   I14, I15. I10 and I1 mean "eventually": no time is asserted, because the machine may be slow. I12, I14 and I15 are
//!   checked with operations added for them.
//! - During the run, from snapshots of one SQL statement and the lists, some 20 a second ([`History`]): I3, I4, I6, I8,
//!   I9, I13, I16. A violation shorter than the time between two snapshots may be missed; the model in `src/jobs` has no
//!   such gap. I6 is also checked at the end, from the fences in the journal.
//! - At the point itself, while the process is dead, stopped or held there: I5 ([`acknowledged_after_commit`]).

mod facts;
mod history;

use std::collections::BTreeMap;

use zpack::db::entities::debt::DebtState;
use zpack::db::entities::instance::{self, InstanceKind};
use zpack::db::entities::operation::{self, OperationState, UndoState};
use zpack::db::entities::port::PortState;
use zpack::db::entities::reservation::ReservationState;
use zpack::edge::port_layout;
use zpack::kernel::{OperationId, Timestamp};

pub use facts::{Facts, Lists};
pub use history::Sampler;

use super::point::CrashPoint;

/// The lease of `Company::environment`.
const LEASE_MS: i64 = 2000;

/// The step of a provision that follows its commitment.
const AFTER_THE_COMMITMENT: &str = "publish_edge";

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Its label.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is broken: {}", self.invariant, self.what)
    }
}

pub(crate) fn violation(invariant: &'static str, what: impl Into<String>) -> Violation {
    Violation { invariant, what: what.into() }
}

/// All checks that are possible at the end.
pub fn everything(facts: &Facts) -> Vec<Violation> {
    let checks = [
        i1_everything_ends,
        i2_no_ghost_works,
        i3_no_step_of_another_owner,
        i4_starts_are_bounded,
        i6_no_blind_retry,
        i7_effects_are_single,
        i7_effects_are_named,
        s2_ports_are_held_for_servers,
        i8_slots_are_free,
        i10_everything_due_was_started,
        i11_the_lists_are_empty,
        i12_the_cancelled_never_ran,
        i14_the_unknown_waits,
        i15_first_in_first_out,
    ];
    checks.iter().flat_map(|check| check(facts)).collect()
}

/// I5, at a point: until the end is committed, the id is on a processing list. Afterwards it may be there again,
/// because the acknowledgement is sent with the next receive and the id was added twice. An owner that has lost its
/// lease, which it notices a sixth of it early, may also drop the id.
pub fn acknowledged_after_commit(
    point: CrashPoint,
    row: &operation::Model,
    lists: &Lists,
    now: Timestamp,
) -> Vec<Violation> {
    let mut broken = Vec::new();
    let id = row.id.to_string();
    let listed = lists.processing.values().flatten().any(|entry| *entry == id);
    if point.is_before_the_acknowledgement() && !listed {
        broken.push(violation("I5", format!("{id} is {} and on no processing list at {}", row.state, point.name())));
    }
    let lost = row.lease_until.is_none_or(|until| until.millis() <= now.millis() + LEASE_MS / 6);
    if point.is_after_the_end() && !row.state.is_ended() && !lost {
        broken.push(violation("I5", format!("{id} is {} at {}, after its end", row.state, point.name())));
    }
    broken
}

fn i1_everything_ends(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for id in &facts.begun {
        match facts.operations.get(id) {
            None => broken.push(violation("I1", format!("the committed row of {id} is gone"))),
            Some(row) if !row.state.is_ended() || matches!(row.unwind, UndoState::Due | UndoState::Running) => {
                broken.push(violation("I1", format!("{id} stays {} with its undo {}", row.state, row.unwind)));
            }
            Some(_) => {}
        }
    }
    broken
}

fn i2_no_ghost_works(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for id in facts.operations.keys().filter(|id| !facts.is_known(**id)) {
        broken.push(violation("I2", format!("{id} was not requested")));
    }
    for step in facts.steps.iter().filter(|step| !facts.begun.contains(&step.operation_id)) {
        broken.push(violation("I2", format!("{} ran `{}`, which was not requested", step.operation_id, step.name)));
    }
    for effect in &facts.ledger {
        if !facts.begun.iter().any(|id| effect.is_of(*id)) {
            broken.push(violation("I2", format!("{effect:?} belongs to no operation")));
        }
    }
    broken
}

fn i3_no_step_of_another_owner(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for step in &facts.steps {
        let fence = facts.operations.get(&step.operation_id).map_or(0, |row| row.fence);
        if step.fence > fence {
            let what = format!("step `{}` of {} has fence {} of {fence}", step.name, step.operation_id, step.fence);
            broken.push(violation("I3", what));
        }
    }
    broken
}

fn i4_starts_are_bounded(facts: &Facts) -> Vec<Violation> {
    let over = facts.operations.values().filter(|row| row.starts > row.max_starts || row.starts < 0);
    over.map(|row| violation("I4", format!("{} has {} starts of {}", row.id, row.starts, row.max_starts))).collect()
}

/// A successful operation whose external steps have two owners was started again after an effect. Once it has committed,
/// its last step may be run again.
fn i6_no_blind_retry(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for row in facts.operations.values().filter(|row| row.state == OperationState::Succeeded) {
        let mut fences: Vec<_> = facts
            .steps
            .iter()
            .filter(|s| s.operation_id == row.id && s.outside && s.name != AFTER_THE_COMMITMENT)
            .map(|s| s.fence)
            .collect();
        fences.dedup();
        if fences.len() > 1 && !facts.drained {
            broken.push(violation("I6", format!("{} reached outside under the fences {fences:?}", row.id)));
        }
    }
    broken
}

/// The first half of I7, which holds at any time.
pub fn i7_effects_are_single(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for id in &facts.begun {
        let clones = facts.ledger.iter().filter(|effect| effect.is_of(*id) && effect.name == "clone").count();
        let undone = facts.ledger.iter().filter(|effect| effect.is_of(*id) && effect.name == "clone_undone").count();
        if clones > undone + 1 {
            broken.push(violation("I7", format!("{id} made {clones} containers")));
        }
    }
    broken
}

/// The second half: a row names every effect.
fn i7_effects_are_named(facts: &Facts) -> Vec<Violation> {
    facts.operations.values().flat_map(|row| i7_effects_of(facts, row)).collect()
}

/// What an ended operation created, and what remains.
pub fn i7_effects_of(facts: &Facts, row: &operation::Model) -> Vec<Violation> {
    let (id, mut broken) = (row.id, Vec::new());
    let made = facts.ledger.iter().any(|effect| effect.is_of(id) && effect.name == "clone");
    let logged = facts.steps.iter().any(|step| step.operation_id == id && step.name == "clone_container");
    if made && !logged {
        broken.push(violation("I7", format!("{id} made a container that is not in its journal")));
    }
    let containers: Vec<_> = facts.containers.iter().filter(|container| container.is_of(id)).collect();
    let servers: Vec<_> = facts.servers.iter().filter(|server| server.operation_id == id).collect();
    let held = facts.reservations.iter().filter(|held| held.state != ReservationState::Released);
    let reserved = held.filter(|held| held.operation_id == id).count();
    let counts = (containers.len(), servers.len(), reserved);
    // What has committed keeps its server, also when it fails because its owner vanished too often.
    if row.state == OperationState::Succeeded || (row.committed && row.state == OperationState::Failed) {
        let same = containers.iter().zip(&servers).all(|(container, s)| container.vmid == i64::from(s.vmid.get()));
        if counts != (usize::from(!facts.removed.contains(&id)), 1, 1) || !same {
            let what = format!("{id} is {} with {counts:?} containers, servers, numbers", row.state);
            broken.push(violation("I7", what));
        }
        let port = facts.ports.iter().filter(|port| port.operation_id == id && port.state == PortState::Held).count();
        let is_game = |server: &&&instance::Model| server.kind == InstanceKind::Game;
        let needed: usize =
            servers.iter().filter(|server| is_game(server)).map(|server| port_layout(&server.software).len()).sum();
        if port != needed {
            broken.push(violation("S2", format!("{id} succeeded with {port} public ports, and needs {needed}")));
        }
    } else if counts != (0, 0, 0) {
        let has_debt = facts.debts.iter().any(|debt| debt.operation_id == id && debt.state == DebtState::Open);
        if !has_debt || !servers.is_empty() {
            let what = format!("{id} is {} and left {counts:?} containers, servers, numbers", row.state);
            broken.push(violation("I7", what));
        }
    }
    broken
}

/// A public port is held for a server, or for an operation that still has a debt.
fn s2_ports_are_held_for_servers(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for port in facts.ports.iter().filter(|port| port.state == PortState::Held) {
        let id = port.operation_id;
        let server = facts.servers.iter().any(|server| server.operation_id == id);
        let debt = facts.debts.iter().any(|debt| debt.operation_id == id && debt.state == DebtState::Open);
        if !server && !debt {
            broken
                .push(violation("S2", format!("port {} is held for {id}, which has no server and no debt", port.port)));
        }
    }
    broken
}

fn i8_slots_are_free(facts: &Facts) -> Vec<Violation> {
    let held = facts.slots.iter().filter_map(|slot| slot.operation_id);
    held.map(|id| violation("I8", format!("{id} keeps a slot after everything has ended"))).collect()
}

fn i10_everything_due_was_started(facts: &Facts) -> Vec<Violation> {
    let ran = facts.begun.iter().filter_map(|id| facts.operations.get(id));
    let never = ran.filter(|row| row.started_at.is_none() && row.state != OperationState::Cancelled);
    never.map(|row| violation("I10", format!("{} was due and never started", row.id))).collect()
}

fn i11_the_lists_are_empty(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    let lists = &facts.lists;
    // An operation of an unknown kind stays due, so it may be offered at any moment.
    let waits = |entry: &&String| !facts.unknown.iter().any(|id| id.to_string() == **entry);
    for entry in lists.ready.iter().filter(waits) {
        broken.push(violation("I11", format!("`{entry}` stays on the ready list")));
    }
    for (worker, entries) in &lists.processing {
        if entries.iter().any(|entry| waits(&entry)) {
            broken.push(violation("I11", format!("{entries:?} stay on the list of {worker}")));
        }
    }
    if !lists.workers.is_empty() {
        broken.push(violation("I11", format!("workers that ended stay on record: {:?}", lists.workers)));
    }
    broken
}

fn i12_the_cancelled_never_ran(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for id in &facts.cancelled {
        let Some(row) = facts.operations.get(id) else { continue };
        let steps = facts.steps.iter().any(|step| step.operation_id == *id);
        if row.state != OperationState::Cancelled || row.started_at.is_some() || steps {
            broken.push(violation("I12", format!("{id} was cancelled while it waited and is {} now", row.state)));
        }
    }
    broken
}

fn i14_the_unknown_waits(facts: &Facts) -> Vec<Violation> {
    let mut broken = Vec::new();
    for id in &facts.unknown {
        let row = facts.operations.get(id);
        if row.is_none_or(|row| row.state != OperationState::Queued || row.starts != 0 || row.fence != 0) {
            broken.push(violation("I14", format!("{id}, which no worker knows, was touched: {row:?}")));
        }
    }
    broken
}

fn i15_first_in_first_out(facts: &Facts) -> Vec<Violation> {
    let started: BTreeMap<OperationId, _> =
        facts.in_order.iter().map(|id| (*id, facts.operations.get(id).and_then(|row| row.started_at))).collect();
    let pairs = facts.in_order.iter().zip(facts.in_order.iter().skip(1));
    let swapped = pairs.filter(|(first, second)| started.get(first) > started.get(second));
    swapped.map(|(first, second)| violation("I15", format!("{second} started before {first}"))).collect()
}
