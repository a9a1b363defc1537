//! `zpack openapi`: the OpenAPI document of the HTTP API, generated from the route table.

use super::output;
use crate::router;

/// Prints the document.
pub fn run() -> anyhow::Result<()> {
    output::raw(router::openapi().as_bytes())
}
