//! Waits until the container has an address at the interface that this operation configured.
//!
//! Only that address is used, because the agent's token is sent there: something in the container may have made interfaces
//! of its own, such as Docker, whose addresses belong to other machines outside.

use std::net::IpAddr;

use async_trait::async_trait;

use crate::containers::Deadline;
use crate::kernel::{Classify, Failure};
use crate::ports::Interface;
use crate::saga::{Effect, Step, StepContext, StepError, StepResult, UndoError};

use super::super::moved::{is_moved, may_have_moved};
use super::super::run::{Run, step_failure};
use super::super::state::Provisioning;

pub(super) struct AwaitAddress;

#[async_trait]
impl Step<Run, Provisioning> for AwaitAddress {
    fn name(&self) -> &'static str {
        "await_address"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let mac = state.decided_mac()?;
        let timings = &run.deps.policy.timings;
        let mut deadline = Deadline::new(timings.address_poll, timings.address_timeout);
        loop {
            let (vmid, node) = state.decided_place()?;
            match run.deps.hypervisor.interfaces(&node, vmid).await {
                // It is off, or not on this node any more.
                Ok(interfaces) if interfaces.is_empty() => drop(is_moved(run, cx, state).await?),
                Ok(interfaces) => {
                    if let Some(address) = address_at(&interfaces, &mac) {
                        state.address = Some(address);
                        return Ok(Some(address.to_string()));
                    }
                }
                Err(error) if may_have_moved(&error) && is_moved(run, cx, state).await? => {}
                Err(error) => match error.failure() {
                    Failure::Transient | Failure::Busy | Failure::Ambiguous => {
                        tracing::debug!(operation.id = %run.operation(), %error, "the interfaces could not be read");
                    }
                    Failure::Permanent | Failure::NeedsOperator => return Err(step_failure(&error)),
                },
            }
            if !deadline.wait(cx).await? {
                let waited = timings.address_timeout.as_secs();
                let message =
                    format!("container {vmid} got no IPv4 address within {waited} s (is DHCP on its bridge up?)");
                return Err(StepError::failed("no_address", message));
            }
        }
    }

    async fn undo(&self, _: &Run, _: &StepContext<'_>, state: &mut Provisioning) -> Result<(), UndoError> {
        state.address = None;
        Ok(())
    }
}

/// The address that DHCP gave the interface `mac`: it is configured for IPv4, and an IPv6 address may appear there earlier.
fn address_at(interfaces: &[Interface], mac: &str) -> Option<IpAddr> {
    let ours = interfaces.iter().filter(|interface| interface.mac.eq_ignore_ascii_case(mac));
    ours.flat_map(|interface| &interface.addresses).copied().find(IpAddr::is_ipv4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ipv4_address_of_our_interface_is_used() {
        let interface = |mac: &str, addresses: &[&str]| Interface {
            mac: mac.to_owned(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        };
        let docker = interface("02:42:5F:1A:9C:3E", &["192.0.2.1"]);
        let address = |ours: &[&str]| {
            address_at(&[docker.clone(), interface("02:C5:5D:81:F2:CB", ours)], "02:c5:5d:81:f2:cb")
                .map(|address| address.to_string())
        };
        assert_eq!(address(&[]), None);
        assert_eq!(address(&["2001:db8::7"]), None);
        assert_eq!(address(&["2001:db8::7", "192.0.2.17"]).as_deref(), Some("192.0.2.17"));
        assert_eq!(address_at(&[docker], "02:c5:5d:81:f2:cb"), None);
    }
}
