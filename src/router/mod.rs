//! All routes in one table, and the HTTP server built from it.
//!
//! `table.rs` has one line per route: method, path, principal, rate class, handler. The guard of a route identifies the
//! caller, refuses those whom the principal does not admit, and only then runs the handler. The OpenAPI document and
//! the test of the authorization matrix are built from the same lines. How to add a route:
//! `docs/adding-an-endpoint.md`.

mod apis;
mod connection;
mod docs;
mod guard;
mod health;
mod metrics;
mod mount;
mod openapi;
mod parts;
mod principal;
mod route;
mod server;
mod table;

pub use apis::Apis;
pub use connection::ConnectionDeadlines;
pub use health::{DatabaseProbe, HealthApi, Probe};
pub use metrics::{MetricsApi, serve_metrics};
pub use openapi::openapi;
pub use parts::{Allowances, Credentials, Parts};
pub use principal::{Admission, Principal};
pub use route::{
    DocumentedResponse, Parameter, Route, SchemaRef, delete, get, options, patch, patch_json, post, post_json, put,
    put_json,
};
pub use server::{ServeOptions, app, serve};
pub use table::routes;
