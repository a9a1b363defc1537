//! Turns a request into a blueprint: everything that can be decided without calling a peer. Pure.

use crate::catalog::{UnknownMinecraftVersion, artifacts_for};
use crate::containers::{description, tag};
use crate::edge::listening_ports;
use crate::kernel::{Hostname, OperationId, Secret, VmId};
use crate::ports::{AgentAssignment, AgentWorkload, ContainerSettings};

use super::policy::ProvisionPolicy;
use super::request::{ServerRequest, Workload};

/// The request cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No Java version is known for this game version.
    #[error("the server cannot be planned")]
    Java(#[from] UnknownMinecraftVersion),
}

/// What will be built, apart from its VMID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blueprint {
    request: ServerRequest,
    operation: OperationId,
    bridge: String,
    artifact_path: Option<String>,
    java_path: Option<String>,
}

/// Plans the server that `request` asks for; its containers carry `operation` as nonce.
pub fn plan(request: &ServerRequest, operation: OperationId, policy: &ProvisionPolicy) -> Result<Blueprint, PlanError> {
    let (artifact_path, java_path) = match &request.workload {
        Workload::Game { game, variant, version, .. } => {
            let artifacts = artifacts_for(game, variant, version)?;
            (Some(artifacts.artifact_path), artifacts.java_path)
        }
        Workload::Dev { .. } => (None, None),
    };
    let bridge = policy.bridge(request.workload.kind()).to_owned();
    Ok(Blueprint { request: request.clone(), operation, bridge, artifact_path, java_path })
}

/// A locally administered MAC address, derived from `operation`.
pub fn mac(operation: OperationId) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(operation.to_string().as_bytes());
    let tail: Vec<String> = hash.iter().take(5).map(|byte| format!("{byte:02X}")).collect();
    format!("02:{}", tail.join(":"))
}

impl Blueprint {
    /// The settings of the container `vmid`.
    pub fn settings(&self, hostname: Hostname) -> ContainerSettings {
        let kind = self.request.workload.kind();
        ContainerSettings {
            hostname,
            memory_mib: self.request.memory_mib,
            swap_mib: 0,
            cores: self.request.cpu_cores,
            bridge: self.bridge.clone(),
            mac: mac(self.operation),
            tags: vec![kind.to_string(), "zpack".to_owned(), tag(self.operation)],
            start_on_boot: true,
            description: description(self.operation),
        }
    }

    /// What the agent of `vmid` has to install; `ports` are its public ports.
    pub fn agent_config(&self, vmid: VmId, ports: &[u16], admin_password: &str) -> AgentAssignment {
        let workload = match &self.request.workload {
            Workload::Game { game, variant, version, world } => AgentWorkload::Game {
                game: game.clone(),
                variant: variant.clone(),
                version: version.clone(),
                world: world.clone(),
                ports: listening_ports(game, ports),
                artifact_path: self.artifact_path.clone().unwrap_or_default(),
                java_path: self.java_path.clone(),
                admin_user: "admin".to_owned(),
                admin_pass: Secret::new(admin_password),
            },
            Workload::Dev { runtime, version } => {
                AgentWorkload::Dev { runtime: runtime.clone(), version: version.clone() }
            }
        };
        AgentAssignment { vmid, generation: 1, memory_mb: self.request.memory_mib, workload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_local_unicast_and_repeatable() {
        let id = OperationId::generate();
        assert_eq!(mac(id), mac(id));
        assert!(mac(id).starts_with("02:") && mac(id).len() == 17);
    }
}
