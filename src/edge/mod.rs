//! The public names of a server: what is wanted, what is there, and what has to change.
//!
//! Everything here is pure. Both sides are normalised before they are compared, records are compared as multisets by
//! name and type, and only what carries our mark is ever deleted: a record that somebody else made is reported and left
//! alone. The caller guarantees a complete listing; a failed or short one is an observation error and never gets here.
//! What a server has at the edge is planned as a [`Publication`] and remembered as an [`EdgeRecord`]; what operators want of
//! it is a [`Wish`].
//! The proxy's own word on a server is kept by [`ProxyRecord`]; games without a proxy have their ports in the
//! [`TraefikDocument`]. Not here: doing it (`publishing`), reading and writing zones and
//! proxies (`ports`, `adapters`).

mod compare;
mod error;
mod orphan;
mod owner_mark;
mod proxy;
mod proxy_status;
mod publication;
mod publish_request;
mod record;
mod state;
mod traefik;
mod wanted;

#[cfg(test)]
mod tests;

pub use crate::kernel::Target;
pub use compare::{Conflict, Drift, Verdict, compare};
pub use error::EdgeError;
pub use orphan::{Doubt, orphans, owner_of};
pub use owner_mark::Owner;
pub use proxy::{ProxyChange, ProxyDrift, ProxyVerdict, Registration, compare_proxy};
pub use proxy_status::{
    KEY as PROXY_KEY, PingNote, ProxyEvent, ProxyRecord, ProxyStatus, Receipt, Sighting, Sign, TRUST as PROXY_TRUST,
};
pub use publication::{EdgePolicy, PortRoute, Publication, ServerFacts, Workload, listening_port, needs_port, plan};
pub use publish_request::{WISH_KEY, Wish};
pub use record::{EDGE_KEY, EdgeRecord, Intent, TargetRecord, TargetState};
pub use state::{EdgeState, PingState, ProxyPresence};
pub use traefik::{Collision, Route, TraefikDocument, Transport};
pub use wanted::{PublicAddress, PublicRecord, Refused, WantedRecord, records_of};
