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
    /// Whether it is a peer that we call and that stores what is published to it, so that debts are possible there. The
    /// other targets read documents that we serve, so there is nothing to remove.
    pub const fn is_peer(self) -> bool {
        match self {
            Self::Velocity | Self::Technitium | Self::Cloudflare => true,
            Self::Traefik | Self::Ide => false,
        }
    }

    /// Whether it loses its entries when it restarts, so that it has to be checked even when nothing failed.
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
