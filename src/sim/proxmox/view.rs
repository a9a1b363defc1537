//! Containers as the API shows them.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::model::{Cluster, Container};
use super::profile::PveProfile;
use crate::kernel::Timestamp;
use crate::sim::network::Network;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// The row of `/sim/state`.
pub fn ledger_row(container: &Container) -> Value {
    json!({
        "vmid": container.vmid,
        "node": container.node,
        "status": if container.run.is_some() { "running" } else { "stopped" },
        "name": container.hostname(),
        "hostname": container.hostname(),
        "description": container.config.get("description"),
        "lock": container.lock,
        "template": container.is_template(),
        "memory": container.memory(),
        "cores": container.number("cores"),
        "net0": container.config.get("net0"),
        "tags": container.config.get("tags"),
        "pool": container.pool,
        "address": container.address(),
        "createdAt": container.created_at,
        "incarnation": container.incarnation,
        "snapshots": container.snapshots.iter().map(|snapshot| &snapshot.name).collect::<Vec<_>>(),
        "pending": container.pending,
        "config": container.config,
    })
}

/// The row of `status/current` and, with `list`, of the node's container list.
pub fn status(container: &Container, now: Timestamp, profile: PveProfile, list: bool) -> Value {
    let running = container.run.as_ref();
    let uptime = running.map_or(0, |run| now.since(run.since).as_secs());
    let memory = container.memory() * MIB;
    let used = if running.is_some() { memory / 4 } else { 0 };
    let text_vmid = list && !profile.list_has_numeric_vmid();
    let mut row = Map::from_iter([
        ("vmid".to_owned(), if text_vmid { json!(container.vmid.to_string()) } else { json!(container.vmid) }),
        ("type".to_owned(), json!("lxc")),
        ("status".to_owned(), json!(if running.is_some() { "running" } else { "stopped" })),
        ("name".to_owned(), json!(container.hostname())),
        ("uptime".to_owned(), json!(uptime)),
        ("cpu".to_owned(), if uptime > 0 { json!(0.0123) } else { json!(0) }),
        ("cpus".to_owned(), loose(container.config.get("cores").map_or("1", String::as_str), profile)),
        ("mem".to_owned(), json!(used)),
        ("maxmem".to_owned(), json!(memory)),
        ("swap".to_owned(), json!(0)),
        ("maxswap".to_owned(), json!(container.number("swap").unwrap_or(512) * MIB)),
        ("disk".to_owned(), json!(if running.is_some() { GIB } else { 0 })),
        ("maxdisk".to_owned(), json!(container.root_size_gib() * GIB)),
        ("netin".to_owned(), json!(uptime * 100)),
        ("netout".to_owned(), json!(uptime * 120)),
        ("diskread".to_owned(), json!(0)),
        ("diskwrite".to_owned(), json!(0)),
    ]);
    if !list {
        let ha = if container.ha {
            json!({"managed": 1, "state": if running.is_some() { "started" } else { "stopped" }})
        } else {
            json!({"managed": 0})
        };
        row.insert("ha".to_owned(), ha);
    }
    if let Some(run) = running {
        row.insert("pid".to_owned(), json!(4000 + run.boot));
        if profile.unprivileged_by_default() {
            row.insert("pressurecpusome".to_owned(), json!("0.00"));
            row.insert("pressurememorysome".to_owned(), json!("0.00"));
        }
    }
    for (key, value) in [("tags", container.config.get("tags")), ("lock", container.lock.as_ref())] {
        if let Some(value) = value {
            row.insert(key.to_owned(), json!(value));
        }
    }
    if container.is_template() {
        row.insert("template".to_owned(), json!(1));
    }
    Value::Object(row)
}

/// The row of `/cluster/resources`: placement, lock and tags are current, the rest is what was broadcast last.
pub fn resource(container: &Container, cluster: &Cluster) -> Value {
    let online = cluster.nodes.get(&container.node).is_some_and(|node| node.online);
    let known = cluster.broadcast.get(&container.vmid).filter(|row| online && row.incarnation == container.incarnation);
    let mut row = Map::from_iter([
        ("id".to_owned(), json!(format!("lxc/{}", container.vmid))),
        ("vmid".to_owned(), json!(container.vmid)),
        ("node".to_owned(), json!(container.node)),
        ("type".to_owned(), json!("lxc")),
        ("status".to_owned(), json!("unknown")),
    ]);
    if let Some(known) = known {
        row.insert("status".to_owned(), json!(if known.running { "running" } else { "stopped" }));
        row.insert("name".to_owned(), json!(known.name));
        row.insert("template".to_owned(), json!(u8::from(known.template)));
        row.insert("uptime".to_owned(), json!(known.uptime));
        row.insert("maxcpu".to_owned(), json!(container.number("cores").unwrap_or(1)));
        row.insert("cpu".to_owned(), json!(0));
        row.insert("maxmem".to_owned(), json!(container.memory() * MIB));
        row.insert("mem".to_owned(), json!(if known.running { container.memory() * MIB / 4 } else { 0 }));
        row.insert("maxdisk".to_owned(), json!(container.root_size_gib() * GIB));
        row.insert("disk".to_owned(), json!(if known.running { GIB } else { 0 }));
    }
    let fresh =
        [("pool", container.pool.as_ref()), ("tags", container.config.get("tags")), ("lock", container.lock.as_ref())];
    for (key, value) in fresh {
        if let Some(value) = value {
            row.insert(key.to_owned(), json!(value));
        }
    }
    if container.ha {
        row.insert("hastate".to_owned(), json!(if container.run.is_some() { "started" } else { "stopped" }));
    }
    Value::Object(row)
}

