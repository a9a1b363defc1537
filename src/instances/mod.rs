//! A server as its owner and operators see it.
//!
//! [`OwnedServer`] finds the server that a request names. [`http`] and [`status_view`] answer with the views of
//! [`view`]. [`stored_edge`] and [`readiness`] decide whether players can connect; [`quota`] decides how much an owner
//! may have. Elsewhere: the row (`servers`), the observations (`observe`), creating a server (`provision`).

mod api;
pub mod http;
mod owned;
pub mod pending;
pub mod quota;
pub mod readiness;
pub mod status_view;
pub mod stored_edge;
pub mod view;

pub use api::{Observed, ServersApi};
pub use owned::OwnedServer;
