//! The status daemons: `/cluster/resources` shows of containers only what they have broadcast last.

use std::sync::Arc;
use std::time::Duration;

use super::Proxmox;
use super::model::Broadcast;

/// The period of the daemons, in simulated time.
const PERIOD: Duration = Duration::from_secs(10);
/// The shortest period, so that a world with time scale 0 does not spin.
const SHORTEST: Duration = Duration::from_millis(20);

impl Proxmox {
    /// Broadcasts the state of all containers on reachable nodes periodically until the world stops.
    pub(super) async fn broadcast(self: Arc<Self>) {
        let period = self.core.scale.real(PERIOD).max(SHORTEST);
        loop {
            self.broadcast_once();
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = self.core.stopping.cancelled() => return,
            }
        }
    }

    fn broadcast_once(&self) {
        let now = self.core.clock.now();
        let mut cluster = self.cluster();
        let online = |node: &str| cluster.nodes.get(node).is_some_and(|node| node.online);
        let rows = cluster.containers.values().filter(|container| online(&container.node)).map(|container| {
            let row = Broadcast {
                incarnation: container.incarnation,
                running: container.run.is_some(),
                name: container.hostname(),
                template: container.is_template(),
                uptime: container.run.as_ref().map_or(0, |run| now.since(run.since).as_secs()),
            };
            (container.vmid, row)
        });
        let rows = rows.collect();
        cluster.broadcast = rows;
    }
}
