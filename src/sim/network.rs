//! The loopback network of the simulated containers.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};

use super::error::SimError;

/// How many networks that turn out to be in use are tried.
const ATTEMPTS: u32 = 100;

/// The `127.x.y.0/24` of one world, never `127.0.y.0`. Many worlds run on one machine at a time, and each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network(pub [u8; 2]);

impl Network {
    /// The length of the network prefix.
    pub const PREFIX: u8 = 24;

    /// A random network.
    pub fn random() -> Self {
        Self([rand::random_range(1..=254), rand::random_range(0..=255)])
    }

    /// The address with the last byte `host`; containers use 2 to 254.
    pub const fn host(self, host: u8) -> Ipv4Addr {
        let Self([second, third]) = self;
        Ipv4Addr::new(127, second, third, host)
    }

    /// The address of the gateway.
    pub const fn gateway(self) -> Ipv4Addr {
        self.host(1)
    }

    /// Whether `address` lies in this network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.octets().get(..3) == self.gateway().octets().get(..3)
    }
}

/// A network that no other world on this machine has, in any process, until this is dropped: the listener on the
/// gateway's port claims it. Two worlds in one network would reach each other's agents.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) network: Network,
    _gateway: TcpListener,
}

impl Claim {
    /// Claims `wanted`, or any free network. `port` is the port of the agents.
    pub(super) fn of(wanted: Option<Network>, port: u16) -> Result<Self, SimError> {
        let mut attempts = 0;
        loop {
            let network = wanted.unwrap_or_else(Network::random);
            let address = SocketAddr::from((network.gateway(), port));
            match TcpListener::bind(address) {
                Ok(gateway) => return Ok(Self { network, _gateway: gateway }),
                Err(error) if wanted.is_none() && error.kind() == ErrorKind::AddrInUse && attempts < ATTEMPTS => {
                    attempts += 1;
                }
                Err(source) => return Err(SimError::Bind { peer: "gateway", address, source }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_claimed_once_until_it_is_released() {
        let first = Claim::of(None, 18_888).unwrap();
        let taken = Claim::of(Some(first.network), 18_888).unwrap_err();
        assert!(taken.to_string().contains(&first.network.gateway().to_string()), "{taken}");
        assert_ne!(Claim::of(None, 18_888).unwrap().network, first.network);
        let network = first.network;
        drop(first);
        Claim::of(Some(network), 18_888).unwrap();
    }

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
