//! A server as its owner and operators see it.
//!
//! [`OwnedServer`] finds the server of a request, [`http`] and [`status_view`] answer with what [`view`] shows of it.
//! [`stored_edge`] and [`readiness`] decide whether players can connect, [`quota`] how much an owner may have. Not here: the row
//! (`servers`), what is observed of it (`observe`), making servers (`provision`).

mod api;
pub mod http;
mod owned;
pub mod quota;
pub mod readiness;
pub mod status_view;
pub mod stored_edge;
pub mod view;

pub use api::{Observed, ServersApi};
pub use owned::OwnedServer;
