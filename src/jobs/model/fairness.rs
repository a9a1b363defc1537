//! Liveness: from every reachable state, whatever failed before, the work is eventually done.
//!
//! The checker's own `eventually` is not sound here: it takes a path that closes a cycle for one that joins another
//! path, and this model has cycles (an id that is offered, received and handed back because no slot is free). So this
//! search keeps the whole graph. Faults are bounded by a budget; after they end, only fair actions remain, each of
//! which happens eventually if it stays possible. A finite system that only takes fair actions ends in a part of the
//! graph that it cannot leave, and visits all of it. So the work is certain to be done exactly if from every state some
//! path of fair actions leads to a state in which it is done. The search checks that backwards from those states.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use stateright::Model;

use super::ModelSize;
use super::action::Action;
use super::world::{Operation, World};

/// The result of a search.
#[derive(Debug)]
pub(super) struct Search {
    /// The number of states.
    pub(super) states: usize,
    /// Some of the states from which the work can never be done.
    pub(super) stuck: Vec<World>,
}

/// The states, numbered, and the fair steps between them.
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

    /// Follows every action that `follow` accepts; only those that `counts` accepts count as fair steps.
    fn explore(&mut self, scope: &ModelSize, follow: impl Fn(Action) -> bool, counts: impl Fn(Action) -> bool) {
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

/// I1: every committed operation ends, from every reachable state.
pub(super) fn durability(scope: &ModelSize) -> Search {
    reachable(scope).search()
}

/// I10: it also ends if Redis loses all data in any of these states, through the sweeper alone: without offers of new
/// operations, without the reaper, and without workers that reread their own lists.
pub(super) fn derivability(scope: &ModelSize) -> Search {
    let mut graph = Graph::default();
    for mut world in reachable(scope).worlds {
        world.flush();
        graph.number(world);
    }
    let alone = |action: Action| action.is_fair() && !action.is_speed_up();
    graph.explore(scope, alone, alone);
    graph.search()
}

fn reachable(scope: &ModelSize) -> Graph {
    let mut graph = Graph::default();
    for world in scope.init_states() {
        graph.number(world);
    }
    graph.explore(scope, |_| true, Action::is_fair);
    graph
}
