//! The levers a test has on the proxy: `POST /sim/velocity`.

use serde::{Deserialize, Serialize};

use crate::kernel::text_enum;

text_enum! {
    /// Who answers a status request at the proxy (`ping-passthrough` of velocity.toml).
    pub enum PingMode {
        /// The proxy itself, which proves nothing about the server behind it.
        Proxy = "proxy",
        /// The server behind it; the proxy when that does not answer.
        Passthrough = "passthrough",
    }
}

text_enum! {
    /// Which bridge is installed in the proxy.
    pub enum Bridge {
        /// `GET /zpack/status` with boot id and addresses, and `GET /zpack/list`.
        Current = "current",
        /// Only `GET /zpack/list`, which tells names and demands no secret.
        Older = "older",
        /// Neither.
        Bare = "bare",
    }
}

/// What is to be changed; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Levers {
    /// Who answers a status request.
    pub ping: Option<PingMode>,
    /// Which bridge is installed.
    pub bridge: Option<Bridge>,
    /// The secrets the bridge accepts; two while they are rotated.
    pub secrets: Option<Vec<String>>,
}