/// The configuration as the API returns it; `current` leaves pending changes out.
pub fn config(container: &Container, current: bool, profile: PveProfile) -> Value {
    let mut options = container.clone();
    if !current {
        options.apply_pending();
    }
    // While a container is being destroyed (PVE::LXC::destroy_lxc_container), and before a clone has written the rest
    // (PVE::LXC::Config::create_and_lock_config), the configuration is nothing but the lock.
    if container.lock.as_deref() == Some("destroyed") || container.reserved {
        options.config.clear();
    }
    let options = options.config.iter().map(|(key, value)| (key.clone(), option(key, value, profile)));
    let mut row: Map<String, Value> = options.collect();
    row.insert("digest".to_owned(), json!(digest(container)));
    if let Some(lock) = &container.lock {
        row.insert("lock".to_owned(), json!(lock));
    }
    Value::Object(row)
}

fn option(key: &str, value: &str, profile: PveProfile) -> Value {
    match key {
        "description" => json!(format!("{}\n", value.trim_end_matches('\n'))),
        "hostname" | "tags" | "searchdomain" | "nameserver" => json!(value),
        _ => loose(value, profile),
    }
}

/// Whole numbers are numbers in newer releases and text in older ones.
fn loose(value: &str, profile: PveProfile) -> Value {
    match value.parse::<i64>() {
        Ok(number) if profile.error_text_in_body() => json!(number),
        Ok(_) | Err(_) => json!(value),
    }
}

/// The digest of the configuration: 40 hexadecimal digits that change with every option.
pub fn digest(container: &Container) -> String {
    let mut hash = Sha256::new();
    for (key, value) in &container.config {
        hash.update(format!("{key}: {value}\n"));
    }
    hash.update(format!("lock: {:?}\npending: {:?}", container.lock, container.pending));
    hex::encode(hash.finalize()).chars().take(40).collect()
}

/// The network interfaces; none for a stopped container. As in a template with Docker on a network that announces an IPv6
/// prefix: the bridge of Docker has an address from the start, and the interface an IPv6 address before DHCP answers. Both are
/// addresses for documentation, where no machine is.
pub fn interfaces(container: &Container, profile: PveProfile) -> Value {
    let Some(run) = &container.run else { return Value::Null };
    let loopback = address_row("lo", "00:00:00:00:00:00", &[("127.0.0.1", 8), ("::1", 128)], profile);
    let Some(net) = container.net0() else { return json!([loopback]) };
    let mac = net.get("hwaddr").unwrap_or_default().to_ascii_lowercase();
    let name = net.get("name").unwrap_or("eth0").to_owned();
    let address = container.address().filter(|_| run.addressed).map(|address| address.to_string());
    let prefix = net.get("ip").and_then(|ip| ip.split_once('/')).and_then(|(_, prefix)| prefix.parse().ok());
    let mut addresses = vec![("fe80::be24:11ff:fe00:1", 64), ("2001:db8:6:4:be24:11ff:fe00:1", 64)];
    if let Some(address) = &address {
        addresses.push((address.as_str(), prefix.unwrap_or(Network::PREFIX)));
    }
    let docker = address_row("docker0", "02:42:5f:1a:9c:3e", &[("192.0.2.1", 16)], profile);
    json!([loopback, address_row(&name, &mac, &addresses, profile), docker])
}

fn address_row(name: &str, mac: &str, addresses: &[(&str, u8)], profile: PveProfile) -> Value {
    let mut row = json!({"name": name, "hwaddr": mac});
    let Some(fields) = row.as_object_mut() else { return row };
    for (address, prefix) in addresses {
        let key = if address.contains(':') { "inet6" } else { "inet" };
        fields.insert(key.to_owned(), json!(format!("{address}/{prefix}")));
    }
    if profile.lists_all_addresses() {
        let kind = |address: &str| if address.contains(':') { "inet6" } else { "inet" };
        let rows = addresses.iter().map(|(address, prefix)| {
            json!({"ip-address": address, "ip-address-type": kind(address), "prefix": prefix.to_string()})
        });
        fields.insert("ip-addresses".to_owned(), rows.collect());
        fields.insert("hardware-address".to_owned(), json!(mac));
    }
    row
}
