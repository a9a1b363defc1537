//! `PUT …/config`.

use serde_json::Value;

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::{BRIDGES, Cluster, Container};
use super::super::net::NetOption;
use super::super::view;
use super::options::{Effect, check_privileges, effect, stored};

/// Parameters of the call that are not options.
const NO_OPTIONS: [&str; 5] = ["node", "vmid", "delete", "revert", "digest"];

impl Proxmox {
    /// Changes options: at once where that is possible, at the next start otherwise; the answer does not say which.
    pub(super) async fn update_config(&self, call: &Call) -> Result<Answer, Refusal> {
        let options: Vec<(&str, &str)> = call.params.iter().filter(|(name, _)| !NO_OPTIONS.contains(name)).collect();
        let delete = list(call.params.get("delete"));
        let revert = list(call.params.get("revert"));
        if options.is_empty() && delete.is_empty() && revert.is_empty() {
            return Err(Refusal::died("no options specified"));
        }
        {
            let cluster = self.cluster();
            for name in options.iter().map(|(name, _)| *name).chain(delete.iter().copied()) {
                check_privileges(&cluster, &call.token, call.vmid(), name, call.params.get(name))?;
            }
        }
        let _flock = self.flocks.take(call.vmid()).await.map_err(|error| Refusal::died(error.to_string()))?;
        let now = self.core.clock.now();
        self.change(|cluster| {
            let container = cluster.on_node(call.node(), call.vmid()).map_err(Refusal::Died)?;
            if let Some(refusal) = container.lock_refusal() {
                return Err(Refusal::Died(refusal));
            }
            if call.params.get("digest").is_some_and(|digest| digest != view::digest(container)) {
                return Err(Refusal::died("detected modified configuration - file changed by other user? Try again."));
            }
            let mut changed = container.clone();
            revert.iter().for_each(|name| {
                changed.pending.remove(*name);
            });
            for name in delete {
                set(&mut changed, name, None)?;
            }
            for (name, value) in options {
                set(&mut changed, name, Some(value))?;
            }
            save(cluster, changed);
            cluster.note(now, "config", call.vmid());
            Ok(())
        })?;
        Ok(Value::Null.into())
    }
}

fn save(cluster: &mut Cluster, container: Container) {
    cluster.containers.insert(container.vmid, container);
}

fn list(text: Option<&str>) -> Vec<&str> {
    text.unwrap_or_default().split([',', ';', ' ']).filter(|name| !name.is_empty()).collect()
}

/// Sets or deletes one option.
fn set(container: &mut Container, name: &str, value: Option<&str>) -> Result<(), Refusal> {
    let running = container.run.is_some();
    let effect = effect(name, container.config.contains_key(name));
    if effect == Effect::Never && container.config.get(name).map(String::as_str) != value {
        return Err(Refusal::died(format!("unable to modify read-only option: '{name}'")));
    }
    let stored = value.map(|value| stored(name, value));
    if let Some(net) = stored.as_deref().filter(|_| running && name.starts_with("net")) {
        check_hotplug(name, &NetOption::parse(net))?;
    }
    if running && effect == Effect::NextStart {
        container.pending.insert(name.to_owned(), stored);
        return Ok(());
    }
    container.pending.remove(name);
    match stored {
        Some(value) => container.config.insert(name.to_owned(), value),
        None => container.config.remove(name),
    };
    Ok(())
}

fn check_hotplug(name: &str, net: &NetOption) -> Result<(), Refusal> {
    match net.get("bridge").filter(|bridge| !BRIDGES.contains(bridge)) {
        Some(bridge) => {
            let text = format!("unable to hotplug {name}: bridge '{bridge}' does not exist\n");
            Err(Refusal::parameter(name, text))
        }
        None => Ok(()),
    }
}
