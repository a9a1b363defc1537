//! Every route in one table, and the HTTP server made of it.
//!
//! `table.rs` has one line per route: method, path, principal, rate class, handler. The guard of a route finds out who
//! calls, refuses whom the principal does not admit, and only then lets the handler run; the OpenAPI document and the
//! authorization matrix test are made of the same lines. How to add one: `docs/adding-an-endpoint.md`.

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
    Answer, Parameter, Route, SchemaRef, delete, get, options, patch, patch_json, post, post_json, put, put_json,
};
pub use server::{ServeOptions, app, serve};
pub use table::routes;
