//! The number of open connections of each peer address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::web::{TrustedProxies, address_key};

/// The open connections of each address, counted over all threads of the server. Trusted proxies connect for many
/// clients and are not counted.
#[derive(Clone)]
pub struct Places(Arc<Inner>);

struct Inner {
    most: u32,
    trusted: TrustedProxies,
    open: Mutex<HashMap<String, Open>>,
}

#[derive(Default)]
struct Open {
    count: u32,
    /// Whether a refused connection was logged.
    reported: bool,
}

impl Places {
    /// At most `most` connections from one IPv4 address or from one IPv6 network of 64 bits.
    pub fn new(most: u32, trusted: TrustedProxies) -> Self {
        Self(Arc::new(Inner { most, trusted, open: Mutex::default() }))
    }

    /// Accepts or refuses a connection of `peer`, and returns its place if it is counted.
    pub fn admit(&self, peer: IpAddr) -> Result<Option<Place>, Full> {
        let peer = peer.to_canonical();
        if self.0.trusted.trusts(peer) {
            return Ok(None);
        }
        let key = address_key(peer);
        let mut places = self.0.open();
        let open = places.entry(key.clone()).or_default();
        if open.count >= self.0.most {
            return Err(Full { first: !std::mem::replace(&mut open.reported, true) });
        }
        open.count += 1;
        drop(places);
        Ok(Some(Place { key, places: self.clone() }))
    }
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("most", &self.0.most).finish_non_exhaustive()
    }
}

/// An address has as many open connections as it may have.
#[derive(Debug)]
pub struct Full {
    /// Whether it is the first refusal since the address had no connection open.
    pub first: bool,
}

/// The place of one connection, freed when dropped.
#[derive(Debug)]
pub struct Place {
    key: String,
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.0.open();
        if let Entry::Occupied(mut entry) = places.entry(std::mem::take(&mut self.key)) {
            let open = entry.get_mut();
            open.count = open.count.saturating_sub(1);
            if open.count == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_limited_and_trusted_proxies_are_not() {
        let trusted: Vec<ipnet::IpNet> = vec!["198.51.100.0/24".parse().unwrap()];
        let places = Places::new(2, TrustedProxies::from(trusted));
        let admit = |peer: &str| places.admit(peer.parse().unwrap());
        let held = [admit("192.0.2.1").unwrap(), admit("::ffff:192.0.2.1").unwrap()];
        assert!(admit("192.0.2.1").is_err_and(|full| full.first));
        assert!(admit("192.0.2.1").is_err_and(|full| !full.first));
        assert!(admit("192.0.2.2").is_ok());
        drop(held);
        assert!(admit("192.0.2.1").is_ok_and(|place| place.is_some()));
        let of_network = [admit("2001:db8::1").unwrap(), admit("2001:db8::2").unwrap()];
        assert!(admit("2001:db8::3").is_err() && admit("2001:db8:0:1::1").is_ok());
        let of_proxy: Vec<_> = (0..10).map(|_| admit("198.51.100.3").unwrap()).collect();
        assert!(of_proxy.iter().all(Option::is_none));
        drop(of_network);
        assert!(places.0.open().is_empty());
    }
}
