//! Clients of the simulated peers, as workers have them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::adapters::cloudflare::{Cloudflare, CloudflareSettings};
use zpack::adapters::proxmox::{Cloning, Deadlines, Endpoint, Proxmox, ProxmoxSettings};
use zpack::adapters::technitium::{Technitium, TechnitiumSettings};
use zpack::adapters::tls::TlsVerify;
use zpack::adapters::velocity::{Velocity, VelocitySettings};
use zpack::edge::EdgePolicy;
use zpack::kernel::{Clock, Reach, Secret};
use zpack::observe::router_polls::StoredPolls;
use zpack::publishing::{Peers, Publisher};

use super::{Company, ZONE};

/// The timeout of edge peers; a loaded machine may stop for seconds.
const EDGE_TIMEOUT: Duration = Duration::from_secs(6);
/// The cool-down after a refused token.
const COOL_DOWN: Duration = Duration::from_millis(200);

impl Company {
    /// The client of the simulated cluster.
    pub fn hypervisor(&self) -> Proxmox {
        let base = self.world.proxmox_url().parse().unwrap();
        let settings = ProxmoxSettings {
            reach: Reach::Loopback,
            endpoints: vec![Endpoint { base, node: None }],
            token: Secret::new(self.world.proxmox_token()).into(),
            tls: TlsVerify::SystemRoots,
            cloning: Cloning::Linked,
            deadlines: Deadlines {
                connect: Duration::from_millis(500),
                read: Duration::from_secs(1),
                remote_read: Duration::from_secs(1),
                change: Duration::from_secs(1),
                ..Deadlines::default()
            },
        };
        Proxmox::new(&settings, Clock::System).unwrap()
    }

    /// The client of the simulated agents, with `timeout`.
    pub fn agents(&self, timeout: Duration) -> Agents {
        let token = Some(Secret::new(self.world.agent_token()).into());
        let settings = AgentSettings {
            reach: Reach::Loopback,
            port: self.world.agent_port(),
            token,
            timeout,
            cool_down: COOL_DOWN,
        };
        Agents::new(settings, Clock::System).unwrap()
    }

    /// The bridge of the simulated proxy.
    pub fn proxy(&self) -> Velocity {
        let settings = VelocitySettings {
            reach: Reach::Loopback,
            base_url: self.world.velocity_url().parse().unwrap(),
            secret: Secret::new(self.world.velocity().secret()).into(),
            timeout: EDGE_TIMEOUT,
            cool_down: COOL_DOWN,
        };
        Velocity::new(&settings, Clock::System).unwrap()
    }

    /// The simulated public zone.
    pub fn cloudflare(&self) -> Cloudflare {
        let settings = CloudflareSettings {
            reach: Reach::Loopback,
            base_url: self.world.cloudflare_url().parse().unwrap(),
            token: Secret::new(self.world.cloudflare().token()).into(),
            zone_id: self.world.cloudflare().zone_id(),
            zone: ZONE.parse().unwrap(),
            timeout: EDGE_TIMEOUT,
            cool_down: COOL_DOWN,
        };
        Cloudflare::new(settings, Clock::System).unwrap()
    }

    /// The simulated internal zone.
    pub fn technitium(&self) -> Technitium {
        let settings = TechnitiumSettings {
            reach: Reach::Loopback,
            base_url: self.world.technitium_url().parse().unwrap(),
            token: Secret::new(self.world.technitium().token()).into(),
            zone: ZONE.parse().unwrap(),
            timeout: EDGE_TIMEOUT,
            cool_down: COOL_DOWN,
        };
        Technitium::new(settings, Clock::System).unwrap()
    }

    /// The edge: the simulated peers over the real adapters.
    pub fn publisher(&self) -> Publisher {
        let peers = Peers {
            velocity: Some(Arc::new(self.proxy())),
            technitium: Some(Arc::new(self.technitium())),
            cloudflare: Some(Arc::new(self.cloudflare())),
            router: Some((Arc::new(StoredPolls::new(self.lists.connection())), Clock::System)),
        };
        let edge = self.world.velocity().game_address();
        let policy = EdgePolicy {
            zone: Some(ZONE.parse().unwrap()),
            proxy_ip: Some(Ipv4Addr::LOCALHOST),
            public_ip: Some(Ipv4Addr::LOCALHOST),
            proxy_port: edge.port(),
            ide_suffix: Some("ide.zpack.test".parse().unwrap()),
            ..EdgePolicy::default()
        };
        Publisher::new(self.db.db.clone(), peers.into(), policy, Clock::System)
    }
}
