//! The interfaces to peers: small traits, plain data, and typed errors with their failure class.
//!
//! Features hold `Arc<dyn …>` of these traits; `adapters` implements them over the network. No third-party type and no
//! text that has to be parsed passes through these interfaces; the id of a task and the name of a node are opaque.

mod agent;
mod catalog;
mod dns_zone;
mod game_proxy;
mod hypervisor;
mod preflight;
mod router_polls;
mod status_ping;

pub use agent::{Agent, AgentAssignment, AgentError, AgentReport, AgentState, AgentWorkload, WorkloadAction};
pub use catalog::{CatalogError, CatalogSource, Fetched};
pub use dns_zone::{
    DnsZone, NewRecord, RecordData, RecordId, RecordType, Srv, Ttl, ZoneChange, ZoneError, ZoneHealth, ZoneRecord,
};
pub use game_proxy::{BridgeSecret, GameProxy, ProxyEntry, ProxyError, ProxyListing, Unregistered};
pub use hypervisor::{
    CloneRequest, ContainerConfig, ContainerSettings, ContainerSummary, Hypervisor, HypervisorError, HypervisorVersion,
    Interface, Node, NodeName, PowerState, Started, Task, TaskEnd, TaskFailure, TaskState, Whereabouts,
};
pub use preflight::{Missing, MissingKind, OrderNeeds, Preflight};
pub use router_polls::{RouterPoll, RouterPolls, RouterPollsError, poll_counts};
pub use status_ping::{Ping, PingReport, PingTarget, StatusPing};
