//! The server of a customer: its row, its VMID and host name, its live agent state.
//!
//! A row is what zpack wants ([`store`]), facts are what was last observed ([`facts`], kept by [`live`], brought by
//! [`poller`]), and [`status`] merges them; [`readiness`] says whether players can connect. Not here: making servers (`provision`) and where they are made (`placement`).

pub mod facts;
pub mod http;
pub mod live;
mod names;
mod owned;
pub mod poller;
pub mod proxy_watch;
pub mod quota;
pub mod reach;
pub mod readiness;
pub mod reservations;
pub mod status;
pub mod status_view;
pub mod store;
pub mod view;

pub use names::{Naming, hostname};
pub use owned::OwnedServer;
