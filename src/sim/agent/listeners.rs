//! The listeners of agents: one for each running container, opened when it has booted and closed when it stops.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::sim::core::Core;
use crate::sim::fault_layer::FaultLayer;
use crate::sim::peer::Peer;
use crate::sim::wire::{Server, ServerOptions};

/// How often, and at what interval, an address in use is tried: the listener of the last run may just be closing.
const BIND_ATTEMPTS: u32 = 20;
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// A container that is booting; cancelled when it stops before its agent listens.
#[derive(Clone, Debug)]
pub struct Arrival {
    vmid: u32,
    off: CancellationToken,
}

impl Arrival {
    /// Waits until the container stops.
    pub async fn cancelled(&self) {
        self.off.cancelled().await;
    }
}

#[derive(Debug)]
struct Slot {
    off: CancellationToken,
    server: Option<Server>,
}

/// The listeners by container.
#[derive(Debug, Default)]
pub struct Listeners {
    slots: Mutex<BTreeMap<u32, Slot>>,
}

impl Listeners {
    /// Prepares the listener of a container that starts; an earlier one is closed.
    pub async fn expect(&self, vmid: u32) -> Arrival {
        self.close(vmid).await;
        let off = CancellationToken::new();
        self.slots().insert(vmid, Slot { off: off.clone(), server: None });
        Arrival { vmid, off }
    }

    /// Opens the listener; false when the container has stopped or the address cannot be bound.
    pub async fn open(
        &self,
        arrival: Arrival,
        address: SocketAddr,
        options: ServerOptions,
        core: &Arc<Core>,
        peer: Arc<dyn Peer>,
    ) -> bool {
        let layer = Arc::new(FaultLayer::new(core.clone(), peer));
        let mut attempt = 1;
        let server = loop {
            match Server::bind(address, options, layer.clone()).await {
                Ok(server) => break server,
                Err(error) if attempt == BIND_ATTEMPTS => {
                    tracing::error!(%address, vmid = arrival.vmid, %error, "the agent of {} cannot listen on {address}: {error}", arrival.vmid);
                    return false;
                }
                Err(_) => attempt += 1,
            }
            tokio::select! {
                () = tokio::time::sleep(BIND_PAUSE) => {}
                () = arrival.cancelled() => return false,
            }
        };
        let mut slots = self.slots();
        match slots.get_mut(&arrival.vmid) {
            Some(slot) if !arrival.off.is_cancelled() => {
                slot.server = Some(server);
                true
            }
            // Dropping the server closes it.
            Some(_) | None => false,
        }
    }

    /// Closes the listener of a container and breaks its connections.
    pub async fn close(&self, vmid: u32) {
        let slot = self.slots().remove(&vmid);
        stop(slot).await;
    }

    /// Closes every listener.
    pub async fn close_all(&self) {
        let slots = std::mem::take(&mut *self.slots());
        for slot in slots.into_values() {
            stop(Some(slot)).await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u32, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn stop(slot: Option<Slot>) {
    let Some(slot) = slot else { return };
    slot.off.cancel();
    if let Some(server) = slot.server {
        server.stop().await;
    }
}
