//! Brings the game proxy to know a server as it should, or not at all. What was sent is read back, where the proxy can
//! list; one that cannot is registered with again each time, which is harmless.

use crate::edge::{EdgeError, ProxyChange, Registration, Target, compare_proxy};
use crate::kernel::{Classify, DnsName, Failure};
use crate::ports::{GameProxy, ProxyError};

/// How often the proxy is changed and read again before it counts as not to be settled.
const ROUNDS: u32 = 3;

/// Makes the proxy know the server once, under its canonical name, at its address.
pub(super) async fn converge(proxy: &dyn GameProxy, wanted: &Registration) -> Result<(), EdgeError> {
    for _ in 0..=ROUNDS {
        let listing = match proxy.list().await {
            Ok(listing) => listing,
            Err(ProxyError::Unsupported { .. }) => return Ok(proxy.register(&wanted.name, wanted.address).await?),
            Err(error) => return Err(error.into()),
        };
        let (_, changes) = compare_proxy(wanted, &listing.servers);
        if changes.is_empty() {
            return Ok(());
        }
        for change in changes {
            let outcome = match change {
                ProxyChange::Unregister(name) => proxy.unregister(&name).await.map(drop),
                ProxyChange::Register(server) => proxy.register(&server.name, server.address).await,
            };
            match outcome {
                Ok(()) => {}
                Err(error) if error.failure() == Failure::Ambiguous => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Err(EdgeError::Unsettled { target: Target::Velocity, rounds: ROUNDS })
}

/// Makes the proxy forget the server.
pub(super) async fn clear(proxy: &dyn GameProxy, name: &DnsName) -> Result<(), EdgeError> {
    let mut last = None;
    for _ in 0..=ROUNDS {
        match proxy.unregister(name.as_str()).await {
            // It is read back by the client.
            Ok(_) => return Ok(()),
            Err(error) if error.failure() == Failure::Ambiguous => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.map_or(EdgeError::Unsettled { target: Target::Velocity, rounds: ROUNDS }, EdgeError::Proxy))
}
