//! Bounds the number of concurrent calls. The hypervisor has three workers a node and cannot ask clients to slow down,
//! so the client limits itself: few writes a node, some more reads in total.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::request::Request;
use crate::ports::NodeName;

const CHANGES_PER_NODE: usize = 2;
const READS: usize = 8;

/// The calls in progress.
#[derive(Debug)]
pub(super) struct Limits {
    reads: Arc<Semaphore>,
    changes: Mutex<HashMap<NodeName, Arc<Semaphore>>>,
}

impl Limits {
    /// No call is in progress.
    pub(super) fn new() -> Self {
        Self { reads: Arc::new(Semaphore::new(READS)), changes: Mutex::default() }
    }

    /// Waits for a place; `None` when `timeout` is over first.
    pub(super) async fn enter(&self, request: &Request, timeout: Duration) -> Option<OwnedSemaphorePermit> {
        let places = match &request.node {
            Some(node) if request.changes() => self.changes_of(node),
            Some(_) | None => self.reads.clone(),
        };
        tokio::time::timeout(timeout, places.acquire_owned()).await.ok()?.ok()
    }

    fn changes_of(&self, node: &NodeName) -> Arc<Semaphore> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.entry(node.clone()).or_insert_with(|| Arc::new(Semaphore::new(CHANGES_PER_NODE))).clone()
    }
}
