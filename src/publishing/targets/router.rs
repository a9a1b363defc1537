//! Traefik, which polls the document of routes that we serve: what is stored is what it gets, once it has polled.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::report::{TargetReport, TargetVerdict};
use super::super::unpublish::UnpublishPlan;
use super::{EdgeTarget, Holdings};
use crate::edge::{EdgeError, EdgeRecord, Target};
use crate::kernel::{Clock, Timestamp, short_span};
use crate::ports::{RecordId, RouterPoll, RouterPolls, poll_counts};

/// Traefik.
pub(super) struct RouterTarget {
    polls: Arc<dyn RouterPolls>,
    clock: Clock,
}

impl RouterTarget {
    pub(super) fn new(polls: Arc<dyn RouterPolls>, clock: Clock) -> Self {
        Self { polls, clock }
    }

    /// The last poll, if it still counts.
    async fn last(&self) -> Result<RouterPoll, EdgeError> {
        let not_polled = |detail| EdgeError::NotPolled { detail };
        let now = self.clock.now();
        match self.polls.last().await.map_err(|error| not_polled(error.to_string()))? {
            Some(poll) if poll_counts(poll.at, now) => Ok(poll),
            Some(poll) => Err(not_polled(format!(
                "it last asked for its routes {} ago; players of games with public ports may not be routed",
                short_span(now.since(poll.at))
            ))),
            None => Err(not_polled("it has not asked for its routes for an hour".to_owned())),
        }
    }
}

#[async_trait]
impl EdgeTarget for RouterTarget {
    fn kind(&self) -> Target {
        Target::Traefik
    }

    async fn publish(&self, _: &EdgeRecord) -> Result<Vec<RecordId>, EdgeError> {
        Ok(Vec::new())
    }

    async fn unpublish(&self, _: &UnpublishPlan) -> Result<(), EdgeError> {
        Ok(())
    }

    async fn verify(&self, record: &EdgeRecord) -> Result<TargetReport, EdgeError> {
        let poll = self.last().await?;
        let early = poll.at < record.begun_at;
        let found = early.then(|| (TargetVerdict::Unknown, "it has not asked for its routes since".to_owned()));
        Ok(TargetReport::new(Target::Traefik, found.into_iter().collect()))
    }

    async fn check(&self) -> Result<Option<Timestamp>, EdgeError> {
        self.last().await.map(|_| None)
    }

    fn holdings(&self) -> Holdings<'_> {
        Holdings::Nothing
    }
}
