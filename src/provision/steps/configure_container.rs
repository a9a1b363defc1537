//! Writes memory, cores, network and labels. All options are written each time, so a repeated write changes nothing.

use async_trait::async_trait;

use crate::kernel::{Classify, VmId};
use crate::ports::{ContainerConfig, ContainerSettings, HypervisorError, NodeName};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};

use super::super::moved::{is_moved, may_have_moved};
use super::super::run::{Run, step_failure};
use super::super::state::Provisioning;

pub(super) struct ConfigureContainer;

#[async_trait]
impl Step<Run, Provisioning> for ConfigureContainer {
    fn name(&self) -> &'static str {
        "configure_container"
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let mut settings = run.blueprint.settings(state.decided_hostname()?);
        let mut deadline = run.deadline();
        loop {
            let (vmid, node) = state.decided_place()?;
            let error = match write(run, &node, vmid, &settings).await {
                Ok(Some(detail)) => return Ok(Some(detail)),
                Ok(None) => {
                    let message = format!("the settings of {vmid} do not show in its configuration");
                    return Err(StepError::failed("configure_failed", message));
                }
                Err(error) => error,
            };
            if let HypervisorError::TagRefused { tag, .. } = &error
                && settings.tags.contains(tag)
            {
                tracing::warn!(operation.id = %run.operation(), tag, "the datacenter does not let our token set the tag {tag}");
                settings.tags.retain(|other| other != tag);
                continue;
            }
            if may_have_moved(&error) && is_moved(run, cx, state).await? && deadline.wait(cx).await? {
                continue;
            }
            if !deadline.wait_after(cx, error.failure()).await? {
                return Err(step_failure(&error));
            }
        }
    }
}

/// Writes the settings and reads them back. Returns a summary, or `None` when the configuration does not show them.
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
    Ok(shows(&config, settings).then(|| describe(settings, &waiting)))
}

/// A summary of the settings, with the options that apply only after a restart if the container is running already.
fn describe(settings: &ContainerSettings, waiting: &[String]) -> String {
    let restart = if waiting.is_empty() { String::new() } else { format!("; needs a restart: {}", waiting.join(", ")) };
    format!("{} MiB, {} cores{restart}", settings.memory_mib, settings.cores)
}

/// Whether the stored configuration contains the settings.
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
        assert_eq!(describe(&settings, &[]), "1024 MiB, 2 cores");
        let waiting = ["features".to_owned(), "nameserver".to_owned()];
        assert_eq!(describe(&settings, &waiting), "1024 MiB, 2 cores; needs a restart: features, nameserver");
    }
}
