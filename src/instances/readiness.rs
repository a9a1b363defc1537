//! Whether players can connect to a server, and if not, why. Pure and total; the table is `docs/connection-state.md`.
//!
//! Four observations from four sources are combined: the state the agent reports ([`Readiness`]), the progress of the
//! publication ([`EdgeState`]), the registration at the proxy ([`ProxyPresence`]) and the last ping ([`PingState`]). A
//! server counts as connectable only when all four were observed; that a change was requested is not enough.

use crate::edge::{EdgeState, PingState, ProxyPresence};
use crate::kernel::text_enum;
use crate::observe::facts::Observation;
use crate::observe::status::ServerStatus;
use crate::ports::AgentState;

text_enum! {
    /// Whether the workload of a server serves, from what its agent and the hypervisor report.
    pub enum Readiness {
        /// It serves.
        Ready = "ready",
        /// It is running or being started, and does not serve yet.
        Starting = "starting",
        /// It is being installed.
        Installing = "installing",
        /// It is being stopped.
        Stopping = "stopping",
        /// It is not running.
        Stopped = "stopped",
        /// Nothing is installed.
        NotInstalled = "not_installed",
        /// It ended unexpectedly.
        Crashed = "crashed",
        /// Its agent could not start it.
        Failed = "failed",
        /// It is being deleted.
        Deleting = "deleting",
        /// Not known.
        Unknown = "unknown",
    }
}

impl Readiness {
    /// The readiness that `observation` shows for a server that is not being deleted. An agent that cannot say whether
    /// the workload serves is trusted when it reports that the workload runs.
    pub const fn of(observation: &Observation) -> Self {
        match observation.merged.status {
            ServerStatus::Running => match observation.ready {
                Some(false) => Self::Starting,
                Some(true) | None => Self::Ready,
            },
            ServerStatus::Starting => Self::Starting,
            ServerStatus::Installing => Self::Installing,
            ServerStatus::Stopping => Self::Stopping,
            ServerStatus::Stopped => match observation.merged.workload {
                AgentState::Idle => Self::NotInstalled,
                _ => Self::Stopped,
            },
            ServerStatus::Crashed => Self::Crashed,
            ServerStatus::Error => Self::Failed,
            ServerStatus::Unknown => Self::Unknown,
        }
    }
}

text_enum! {
    /// Whether players can connect, best state first.
    pub enum ConnectionState {
        /// Players can connect.
        Connectable = "connectable",
        /// Most players can connect.
        Degraded = "degraded",
        /// Not known right now.
        Unknown = "unknown",
        /// The server is coming up; no action is needed.
        Starting = "starting",
        /// The server is running but players cannot reach it.
        Unreachable = "unreachable",
        /// The server is not running.
        Offline = "offline",
        /// The server is not running and will not restart automatically.
        Failed = "failed",
    }
}

text_enum! {
    /// Why a connection is in its state.
    pub enum ConnectionReason {
        /// The workload is starting.
        ServerStarting = "server_starting",
        /// The workload is being installed.
        ServerInstalling = "server_installing",
        /// The workload is stopping.
        ServerStopping = "server_stopping",
        /// The workload is stopped.
        ServerStopped = "server_stopped",
        /// Nothing is installed.
        ServerNotInstalled = "server_not_installed",
        /// The workload crashed.
        ServerCrashed = "server_crashed",
        /// The agent could not start the workload.
        ServerFailed = "server_failed",
        /// The server is being deleted.
        ServerDeleting = "server_deleting",
        /// The server was not observed lately.
        ServerNotSeen = "server_not_seen",
        /// No public name was published.
        AddressNotPublished = "address_not_published",
        /// Publishing is in progress.
        AddressPublishing = "address_publishing",
        /// Some targets do not have the public name yet.
        AddressIncomplete = "address_incomplete",
        /// Publishing needs an operator.
        AddressFailed = "address_failed",
        /// The public name is being removed.
        AddressWithdrawn = "address_withdrawn",
        /// The proxy does not know the server.
        ProxyNotRegistered = "proxy_not_registered",
        /// Whether the proxy knows the server is not known.
        ProxyNotSeen = "proxy_not_seen",
        /// The server did not answer a ping.
        PingFailed = "ping_failed",
        /// The server does not answer status pings.
        PingHidden = "ping_hidden",
        /// The server was not pinged lately.
        PingPending = "ping_pending",
    }
}

