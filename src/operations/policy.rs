//! Decides who may cancel which operation, and when (pure). `cancel.rs` applies the decision.

use crate::db::entities::operation::{self, Actor, CancelRule, OperationState};

/// Why an operation is not cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelRefusal {
    /// Another actor began it, whose decision this one cannot reverse.
    BegunByAnother,
    /// It has started, and its kind cannot be cancelled after that.
    Started,
    /// It has committed: its result belongs to the customer already.
    Committed,
}

/// The outcome of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was queued and never runs again; steps of an earlier run are undone.
    Cancelled,
    /// It is running; it stops at the next step and is undone.
    Requested,
    /// It had ended already.
    Ended,
    /// It continues.
    Refused(CancelRefusal),
}

/// The columns of an operation that the rule reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelFacts {
    /// Who began it.
    pub begun_by: Actor,
    /// When it may be cancelled.
    pub rule: CancelRule,
    /// Its state.
    pub state: OperationState,
    /// Whether it was ever started.
    pub started: bool,
    /// Whether it has committed.
    pub committed: bool,
}

impl CancelFacts {
    /// The facts of `row`.
    pub const fn of(row: &operation::Model) -> Self {
        let started = row.started_at.is_some();
        Self { begun_by: row.begun_by, rule: row.cancel_rule, state: row.state, started, committed: row.committed }
    }
}

/// Whether `actor` may reverse a decision of `begun_by`. Operators may reverse all decisions, customers only those of
/// customers, and other actors also their own. Who may see an operation at all is checked elsewhere.
pub const fn may_reverse(actor: Actor, begun_by: Actor) -> bool {
    match (actor, begun_by) {
        (Actor::Operator, _)
        | (_, Actor::Customer)
        | (Actor::Internal, Actor::Internal)
        | (Actor::Billing, Actor::Billing)
        | (Actor::System, Actor::System) => true,
        (Actor::Customer, Actor::Operator | Actor::Internal | Actor::Billing | Actor::System)
        | (Actor::Internal, Actor::Operator | Actor::Billing | Actor::System)
        | (Actor::Billing, Actor::Operator | Actor::Internal | Actor::System)
        | (Actor::System, Actor::Operator | Actor::Internal | Actor::Billing) => false,
    }
}

/// The outcome of a request by `actor` to cancel.
pub const fn may_cancel(actor: Actor, facts: CancelFacts) -> CancelOutcome {
    let outcome = match facts.state {
        OperationState::Queued => CancelOutcome::Cancelled,
        OperationState::Running => CancelOutcome::Requested,
        OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled | OperationState::Stale => {
            return CancelOutcome::Ended;
        }
    };
    if !may_reverse(actor, facts.begun_by) {
        return CancelOutcome::Refused(CancelRefusal::BegunByAnother);
    }
    if facts.committed {
        return CancelOutcome::Refused(CancelRefusal::Committed);
    }
    match (facts.rule, facts.started) {
        (CancelRule::Anytime, _) | (CancelRule::BeforeStart, false) => outcome,
        (CancelRule::BeforeStart, true) => CancelOutcome::Refused(CancelRefusal::Started),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: CancelFacts = CancelFacts {
        begun_by: Actor::Customer,
        rule: CancelRule::Anytime,
        state: OperationState::Queued,
        started: false,
        committed: false,
    };

    /// The actors whose operations `actor` may cancel.
    fn below(actor: Actor) -> Vec<Actor> {
        let cancels = |begun_by: &Actor| {
            may_cancel(actor, CancelFacts { begun_by: *begun_by, ..WAITING }) == CancelOutcome::Cancelled
        };
        Actor::ALL.iter().copied().filter(cancels).collect()
    }

    #[test]
    fn a_customer_cancels_what_customers_began_and_an_operator_everything() {
        assert_eq!(below(Actor::Customer), [Actor::Customer]);
        assert_eq!(below(Actor::Operator), Actor::ALL);
    }

    #[test]
    fn parts_of_the_system_cancel_their_own_work_and_that_of_customers() {
        for actor in [Actor::Internal, Actor::Billing, Actor::System] {
            assert_eq!(below(actor), [Actor::Customer, actor], "{actor}");
        }
    }

    #[test]
    fn an_operation_is_cancelled_where_it_stands() {
        let outcomes = OperationState::ALL.iter().map(|state| {
            let started = *state != OperationState::Queued;
            may_cancel(Actor::Customer, CancelFacts { state: *state, started, ..WAITING })
        });
        let ended = CancelOutcome::Ended;
        let expected = [CancelOutcome::Cancelled, CancelOutcome::Requested, ended, ended, ended, ended];
        assert_eq!(outcomes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn some_work_is_cancelled_until_it_is_started() {
        let deletion = CancelFacts { rule: CancelRule::BeforeStart, ..WAITING };
        assert_eq!(may_cancel(Actor::Customer, deletion), CancelOutcome::Cancelled);
        let refused = CancelOutcome::Refused(CancelRefusal::Started);
        for state in [OperationState::Running, OperationState::Queued] {
            let started = CancelFacts { state, started: true, ..deletion };
            assert_eq!(
                may_cancel(Actor::Operator, started),
                refused,
                "{state}, even when its worker has handed it back"
            );
        }
    }

    #[test]
    fn work_that_has_committed_is_not_cancelled() {
        for state in [OperationState::Running, OperationState::Queued] {
            let committed = CancelFacts { state, started: true, committed: true, ..WAITING };
            let refused = CancelOutcome::Refused(CancelRefusal::Committed);
            assert_eq!(may_cancel(Actor::Operator, committed), refused, "{state}");
        }
    }

    #[test]
    fn an_end_is_no_refusal() {
        let ended = CancelFacts { begun_by: Actor::Billing, state: OperationState::Failed, started: true, ..WAITING };
        assert_eq!(may_cancel(Actor::Customer, ended), CancelOutcome::Ended);
    }
}
