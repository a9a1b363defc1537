//! What is observed of servers: the state of agents, the power of containers, the proxy and what answers a ping.
//!
//! [`poller`] asks agents and hypervisor, [`live`] keeps their answers in Redis, [`facts`] decides what they mean at a given
//! moment, and [`status`] merges them into one status. [`proxy_watch`] asks the proxy and the game servers, and keeps what
//! it learns in the payloads of the rows. What zpack wants of a server is in `servers`, what its owner sees in `instances`.

pub mod facts;
pub mod live;
pub mod poller;
pub mod proxy_watch;
pub mod status;
