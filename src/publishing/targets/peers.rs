//! The targets of an installation, made from the clients of its peers.

use std::sync::Arc;

use super::documents::DocumentTarget;
use super::router::RouterTarget;
use super::velocity::VelocityTarget;
use super::zone::ZoneTarget;
use super::{EdgeTarget, Targets};
use crate::edge::Target;
use crate::kernel::Clock;
use crate::ports::{DnsZone, GameProxy, RouterPolls};

/// The clients of the peers; one that is not configured is `None`.
#[derive(Clone, Default)]
pub struct Peers {
    /// The game proxy.
    pub velocity: Option<Arc<dyn GameProxy>>,
    /// The internal DNS server.
    pub technitium: Option<Arc<dyn DnsZone>>,
    /// The public DNS server.
    pub cloudflare: Option<Arc<dyn DnsZone>>,
    /// The polls of Traefik, and the clock they are judged by.
    pub router: Option<(Arc<dyn RouterPolls>, Clock)>,
}

impl Peers {
    fn target(&self, kind: Target) -> Option<Arc<dyn EdgeTarget>> {
        let zone = |zone: &Option<Arc<dyn DnsZone>>| -> Option<Arc<dyn EdgeTarget>> {
            Some(Arc::new(ZoneTarget::new(kind, zone.clone()?)))
        };
        match kind {
            Target::Velocity => Some(Arc::new(VelocityTarget::new(self.velocity.clone()?))),
            Target::Technitium => zone(&self.technitium),
            Target::Cloudflare => zone(&self.cloudflare),
            Target::Traefik => {
                let (polls, clock) = self.router.clone()?;
                Some(Arc::new(RouterTarget::new(polls, clock)))
            }
            Target::Ide => Some(Arc::new(DocumentTarget)),
        }
    }
}

impl From<Peers> for Targets {
    fn from(peers: Peers) -> Self {
        Self::new(|kind| peers.target(kind))
    }
}
