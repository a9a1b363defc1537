//! Opens the listening port of a role.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, bail};

/// Listens on `address`. If the port is taken, the error names `chosen_by`, the setting or flag that selects another.
pub(super) fn listen(address: SocketAddr, chosen_by: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {} is taken; choose another with {chosen_by}", address.port())
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot listen on {address}; choose another with {chosen_by}"))
        }
    }
}
