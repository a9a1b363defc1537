//! Whether players can reach a server, and what is in the way. Pure and total; the table is `docs/connection-state.md`.
//!
//! Four observations, each made by somebody else: what the agent says ([`Readiness`]), how far the public names are
//! ([`EdgeState`]), whether the proxy knows the server ([`ProxyPresence`]), and how the last ping went ([`PingState`]).
//! What runs is connectable only when all of it was seen, never because it was asked for.

use crate::edge::{EdgeState, PingState, ProxyPresence};
use crate::kernel::text_enum;
use crate::observe::facts::Observation;
use crate::observe::status::ServerStatus;

text_enum! {
    /// Whether the workload of a server serves, out of everything its agent and the hypervisor say.
    pub enum Readiness {
        /// It serves.
        Ready = "ready",
        /// It runs or is being started, and does not serve yet.
        Starting = "starting",
        /// It is being installed.
        Installing = "installing",
        /// It is being stopped.
        Stopping = "stopping",
        /// It does not run.
        Stopped = "stopped",
        /// Nothing is installed.
        NotInstalled = "not_installed",
        /// It ended by itself.
        Crashed = "crashed",
        /// Its agent gave up.
        Failed = "failed",
        /// It is being deleted.
        Deleting = "deleting",
        /// It cannot be told.
        Unknown = "unknown",
    }
}

impl Readiness {
    /// What `observation` says of the workload of a server that is to stay. An agent that cannot tell whether it serves is believed when it runs.
    pub const fn of(observation: &Observation) -> Self {
        match observation.merged.status {
            ServerStatus::Running => match observation.ready {
                Some(false) => Self::Starting,
                Some(true) | None => Self::Ready,
            },
            ServerStatus::Starting => Self::Starting,
            ServerStatus::Installing => Self::Installing,
            ServerStatus::Stopping => Self::Stopping,
            ServerStatus::Stopped => Self::Stopped,
            ServerStatus::Idle => Self::NotInstalled,
            ServerStatus::Crashed => Self::Crashed,
            ServerStatus::Error => Self::Failed,
            ServerStatus::Unknown => Self::Unknown,
        }
    }
}

text_enum! {
    /// What a customer is told about reaching a server, the best first.
    pub enum ConnectionState {
        /// Players can connect.
        Connectable = "connectable",
        /// Most players can connect.
        Degraded = "degraded",
        /// It cannot be told right now.
        Unknown = "unknown",
        /// It is on its way and needs nobody's help.
        Starting = "starting",
        /// The server runs and players do not reach it.
        Unreachable = "unreachable",
        /// The server does not run.
        Offline = "offline",
        /// The server does not run and will not by itself.
        Failed = "failed",
    }
}

text_enum! {
    /// Why a connection is as it is.
    pub enum ConnectionReason {
        /// The workload is starting.
        ServerStarting = "server_starting",
        /// The workload is being installed.
        ServerInstalling = "server_installing",
        /// The workload is stopping.
        ServerStopping = "server_stopping",
        /// The workload is off.
        ServerStopped = "server_stopped",
        /// Nothing is installed.
        ServerNotInstalled = "server_not_installed",
        /// The workload crashed.
        ServerCrashed = "server_crashed",
        /// The agent gave up.
        ServerFailed = "server_failed",
        /// The server is being deleted.
        ServerDeleting = "server_deleting",
        /// Nothing is heard of the server.
        ServerNotSeen = "server_not_seen",
        /// No public name was published.
        AddressNotPublished = "address_not_published",
        /// Publishing is under way.
        AddressPublishing = "address_publishing",
        /// Some targets lack the public name.
        AddressIncomplete = "address_incomplete",
        /// Publishing needs a person.
        AddressFailed = "address_failed",
        /// The public name is being taken back.
        AddressWithdrawn = "address_withdrawn",
        /// The proxy does not know the server.
        ProxyNotRegistered = "proxy_not_registered",
        /// It is not known whether the proxy does.
        ProxyNotSeen = "proxy_not_seen",
        /// The server did not answer a ping.
        PingFailed = "ping_failed",
        /// The server hides its status.
        PingHidden = "ping_hidden",
        /// Nobody pinged the server lately.
        PingPending = "ping_pending",
    }
}

impl ConnectionReason {
    /// The reason in words for a customer.
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

/// Whether players can reach a server, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The worst that any observation says.
    pub state: ConnectionState,
    /// What stands out, in the order of a player's way back from the server; empty when all is well.
    pub reasons: Vec<ConnectionReason>,
}

impl Connection {
    /// Nothing is in the way so far.
    const fn open() -> Self {
        Self { state: ConnectionState::Connectable, reasons: Vec::new() }
    }

    fn because(mut self, state: ConnectionState, reason: ConnectionReason) -> Self {
        self.state = self.state.max(state);
        self.reasons.push(reason);
        self
    }
}

/// What the four observations say together.
pub fn connection(readiness: Readiness, edge: EdgeState, proxy: ProxyPresence, ping: PingState) -> Connection {
    use ConnectionReason as Why;
    use ConnectionState as State;

    let stands = |state, why| Connection::open().because(state, why);
    let begun = match readiness {
        Readiness::Ready => Connection::open(),
        // Who answers a player's ping serves, whatever was heard of the agent.
        Readiness::Unknown if matches!(ping, PingState::Answered) => Connection::open(),
        Readiness::Unknown => stands(State::Unknown, Why::ServerNotSeen),
        // While nothing serves, nothing else matters.
        Readiness::Starting => return stands(State::Starting, Why::ServerStarting),
        Readiness::Installing => return stands(State::Starting, Why::ServerInstalling),
        Readiness::Stopping => return stands(State::Offline, Why::ServerStopping),
        Readiness::Stopped => return stands(State::Offline, Why::ServerStopped),
        Readiness::NotInstalled => return stands(State::Offline, Why::ServerNotInstalled),
        Readiness::Crashed => return stands(State::Offline, Why::ServerCrashed),
        Readiness::Failed => return stands(State::Failed, Why::ServerFailed),
        Readiness::Deleting => return stands(State::Offline, Why::ServerDeleting),
    };
    // What is behind a name that is not out is not looked at: it follows from it.
    let published = match edge {
        EdgeState::Published => begun,
        EdgeState::Degraded => begun.because(State::Degraded, Why::AddressIncomplete),
        EdgeState::NotPublished => return begun.because(State::Unreachable, Why::AddressNotPublished),
        EdgeState::Failed => return begun.because(State::Unreachable, Why::AddressFailed),
        EdgeState::Unpublishing => return begun.because(State::Unreachable, Why::AddressWithdrawn),
        // A server that players reach is published anew; the others for the first time.
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
