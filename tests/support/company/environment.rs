//! The settings with which another process joins a company.

use std::net::Ipv4Addr;

use super::{Company, ZONE};

impl Company {
    /// The settings with which another process joins this company.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let proxmox = self.world.proxmox_url().trim_end_matches("/api2/json").to_owned();
        let fixed = [
            ("LOG_LEVEL", "warn"),
            ("PEER_ADDRESSES", "loopback"),
            ("PROXMOX_VERIFY_TLS", "false"),
            ("PROXMOX_POOL", "zpack"),
            ("AGENT_TEMPLATE_VMID", "9000,9001"),
            ("JOB_LEASE_MS", "2000"),
            ("JOB_RENEW_MS", "500"),
            ("JOB_SWEEP_MS", "100"),
            ("JOB_REAP_MS", "500"),
            ("JOB_BLOCK_MS", "500"),
            ("PROXMOX_TASK_POLL_MS", "20"),
            ("PROXMOX_TASK_TIMEOUT_SECONDS", "10"),
            ("CLONE_ABSENCE_MS", "300"),
            ("ADDRESS_POLL_MS", "20"),
            ("ADDRESS_TIMEOUT_SECONDS", "10"),
            ("AGENT_POLL_MS", "20"),
            ("AGENT_READY_TIMEOUT_SECONDS", "20"),
        ];
        let mut settings: Vec<(&'static str, String)> =
            fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        settings.extend([
            ("DATABASE_URL", self.db.url.clone()),
            ("REDIS_URL", self.redis.url()),
            ("ARTIFACT_BASE_URL", self.world.artifacts_url()),
            ("PROXMOX_HOST", proxmox),
            ("PROXMOX_API_TOKEN", self.world.proxmox_token()),
            ("ZLH_AGENT_PORT", self.world.agent_port().to_string()),
            ("ZLH_AGENT_TOKEN", self.world.agent_token().to_owned()),
            ("ZPACK_ZONE", ZONE.to_owned()),
            ("CLOUDFLARE_API_URL", self.world.cloudflare_url()),
            ("CLOUDFLARE_API_TOKEN", self.world.cloudflare().token()),
            ("CLOUDFLARE_ZONE_ID", self.world.cloudflare().zone_id()),
            ("CLOUDFLARE_EDGE_IP", Ipv4Addr::LOCALHOST.to_string()),
            ("TECHNITIUM_API_URL", self.world.technitium_url()),
            ("TECHNITIUM_API_TOKEN", self.world.technitium().token()),
            ("VELOCITY_URL", self.world.velocity_url()),
            ("ZPACK_SECRET", self.world.velocity().secret()),
            ("VELOCITY_EDGE_IP", Ipv4Addr::LOCALHOST.to_string()),
            ("VELOCITY_EDGE_PORT", self.world.velocity().game_address().port().to_string()),
        ]);
        settings
    }
}
