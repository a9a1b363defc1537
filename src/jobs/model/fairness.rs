//! "In the end": from every state that can be reached, whatever went wrong before, the work is done.
//!
//! The checker's own `eventually` is not sound here: it takes a path that closes a cycle for one that joins another, and
//! the modelled world has cycles (an id that is offered, received and handed back for want of a slot). So this search
//! keeps the whole graph. Faults are paid for and run out; what remains are the fair actions, each of which happens in
//! the end if it stays possible. A finite world that only takes fair actions stays, at last, in a part it cannot leave,
//! and visits all of it. So the work is certain to be done exactly if from every state some path of fair actions leads
//! to where it is done, and that is what is checked, backwards from there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use stateright::Model;

use super::Scope;
use super::action::Action;
use super::world::{Operation, World};

/// What the search found.
#[derive(Debug)]
pub(super) struct Search {
    /// How many states there are.
    pub(super) states: usize,
    /// Some of those from which the work cannot be done any more.
    pub(super) stuck: Vec<World>,
}

/// Numbers for states.
#[derive(Default)]
struct Graph {
    numbers: HashMap<World, u32>,
    worlds: Vec<World>,
    /// Fair steps, as (to, from).
    steps: Vec<(u32, u32)>,
}

impl Graph {
    fn number(&mut self, world: World) -> u32 {
        match self.numbers.entry(world) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = u32::try_from(self.worlds.len()).unwrap_or(u32::MAX);
                self.worlds.push(world);
                *new.insert(number)
            }
        }
    }

    /// Follows every action that `follow` takes; only those that `counts` takes lead to where the work is done.
    fn explore(&mut self, scope: &Scope, follow: impl Fn(Action) -> bool, counts: impl Fn(Action) -> bool) {
        let mut actions = Vec::new();
        let mut at = 0;
        while let Some(world) = self.worlds.get(at).copied() {
            scope.actions(&world, &mut actions);
            for action in actions.drain(..).filter(|action| follow(*action)) {
                let Some(next) = scope.next_state(&world, action) else { continue };
                let to = self.number(next);
                if counts(action) {
                    self.steps.push((to, u32::try_from(at).unwrap_or(u32::MAX)));
                }
            }
            at += 1;
        }
    }

    fn search(mut self) -> Search {
        self.steps.sort_unstable();
        let mut done: Vec<bool> =
            self.worlds.iter().map(|world| world.operations.iter().all(Operation::is_settled)).collect();
        let mut open: Vec<u32> = (0u32..).zip(&done).filter(|(_, done)| **done).map(|(number, _)| number).collect();
        while let Some(to) = open.pop() {
            let first = self.steps.partition_point(|step| step.0 < to);
            for (_, from) in self.steps[first..].iter().take_while(|step| step.0 == to) {
                let from_done = &mut done[*from as usize];
                if !*from_done {
                    *from_done = true;
                    open.push(*from);
                }
            }
        }
        let stuck = self.worlds.iter().zip(&done).filter(|(_, done)| !**done).map(|(world, _)| *world);
        Search { states: self.worlds.len(), stuck: stuck.take(3).collect() }
    }
}

/// I1: every committed operation ends, from every state that can be reached.
pub(super) fn durability(scope: &Scope) -> Search {
    reachable(scope).search()
}

/// I10: it ends too when Redis loses everything in any of these states, by the sweeper alone: nobody rings, the reaper
/// does not run, and no worker looks at its own list.
pub(super) fn derivability(scope: &Scope) -> Search {
    let mut graph = Graph::default();
    for mut world in reachable(scope).worlds {
        world.flush();
        graph.number(world);
    }
    let alone = |action: Action| action.is_fair() && !action.is_speed_up();
    graph.explore(scope, alone, alone);
    graph.search()
}

fn reachable(scope: &Scope) -> Graph {
    let mut graph = Graph::default();
    for world in scope.init_states() {
        graph.number(world);
    }
    graph.explore(scope, |_| true, Action::is_fair);
    graph
}
