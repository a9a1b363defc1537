//! An order: the work to accept, its owner, and the conditions of this request.

use std::time::Duration;

use super::episodes::Episode;
use crate::jobs::Work;
use crate::kernel::UserId;
use crate::web::ApiError;

/// Work to accept. The properties that all operations of a kind share are in its [`Work`].
#[derive(Clone, Debug)]
pub struct Order<W> {
    /// The payload.
    pub work: W,
    /// The customer who sees the operation as their own.
    pub owner: Option<UserId>,
    /// The wait before it may start.
    pub delay: Duration,
    pub(super) episode: Option<Episode>,
    pub(super) keyed: bool,
    pub(super) busy: Option<ApiError>,
    pub(super) refusal: Option<ApiError>,
    pub(super) act: Option<&'static str>,
}

impl<W: Work> Order<W> {
    /// An order for `work` that may start immediately and belongs to no customer.
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

    /// Delays the start by `delay`, by the clock of the database.
    #[must_use]
    pub fn run_after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Begins at most one operation for this episode, regardless of how it ends ([`super::episodes`]).
    #[must_use]
    pub fn once(self, episode: Episode) -> Self {
        Self { episode: Some(episode), ..self }
    }

    /// Sets whether the request has an idempotency key, which then identifies the request
    /// ([`Dedup::WithoutKey`](crate::jobs::Dedup)).
    #[must_use]
    pub fn keyed(self, keyed: bool) -> Self {
        Self { keyed, ..self }
    }

    /// Answers with `error` while the same work is unfinished. Without this, the answer is that operation.
    #[must_use]
    pub fn refuse_while_busy(self, error: ApiError) -> Self {
        Self { busy: Some(error), ..self }
    }

    /// Adds a `check` for new work. It does not apply to a repeated request for unfinished work.
    #[must_use]
    pub fn if_new(self, check: Result<(), ApiError>) -> Self {
        Self { refusal: check.err(), ..self }
    }

    /// Records new work in the audit log under the action `act`.
    #[must_use]
    pub fn audited(self, act: &'static str) -> Self {
        Self { act: Some(act), ..self }
    }
}
