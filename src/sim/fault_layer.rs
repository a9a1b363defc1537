//! The wrapper of every peer: it applies the fault plan and records requests in the journal.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::core::Core;
use super::faults::{Action, Fault, When};
use super::journal::Entry;
use super::peer::Peer;
use super::wire::{Handler, Reply, SimRequest};

/// A peer behind the fault plan and the journal.
pub struct FaultLayer {
    core: Arc<Core>,
    peer: Arc<dyn Peer>,
}

impl FaultLayer {
    /// Wraps `peer` with the fault plan and the journal of `core`.
    pub fn new(core: Arc<Core>, peer: Arc<dyn Peer>) -> Self {
        Self { core, peer }
    }
}

#[async_trait]
impl Handler for FaultLayer {
    async fn answer(&self, request: SimRequest) -> Reply {
        let mut entry = Entry::of(&request, self.core.clock.now());
        let path = request.path();
        let fault = self.core.faults.due(self.peer.name(), &request.method, &path, self.peer.base_path());
        entry.fault = fault.as_ref().map(|fault| fault.id);
        let reply = match fault {
            Some(fault) => self.answer_with(&fault, request).await,
            None => self.peer.handle(request).await,
        };
        entry.answered(&reply);
        self.core.journal.record(entry);
        reply
    }
}

impl FaultLayer {
    async fn answer_with(&self, fault: &Fault, request: SimRequest) -> Reply {
        let pause = Duration::from_millis(fault.spec.delay_ms.unwrap_or(0));
        match (fault.spec.when, fault.spec.action) {
            (When::Before, Action::Delay) => {
                tokio::time::sleep(pause).await;
                self.peer.handle(request).await
            }
            (When::Before, Action::Truncate) => fault.reply(self.peer.handle(request).await).after(pause),
            (When::Before, Action::Status | Action::Timeout | Action::Reset | Action::Html) => {
                fault.reply(Reply::new(200)).after(pause)
            }
            (When::After, _) => {
                let reply = self.peer.handle(request).await;
                let delay = reply.delay;
                fault.reply(reply).after(delay + pause)
            }
        }
    }
}
