//! At the start of a worker: what orders need of the hypervisor and would not find, one line of the log each.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::{OrderNeeds, Preflight};

/// A hypervisor that does not answer is reported by the orders themselves.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Looks once, beside the work of the worker, and ends at the latest after its timeout.
pub(super) fn report(preflight: Arc<dyn Preflight>, needs: OrderNeeds) {
    tokio::spawn(async move {
        match tokio::time::timeout(TIMEOUT, preflight.missing(&needs)).await {
            Ok(Ok(missing)) => {
                for missing in missing {
                    let (what, remedy) = (missing.what, missing.remedy);
                    tracing::error!(remedy, "orders will fail: {what}; {remedy}");
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "what orders need of the hypervisor could not be checked: {error}");
            }
            Err(_) => tracing::warn!("what orders need of the hypervisor could not be checked in time"),
        }
    });
}
