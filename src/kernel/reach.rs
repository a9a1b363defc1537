//! Which addresses zpack may call.

use std::net::IpAddr;

use super::text_enum;

text_enum! {
    /// Which addresses the clients of peers may call. Against simulated peers, it keeps an address that one of them
    /// reports from leading to a stranger.
    pub enum Reach {
        /// Every address.
        Any = "any",
        /// The addresses of this machine that no network carries: `127.0.0.0/8` and `::1`.
        Loopback = "loopback",
    }
}

/// The address may not be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not on this machine (PEER_ADDRESSES)")]
pub struct OutOfReach(pub String);

impl Reach {
    /// Refuses an address that may not be called.
    pub fn check(self, address: IpAddr) -> Result<(), OutOfReach> {
        if self.allows(address) { Ok(()) } else { Err(OutOfReach(address.to_string())) }
    }

    /// Whether `address` may be called.
    pub const fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => match address {
                IpAddr::V4(address) => address.is_loopback(),
                IpAddr::V6(address) => address.is_loopback(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_alone() {
        for (address, loopback) in [
            ("127.0.0.1", true),
            ("127.255.255.254", true),
            ("::1", true),
            ("192.0.2.1", false),
            ("0.0.0.0", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("::ffff:127.0.0.1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(Reach::Loopback.allows(address), loopback, "{address}");
            assert!(Reach::Any.allows(address));
        }
    }
}
