//! The invariants of docs/invariants.md as properties of the checker.

use stateright::{Model, Property};

use super::ModelSize;
use super::action::{Action, possible};
use super::audit;
use super::transition::next;
use super::world::{At, OPERATIONS, Phase, World};

impl Model for ModelSize {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::initial(self, [0; OPERATIONS]), World::initial(self, [1; OPERATIONS])]
    }

    fn actions(&self, state: &World, actions: &mut Vec<Action>) {
        possible(self, state, actions);
    }

    fn next_state(&self, state: &World, action: Action) -> Option<World> {
        Some(next(self, state, action)).filter(|world| world != state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(I2, |_, world: &World| no_ghost_work(world)),
            Property::always(I3, |_, world: &World| world.broken & audit::I3 == 0 && single_owner(world)),
            Property::always(I4, |_, world: &World| world.broken & audit::I4 == 0),
            Property::always(I5, |_, world: &World| world.broken & audit::I5 == 0),
            Property::always(I6, |_, world: &World| world.broken & audit::I6 == 0),
            Property::always(I8, slots_are_those_of_running_operations),
            Property::always(I12, |_, world: &World| world.broken & audit::I12 == 0),
            Property::always(I16, |_, world: &World| world.broken & audit::I16 == 0),
        ]
    }
}

pub(super) const I2: &str = "I2: an id without a claimable row never runs code";
pub(super) const I3: &str = "I3: one owner at a time, and an older fence writes nothing";
pub(super) const I4: &str = "I4: the fence increases, ended states stay, starts stay within the limit";
pub(super) const I5: &str = "I5: an id leaves the list only after the commit";
pub(super) const I6: &str =
    "I6: a provision with an unresolved outside step runs again only where its owner handed it back";
pub(super) const I8: &str = "I8: slots are as many as operations in progress, and never too many";
pub(super) const I12: &str = "I12: what is paused, or was cancelled while it waited, is not claimed";

pub(super) const I16: &str = "I16: what has committed is never undone";

/// The fences of the workers that believe to own an operation.
fn at_work(world: &World) -> impl Iterator<Item = (usize, i64)> + '_ {
    world.workers.iter().filter_map(|worker| match worker.at {
        At::Owner { operation, fence, phase } if !matches!(phase, Phase::Ending(_)) => Some((operation, fence)),
        _ => None,
    })
}

fn no_ghost_work(world: &World) -> bool {
    at_work(world).all(|(operation, fence)| {
        let operation = &world.operations[operation];
        // A worker that was fenced out may not know it yet; I3 covers that.
        operation.row.is_some_and(|row| row.fence != fence || operation.in_progress())
    })
}

fn single_owner(world: &World) -> bool {
    (0..OPERATIONS).all(|index| {
        let current =
            |work: &(usize, i64)| work.0 == index && world.operations[index].row.is_some_and(|row| row.fence == work.1);
        at_work(world).filter(current).count() <= 1
    })
}

fn slots_are_those_of_running_operations(scope: &ModelSize, world: &World) -> bool {
    world.slots_taken() <= scope.slots && world.operations.iter().all(|one| one.slot == one.in_progress())
}
