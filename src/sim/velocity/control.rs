//! The controls of the proxy for tests: `POST /sim/velocity`.

use serde::{Deserialize, Serialize};

use crate::kernel::text_enum;

text_enum! {
    /// What answers a status request at the proxy (`ping-passthrough` of velocity.toml).
    pub enum PingMode {
        /// The proxy, which proves nothing about the server behind it.
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
        /// Only `GET /zpack/list`, which returns names and needs no secret.
        Older = "older",
        /// Neither.
        Bare = "bare",
    }
}

/// The changes to make; a field that is absent changes nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Levers {
    /// What answers a status request.
    pub ping: Option<PingMode>,
    /// Which bridge is installed.
    pub bridge: Option<Bridge>,
    /// The secrets that the bridge accepts; two during a rotation.
    pub secrets: Option<Vec<String>>,
}
