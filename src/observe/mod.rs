//! Observations of servers: agent state, container power, registration at the proxy, answers to pings.
//!
//! [`poller`] polls agents and the hypervisor, [`live`] keeps the answers in Redis, [`facts`] decides what they mean at
//! a given time, and [`status`] merges them into one status. [`proxy_watch`] lists the proxy and pings game servers,
//! and stores the results in the servers' payloads. [`router_polls`] keeps the last poll of Traefik. `pace` decides how
//! often a server is asked, `lanes` how many are asked at a time. Elsewhere: the rows (`servers`) and what owners see
//! (`instances`).

pub mod facts;
mod lanes;
pub mod live;
mod pace;
pub mod poller;
pub mod proxy_watch;
pub mod router_polls;
pub mod status;
