//! What shall be done, for whom, and what holds for this one request.

use std::time::Duration;

use super::episodes::Episode;
use crate::jobs::Work;
use crate::kernel::UserId;
use crate::web::ApiError;

/// Work to accept. What holds for every operation of the kind is in its [`Work`].
#[derive(Clone, Debug)]
pub struct Order<W> {
    /// What shall be done.
    pub work: W,
    /// The customer who sees the operation as their own.
    pub owner: Option<UserId>,
    /// How long it waits before it may start.
    pub delay: Duration,
    pub(super) episode: Option<Episode>,
    pub(super) keyed: bool,
    pub(super) busy: Option<ApiError>,
    pub(super) refusal: Option<ApiError>,
    pub(super) act: Option<&'static str>,
}

impl<W: Work> Order<W> {
    /// An order for `work`, which may start at once and belongs to no customer.
    pub const fn new(work: W) -> Self {
        Self {
            work,
            owner: None,
            delay: Duration::ZERO,
            episode: None,
            keyed: false,
            busy: None,
            refusal: None,
            act: None,
        }
    }

    /// Lets `owner` see the operation.
    #[must_use]
    pub fn owned_by(self, owner: impl Into<Option<UserId>>) -> Self {
        Self { owner: owner.into(), ..self }
    }

    /// Lets it start only when `delay` is over, by the clock of the database.
    #[must_use]
    pub fn run_after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Begins at most one operation for this episode, however the first one ended ([`super::episodes`]).
    #[must_use]
    pub fn once(self, episode: Episode) -> Self {
        Self { episode: Some(episode), ..self }
    }

    /// Says whether the request has an idempotency key, which then says what is the same request
    /// ([`Dedup::WithoutKey`](crate::jobs::Dedup)).
    #[must_use]
    pub fn keyed(self, keyed: bool) -> Self {
        Self { keyed, ..self }
    }

    /// Answers with `error` while the same work is under way. Without it the requester gets that operation.
    #[must_use]
    pub fn refuse_while_busy(self, error: ApiError) -> Self {
        Self { busy: Some(error), ..self }
    }

    /// Applies a `check` that new work has to pass, and a repeated request for work under way has not.
    #[must_use]
    pub fn if_new(self, check: Result<(), ApiError>) -> Self {
        Self { refusal: check.err(), ..self }
    }

    /// Records new work in the audit log as `act`.
    #[must_use]
    pub fn audited(self, act: &'static str) -> Self {
        Self { act: Some(act), ..self }
    }
}
