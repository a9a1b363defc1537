//! The loopback network the simulated containers live in.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A `127.x.y.0/24` of one world. Many worlds run on one machine at a time, so each has its own, never `127.0.y.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network(pub [u8; 2]);

impl Network {
    /// The length of the network prefix.
    pub const PREFIX: u8 = 24;

    /// A network picked at random.
    pub fn random() -> Self {
        Self([rand::random_range(1..=254), rand::random_range(0..=255)])
    }

    /// The host numbered `host`; containers use 2 to 254.
    pub const fn host(self, host: u8) -> Ipv4Addr {
        let Self([second, third]) = self;
        Ipv4Addr::new(127, second, third, host)
    }

    /// The address that plays the gateway.
    pub const fn gateway(self) -> Ipv4Addr {
        self.host(1)
    }

    /// Whether `address` lies in this network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.octets().get(..3) == self.gateway().octets().get(..3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_stays_off_the_hosts_own_loopback() {
        for _ in 0..2000 {
            let network = Network::random();
            assert_ne!(network.gateway().octets()[1], 0);
            assert!(network.gateway().is_loopback());
            assert!(network.contains(network.host(254)));
        }
    }
}
