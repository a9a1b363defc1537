//! What the edge requests from zpack: the servers that the proxy should register, its callbacks, and Traefik's routes.
//!
//! Documents are generated from our own rows for each request and carry an entity tag. When a row cannot be read, the
//! answer is 503, never an incomplete document, which would unpublish servers.

mod callback;
mod document;
pub mod http;

pub use callback::{ProxyCallback, receive};
pub use document::{DesiredServer, DesiredServers};
