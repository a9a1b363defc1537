//! Writes memory, cores, network and labels. Everything is written, so writing it twice changes nothing.

use async_trait::async_trait;

use crate::kernel::Classify;
use crate::ports::{ContainerConfig, ContainerSettings};
use crate::saga::{Reach, Step, StepContext, StepError, StepResult};

use super::super::container::step_failure;
use super::super::run::Run;
use super::super::state::Provisioning;
use super::super::task::patience;

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
        let hypervisor = &run.deps.hypervisor;
        let mut patience = patience(run);
        loop {
            let written = hypervisor.configure(&node, vmid, &settings).await;
            run.hit("configure_container.accepted").await;
            let error = match written {
                Ok(()) => match hypervisor.config(&node, vmid).await {
                    Ok(config) if shows(&config, &settings) => {
                        return Ok(Some(format!("{} MiB, {} cores", settings.memory_mib, settings.cores)));
                    }
                    Ok(_) => {
                        return Err(StepError::failed(
                            "configure_failed",
                            format!("{vmid} does not show its settings"),
                        ));
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if !patience.again_after(cx, error.failure()).await? {
                return Err(step_failure(&error));
            }
        }
    }
}

/// Whether the stored configuration is the one that was written.
fn shows(config: &ContainerConfig, settings: &ContainerSettings) -> bool {
    let net0 = config.net0.as_deref().unwrap_or_default().to_ascii_uppercase();
    config.memory_mib == Some(settings.memory_mib)
        && config.cores == Some(settings.cores)
        && config.hostname.as_deref() == Some(settings.hostname.as_str())
        && net0.contains(&settings.mac)
}
