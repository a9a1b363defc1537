//! The systems a server is published to.

use super::text_enum;

text_enum! {
    /// A system that a server is published to.
    pub enum Target {
        /// The proxy that Minecraft players connect to.
        Velocity = "velocity",
        /// The internal DNS server.
        Technitium = "technitium",
        /// The public DNS server.
        Cloudflare = "cloudflare",
        /// The router of games without a proxy; it reads the document of routes that we serve.
        Traefik = "traefik",
        /// The gateway to the browser IDE of a dev container; it reads our records.
        Ide = "ide",
    }
}

impl Target {
    /// Whether it holds what is published to it: a peer that is called, and at which something of ours can be left. The
    /// others read what we serve, so that there is nothing to remove.
    pub const fn is_peer(self) -> bool {
        match self {
            Self::Velocity | Self::Technitium | Self::Cloudflare => true,
            Self::Traefik | Self::Ide => false,
        }
    }

    /// Whether it loses what it holds when it restarts, so that it is checked even when nothing failed.
    pub const fn is_volatile(self) -> bool {
        match self {
            Self::Velocity => true,
            Self::Technitium | Self::Cloudflare | Self::Traefik | Self::Ide => false,
        }
    }

    /// The targets that are peers.
    pub fn peers() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|target| target.is_peer())
    }
}
