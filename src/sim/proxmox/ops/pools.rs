//! `/pools`.

use serde_json::{Value, json};

use super::super::Proxmox;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::view;

impl Proxmox {
    /// The pools that the caller may see.
    pub(super) fn pool_list(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let may_see = |pool: &str| cluster.may(&call.token, &format!("/pool/{pool}"), &["Pool.Audit"]);
        let wanted = call.params.get("poolid");
        let pools =
            cluster.pools.iter().filter(|(pool, _)| may_see(pool) && wanted.is_none_or(|wanted| wanted == *pool));
        json!(pools.map(|(pool, comment)| json!({"poolid": pool, "comment": comment})).collect::<Vec<_>>()).into()
    }

    /// One pool and its members.
    pub(super) fn pool(&self, call: &Call) -> Result<Answer, Refusal> {
        let pool = call.params.text("poolid");
        let cluster = self.cluster();
        cluster.demand(&call.token, &format!("/pool/{pool}"), &["Pool.Audit"])?;
        let comment = cluster.pools.get(pool).ok_or_else(|| Refusal::died(format!("pool '{pool}' does not exist")))?;
        let members = cluster.containers.values().filter(|ct| ct.pool.as_deref() == Some(pool));
        let mut members: Vec<Value> = members.map(|container| view::resource(container, &cluster)).collect();
        let guests = cluster.qemu.iter().filter(|(_, guest)| guest.pool.as_deref() == Some(pool));
        let online = |node: &str| cluster.nodes.get(node).is_some_and(|node| node.online);
        members.extend(guests.map(|(vmid, guest)| guest.resource(*vmid, online(&guest.node))));
        Ok(json!({"comment": comment, "members": members}).into())
    }

    /// Adds containers to a pool or removes them.
    pub(super) fn pool_update(&self, call: &Call) -> Result<Answer, Refusal> {
        let pool = call.params.text("poolid");
        let numbers = call.params.get("vms").unwrap_or_default().split([',', ';', ' ']);
        let vmids: Vec<u32> = numbers.filter_map(|text| text.parse().ok()).collect();
        self.change(|cluster| {
            cluster.demand(&call.token, &format!("/pool/{pool}"), &["Pool.Allocate"])?;
            if !cluster.pools.contains_key(pool) {
                return Err(Refusal::died(format!("pool '{pool}' does not exist")));
            }
            for vmid in vmids {
                let container = cluster.containers.get_mut(&vmid);
                let container = container.ok_or_else(|| Refusal::died(format!("VM {vmid} does not exist")))?;
                match (call.params.flag("delete"), container.pool.as_deref()) {
                    (true, Some(member)) if member == pool => container.pool = None,
                    (true, _) => return Err(Refusal::died(format!("VM {vmid} is not a pool member"))),
                    (false, Some(other)) if other != pool && !call.params.flag("allow-move") => {
                        return Err(Refusal::died(format!("VM {vmid} belongs already to pool '{other}'")));
                    }
                    (false, _) => container.pool = Some(pool.to_owned()),
                }
            }
            Ok(Value::Null.into())
        })
    }
}
