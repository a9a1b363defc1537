//! The jobs of one worker, by kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::job::Job;
use super::queue::Queue;

/// Why a job cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Its operations wait in another queue: this worker would never receive them.
    #[error("the job `{kind}` belongs to the queue {of}, not to {queue}")]
    OtherQueue {
        /// The kind of the job.
        kind: &'static str,
        /// The queue of the job.
        of: Queue,
        /// The queue of the worker.
        queue: Queue,
    },
    /// Two jobs run the same kind.
    #[error("the queue {queue} has two jobs for `{kind}`")]
    DuplicateKind {
        /// The kind of the jobs.
        kind: &'static str,
        /// The queue of the worker.
        queue: Queue,
    },
}

/// The jobs that a worker of one queue can run.
#[derive(Clone)]
pub struct Registry {
    queue: Queue,
    jobs: BTreeMap<&'static str, Arc<dyn Job>>,
}

impl Registry {
    /// Creates an empty registry for workers of `queue`.
    pub const fn for_queue(queue: Queue) -> Self {
        Self { queue, jobs: BTreeMap::new() }
    }

    /// The queue.
    pub const fn queue(&self) -> Queue {
        self.queue
    }

    /// Adds `job` under its kind.
    pub fn with(mut self, job: Arc<dyn Job>) -> Result<Self, RegistryError> {
        let spec = job.spec();
        if spec.queue != self.queue {
            return Err(RegistryError::OtherQueue { kind: spec.kind, of: spec.queue, queue: self.queue });
        }
        match self.jobs.insert(spec.kind, job) {
            None => Ok(self),
            Some(_) => Err(RegistryError::DuplicateKind { kind: spec.kind, queue: self.queue }),
        }
    }

    /// The job for `kind`, if it can read that version of the payload.
    pub fn find(&self, kind: &str, schema_version: i32) -> Option<Arc<dyn Job>> {
        self.jobs.get(kind).filter(|job| (1..=job.spec().version).contains(&schema_version)).cloned()
    }

    /// The jobs.
    pub fn jobs(&self) -> impl Iterator<Item = &dyn Job> {
        self.jobs.values().map(|job| job.as_ref())
    }

    /// Every kind, with the newest payload version that its job can read.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, i32)> + '_ {
        self.jobs.values().map(|job| (job.spec().kind, job.spec().version))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::db::entities::operation;
    use crate::jobs::{CrashPolicy, Deadlines, JobContext, JobEnd, NewDebt, UndoEnd, WorkSpec};

    struct Idle(Queue);

    #[async_trait]
    impl Job for Idle {
        fn spec(&self) -> WorkSpec {
            WorkSpec { kind: "idle", queue: self.0, version: 2 }
        }

        fn deadlines(&self) -> Deadlines {
            Deadlines::forward(Duration::from_secs(60))
        }

        fn crash_policy(&self) -> CrashPolicy {
            CrashPolicy::Resume
        }

        fn possible_debts(&self, _: &operation::Model) -> Vec<NewDebt> {
            Vec::new()
        }

        async fn run(&self, _: &JobContext) -> JobEnd {
            JobEnd::LeaseLost
        }

        async fn undo(&self, _: &JobContext) -> UndoEnd {
            UndoEnd::Nothing
        }
    }

    fn idle(queue: Queue) -> Arc<dyn Job> {
        Arc::new(Idle(queue))
    }

    #[test]
    fn a_job_of_another_queue_is_refused() {
        let error = Registry::for_queue(Queue::Host).with(idle(Queue::Provision)).err().unwrap();
        assert_eq!(
            error,
            RegistryError::OtherQueue { kind: "idle", of: Queue::Provision, queue: Queue::Host },
            "its operations would wait for ever"
        );
        assert_eq!(error.to_string(), "the job `idle` belongs to the queue provision, not to host");
    }

    #[test]
    fn a_kind_has_one_job_for_the_versions_it_can_read() {
        let registry = Registry::for_queue(Queue::Host).with(idle(Queue::Host)).unwrap();
        assert_eq!(registry.kinds().collect::<Vec<_>>(), [("idle", 2)]);
        let known = [0, 1, 2, 3].map(|version| registry.find("idle", version).is_some());
        assert_eq!(known, [false, true, true, false]);
        let twice = registry.with(idle(Queue::Host)).err();
        assert_eq!(twice, Some(RegistryError::DuplicateKind { kind: "idle", queue: Queue::Host }));
    }
}
