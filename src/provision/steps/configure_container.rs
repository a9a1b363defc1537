//! Writes memory, cores, network and labels. Everything is written, so writing it twice changes nothing.

use async_trait::async_trait;

use crate::kernel::{Classify, VmId};
use crate::ports::{ContainerConfig, ContainerSettings, HypervisorError, NodeName};
use crate::saga::{Reach, Step, StepContext, StepError, StepResult};

use super::super::run::{Run, step_failure};
use super::super::state::Provisioning;

pub(super) struct ConfigureContainer;

#[async_trait]
impl Step<Run, Provisioning> for ConfigureContainer {
    fn name(&self) -> &'static str {
        "configure_container"
    }

    fn reach(&self) -> Reach {
        Reach::Outside
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let (vmid, node) = state.decided_place()?;
        let settings = run.blueprint.settings(state.decided_hostname()?);
        let mut deadline = run.deadline();
        loop {
            let error = match write(run, &node, vmid, &settings).await {
                Ok(Some(detail)) => return Ok(Some(detail)),
                Ok(None) => {
                    let message = format!("{vmid} does not show its settings");
                    return Err(StepError::failed("configure_failed", message));
                }
                Err(error) => error,
            };
            if !deadline.wait_after(cx, error.failure()).await? {
                return Err(step_failure(&error));
            }
        }
    }
}

/// Writes the settings and reads them back. Returns them in words, or nothing when the container does not show them.
async fn write(
    run: &Run,
    node: &NodeName,
    vmid: VmId,
    settings: &ContainerSettings,
) -> Result<Option<String>, HypervisorError> {
    let hypervisor = &run.deps.hypervisor;
    let written = hypervisor.configure(node, vmid, settings).await;
    run.hit("configure_container.accepted").await;
    written?;
    let config = hypervisor.config(node, vmid).await?;
    let waiting = hypervisor.pending(node, vmid).await?;
    Ok(shows(&config, settings).then(|| in_words(settings, &waiting)))
}

/// The settings, and which options apply only after a restart, should the container run already.
fn in_words(settings: &ContainerSettings, waiting: &[String]) -> String {
    let restart = if waiting.is_empty() { String::new() } else { format!("; needs a restart: {}", waiting.join(", ")) };
    format!("{} MiB, {} cores{restart}", settings.memory_mib, settings.cores)
}

/// Whether the stored configuration is the one that was written.
fn shows(config: &ContainerConfig, settings: &ContainerSettings) -> bool {
    let net0 = config.net0.as_deref().unwrap_or_default().to_ascii_uppercase();
    config.memory_mib == Some(settings.memory_mib)
        && config.cores == Some(settings.cores)
        && config.hostname.as_deref() == Some(settings.hostname.as_str())
        && net0.contains(&settings.mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_wait_for_a_restart_are_named() {
        let settings = ContainerSettings {
            hostname: "dev-6000".parse().unwrap(),
            memory_mib: 1024,
            swap_mib: 0,
            cores: 2,
            bridge: "vmbr2".to_owned(),
            mac: "BC:24:11:00:00:01".to_owned(),
            tags: Vec::new(),
            start_on_boot: true,
            description: String::new(),
        };
        assert_eq!(in_words(&settings, &[]), "1024 MiB, 2 cores");
        let waiting = ["features".to_owned(), "nameserver".to_owned()];
        assert_eq!(in_words(&settings, &waiting), "1024 MiB, 2 cores; needs a restart: features, nameserver");
    }
}
