//! Rows of servers, for tests without provisioning.

use zpack::db::entities::instance::{InstanceKind, Lifecycle, Model};
use zpack::kernel::{InstanceId, OperationId, Timestamp, UserId, VmId};
use zpack::servers::{Naming, hostname, payload};

/// Minecraft server `number` of a new owner, as provisioning would have recorded it at `now`.
pub fn server(number: i64, now: Timestamp) -> Model {
    let vmid = VmId::new(number).unwrap();
    Model {
        id: InstanceId::generate(),
        vmid,
        hostname: hostname(Naming::Minecraft { variant: "paper" }, vmid),
        user_id: UserId::generate(),
        operation_id: OperationId::generate(),
        kind: InstanceKind::Game,
        name: format!("server {number}"),
        software: "minecraft".to_owned(),
        variant: Some("paper".to_owned()),
        version: "1.21.1".to_owned(),
        memory_mib: 2048,
        cpu_cores: 2,
        node: "pve1".to_owned(),
        address: "127.0.0.9".to_owned(),
        lifecycle: Lifecycle::Active,
        generation: 1,
        payload: payload::EMPTY.to_owned(),
        edge_due_at: None,
        resume: false,
        revision: 0,
        created_at: now,
        updated_at: now,
    }
}
