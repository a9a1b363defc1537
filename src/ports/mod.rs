//! What zpack asks of the world, in its own words: small traits, plain data, typed errors that carry their failure class.
//!
//! Features hold `Arc<dyn …>` of these traits; `adapters` implements them over the wire. No third-party type and no
//! wire text that must be parsed crosses this border; a task or a node is an opaque name here.

mod agent;
mod catalog;
mod dns_zone;
mod game_proxy;
mod hypervisor;
mod status_ping;

pub use agent::{Agent, AgentAssignment, AgentError, AgentReport, AgentState, AgentWorkload, WorkloadAction};
pub use catalog::{CatalogError, CatalogSource, Fetched};
pub use dns_zone::{
    DnsZone, NewRecord, RecordData, RecordId, RecordType, Srv, Ttl, ZoneChange, ZoneError, ZoneHealth, ZoneRecord,
};
pub use game_proxy::{BridgeSecret, GameProxy, ProxyEntry, ProxyError, ProxyListing, Unregistered};
pub use hypervisor::{
    CloneRequest, ContainerConfig, ContainerSettings, ContainerSummary, Hypervisor, HypervisorError, HypervisorVersion,
    Node, NodeName, PowerState, Started, Task, TaskEnd, TaskState,
};
pub use status_ping::{Ping, PingReport, PingTarget, StatusPing};
