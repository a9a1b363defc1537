//! Why the simulated world does not start or does not keep its state.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error of the world itself; peers answer errors on their wire instead.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A listener could not be opened.
    #[error("the simulated {peer} cannot listen on {address}")]
    Bind {
        /// The peer, or `control`.
        peer: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state file could not be read.
    #[error("the simulator's state file {} cannot be read", path.display())]
    ReadState {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state file exists, but does not hold the state of a simulator.
    #[error("the simulator's state file {} is damaged; move it away to start with an empty world", path.display())]
    DamagedState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A peer's part of the state file cannot be read.
    #[error("the saved state of the simulated {peer} is damaged")]
    DamagedPeer {
        /// The peer.
        peer: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The state file could not be written.
    #[error("the simulator's state file {} cannot be written", path.display())]
    WriteState {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A built-in certificate cannot be used.
    #[error("the built-in certificate of the simulated {peer} cannot be used")]
    Certificate {
        /// The peer.
        peer: &'static str,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A file that is built into the program cannot be read.
    #[error("the built-in Proxmox schema is damaged")]
    Schema(#[source] serde_json::Error),
}
