//! Virtual machines beside the containers. They have a place in the list of the cluster and take numbers; nothing else of them
//! is simulated.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One virtual machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuGuest {
    /// The node that has its configuration.
    pub node: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether it runs.
    #[serde(default)]
    pub running: bool,
    /// Its pool.
    #[serde(default)]
    pub pool: Option<String>,
}

impl QemuGuest {
    /// The row of `/cluster/resources`.
    pub fn resource(&self, vmid: u32, online: bool) -> Value {
        let status = match (online, self.running) {
            (false, _) => "unknown",
            (true, true) => "running",
            (true, false) => "stopped",
        };
        let mut row = Map::from_iter([
            ("id".to_owned(), json!(format!("qemu/{vmid}"))),
            ("vmid".to_owned(), json!(vmid)),
            ("node".to_owned(), json!(self.node)),
            ("type".to_owned(), json!("qemu")),
            ("status".to_owned(), json!(status)),
        ]);
        if online {
            row.insert("name".to_owned(), json!(self.name));
            row.insert("template".to_owned(), json!(0));
            row.insert("maxcpu".to_owned(), json!(1));
            row.insert("maxmem".to_owned(), json!(512 << 20));
        }
        if let Some(pool) = &self.pool {
            row.insert("pool".to_owned(), json!(pool));
        }
        Value::Object(row)
    }
}
