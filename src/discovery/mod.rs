//! What the edge asks of us: the servers the proxy should know, its callbacks, and Traefik's routes.
//!
//! Documents are made from our own rows for each request and carry an entity tag; when the rows cannot be read the answer
//! is 503, never an empty document, which would take every server off the air.

mod callback;
mod document;
pub mod http;

pub use callback::{ProxyCallback, receive};
pub use document::{DesiredServer, DesiredServers};
