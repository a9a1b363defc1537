//! What the tests of the hypervisor client share.

use std::time::Duration;

use zpack::adapters::proxmox::{Cloning, Deadlines, Endpoint, Proxmox, ProxmoxSettings};
use zpack::adapters::tls::TlsVerify;
use zpack::kernel::{Clock, Reach, Secret, VmId};
use zpack::ports::{CloneRequest, ContainerSettings, NodeName};

pub const TOKEN: &str = "zpack@pve!ctl=00000000-1111-2222-3333-444444444444";

pub fn vmid(number: i64) -> VmId {
    VmId::new(number).unwrap()
}

pub fn pve1() -> NodeName {
    NodeName::new("pve1")
}

/// Timeouts for tests: long enough for a loaded machine, short where a test waits for one to pass.
pub fn deadlines() -> Deadlines {
    Deadlines {
        connect: Duration::from_millis(300),
        read: Duration::from_secs(5),
        remote_read: Duration::from_secs(5),
        change: Duration::from_secs(5),
        cool_down: Duration::from_secs(600),
        task_grace: Duration::from_secs(600),
    }
}

pub fn settings(bases: impl IntoIterator<Item = url::Url>) -> ProxmoxSettings {
    ProxmoxSettings {
        reach: Reach::Loopback,
        endpoints: bases.into_iter().map(|base| Endpoint { base, node: Some(pve1()) }).collect(),
        token: Secret::new(TOKEN).into(),
        tls: TlsVerify::SystemRoots,
        cloning: Cloning::Linked,
        deadlines: deadlines(),
    }
}

pub fn client(base: url::Url) -> Proxmox {
    Proxmox::new(&settings([base]), Clock::System).unwrap()
}

pub fn clone_of(template: i64, number: i64) -> CloneRequest {
    CloneRequest {
        node: pve1(),
        template: vmid(template),
        vmid: vmid(number),
        hostname: format!("mc-paper-{number}").parse().unwrap(),
        description: format!("zpack op_{number}; a+b & c=ü"),
        pool: Some("zpack".to_owned()),
    }
}

pub fn container_settings(number: i64) -> ContainerSettings {
    ContainerSettings {
        hostname: format!("mc-paper-{number}").parse().unwrap(),
        memory_mib: 2048,
        swap_mib: 512,
        cores: 2,
        bridge: "vmbr3".to_owned(),
        mac: "BC:24:11:0A:0B:0C".to_owned(),
        tags: vec!["game".to_owned(), "zpack".to_owned()],
        start_on_boot: true,
        description: format!("zpack op_{number}"),
    }
}
