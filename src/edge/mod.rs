//! The public names of a server: what is wanted, what is there, and what has to change.
//!
//! Everything here is pure. Both sides are normalised before they are compared, records are compared as multisets by
//! name and type, and only what is ours is ever changed ([`judge`]): records of others are reported. The
//! caller guarantees a complete listing; a failed or partial one is an observation error and never gets here.
//! What a server has at the edge is planned as a [`Publication`] and stored as an [`EdgeRecord`]; an operator's request to
//! change it is a [`PublishRequest`]. What the proxy reports on a server is kept by [`ProxyRecord`]; games without a proxy
//! have their ports in the [`TraefikDocument`]. Not here: publishing (`publishing`), reading and writing zones and
//! proxies (`ports`, `adapters`).

mod compare;
mod error;
mod judgement;
mod orphan;
mod overall;
mod owner_mark;
mod port_layout;
mod proxy;
mod proxy_status;
mod publication;
mod publish_request;
mod record;
mod state;
mod summary;
mod traefik;
mod wanted;

#[cfg(test)]
mod tests;

pub use crate::kernel::Target;
pub use compare::{Conflict, Drift, RecordVerdict, compare};
pub use error::EdgeError;
pub use judgement::{Judgement, describe, judge};
pub use orphan::{Doubt, orphans, owner_of};
pub use owner_mark::{OwnerMark, Ownership};
pub use port_layout::{PortLayout, listening_ports, needs_port, port_layout};
pub use proxy::{ProxyChange, ProxyDrift, ProxyIndex, ProxyVerdict, Registration, compare_proxy, left_behind};
pub use proxy_status::{
    CallbackNote, KEY as PROXY_KEY, ListingNote, PingNote, ProxyEvent, ProxyRecord, ProxyStatus, Receipt,
    TRUST as PROXY_TRUST,
};
pub use publication::{EdgePolicy, PortRoute, Publication, PublishedWorkload, ServerFacts, plan};
pub use publish_request::{PUBLISH_REQUEST_KEY, PublishRequest};
pub use record::{EDGE_KEY, EdgeRecord, TargetRecord};
pub use state::{EdgeState, Intent, PingState, ProxyPresence, TargetState};
pub use summary::{EdgeSummary, TargetSummary};
pub use traefik::{Collision, TraefikDocument, TraefikRoute, Transport};
pub use wanted::{NotPublishable, PublicAddress, PublicRecord, WantedRecord, records_of};
