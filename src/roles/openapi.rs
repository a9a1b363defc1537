//! `zpack openapi`: the OpenAPI document of the HTTP API, made of the table of routes.

use super::output;
use crate::router;

/// Prints the document.
pub fn run() -> anyhow::Result<()> {
    output::raw(router::openapi().as_bytes())
}