impl ConnectionReason {
    /// The reason as a sentence for a customer.
    pub const fn message(self) -> &'static str {
        match self {
            Self::ServerStarting => "The server is starting.",
            Self::ServerInstalling => "The server is being installed.",
            Self::ServerStopping => "The server is stopping.",
            Self::ServerStopped => "The server is off. Start it to let players in.",
            Self::ServerNotInstalled => "Nothing is installed on the server yet.",
            Self::ServerCrashed => "The server crashed and is restarting automatically.",
            Self::ServerFailed => "The server could not be started. Its console shows the reason.",
            Self::ServerDeleting => "The server is being deleted.",
            Self::ServerNotSeen => "The server has not responded for a while.",
            Self::AddressNotPublished => "The server's address is not published yet.",
            Self::AddressPublishing => "The server's address is being published.",
            Self::AddressIncomplete => {
                "The server's address is not published everywhere yet. Some players may not find it."
            }
            Self::AddressFailed => {
                "The server's address could not be published. We have been notified and are investigating."
            }
            Self::AddressWithdrawn => "The server's address is being removed.",
            Self::ProxyNotRegistered => "Players cannot be routed to the server right now. A fix is in progress.",
            Self::ProxyNotSeen => "We are checking that players are routed to the server.",
            Self::PingFailed => "The server is running but does not respond yet.",
            Self::PingHidden => "The server hides its status in the server list. Players can still connect.",
            Self::PingPending => "We are checking that the server responds.",
        }
    }
}

/// Whether players can connect to a server, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The worst state that any observation implies.
    pub state: ConnectionState,
    /// The reasons, from the server outwards to the player; empty when nothing is wrong.
    pub reasons: Vec<ConnectionReason>,
}

impl Connection {
    /// Nothing has been found in the way.
    const fn open() -> Self {
        Self { state: ConnectionState::Connectable, reasons: Vec::new() }
    }

    fn because(mut self, state: ConnectionState, reason: ConnectionReason) -> Self {
        self.state = self.state.max(state);
        self.reasons.push(reason);
        self
    }
}

/// Combines the four observations.
pub fn connection(readiness: Readiness, edge: EdgeState, proxy: ProxyPresence, ping: PingState) -> Connection {
    use ConnectionReason as Why;
    use ConnectionState as State;

    let stands = |state, why| Connection::open().because(state, why);
    let begun = match readiness {
        Readiness::Ready => Connection::open(),
        // A server that answers a player's ping serves, whatever the agent reports.
        Readiness::Unknown if matches!(ping, PingState::Answered) => Connection::open(),
        Readiness::Unknown => stands(State::Unknown, Why::ServerNotSeen),
        // While the workload does not serve, the other observations do not matter.
        Readiness::Starting => return stands(State::Starting, Why::ServerStarting),
        Readiness::Installing => return stands(State::Starting, Why::ServerInstalling),
        Readiness::Stopping => return stands(State::Offline, Why::ServerStopping),
        Readiness::Stopped => return stands(State::Offline, Why::ServerStopped),
        Readiness::NotInstalled => return stands(State::Offline, Why::ServerNotInstalled),
        Readiness::Crashed => return stands(State::Offline, Why::ServerCrashed),
        Readiness::Failed => return stands(State::Failed, Why::ServerFailed),
        Readiness::Deleting => return stands(State::Offline, Why::ServerDeleting),
    };
    // While the name is not published, proxy and ping are not considered: they depend on it.
    let published = match edge {
        EdgeState::Published => begun,
        EdgeState::Degraded => begun.because(State::Degraded, Why::AddressIncomplete),
        EdgeState::NotPublished => return begun.because(State::Unreachable, Why::AddressNotPublished),
        EdgeState::Failed => return begun.because(State::Unreachable, Why::AddressFailed),
        EdgeState::Unpublishing => return begun.because(State::Unreachable, Why::AddressWithdrawn),
        // If players already reach the server, this is a change of its publication; otherwise it is the first one.
        EdgeState::Publishing if is_reached(proxy, ping) => begun.because(State::Degraded, Why::AddressPublishing),
        EdgeState::Publishing => return begun.because(State::Starting, Why::AddressPublishing),
    };
    let registered = match proxy {
        ProxyPresence::Registered | ProxyPresence::NotNeeded => published,
        ProxyPresence::NotRegistered => published.because(State::Unreachable, Why::ProxyNotRegistered),
        ProxyPresence::Unknown => published.because(State::Unknown, Why::ProxyNotSeen),
    };
    match ping {
        PingState::Answered | PingState::NotNeeded => registered,
        PingState::Silent => registered.because(State::Connectable, Why::PingHidden),
        PingState::Failed => registered.because(State::Unreachable, Why::PingFailed),
        PingState::Unknown => registered.because(State::Unknown, Why::PingPending),
    }
}

const fn is_reached(proxy: ProxyPresence, ping: PingState) -> bool {
    matches!(proxy, ProxyPresence::Registered | ProxyPresence::NotNeeded)
        && matches!(ping, PingState::Answered | PingState::Silent | PingState::NotNeeded)
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
