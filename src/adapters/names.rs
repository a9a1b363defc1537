//! Resolves the names of peers to addresses that may be called.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::kernel::{OutOfReach, Reach};

/// The resolver of the machine, without the addresses that may not be called.
pub(super) struct Names(pub Reach);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found.filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(OutOfReach(format!("`{}`", name.as_str())).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
