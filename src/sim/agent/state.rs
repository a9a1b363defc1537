//! The states of a simulated agent and the legal changes between them. Pure; times are in `machine`.

use crate::kernel::text_enum;

text_enum! {
    /// The state of the workload of one container, as on the wire.
    pub enum State {
        /// Nothing is installed, or an install has just ended and the workload is not started.
        Idle = "idle",
        /// A configuration was accepted and is being installed.
        Installing = "installing",
        /// The process was launched and is not ready yet.
        Starting = "starting",
        /// The workload is ready.
        Running = "running",
        /// The process was requested to end.
        Stopping = "stopping",
        /// The process ended as requested.
        Stopped = "stopped",
        /// The process crashed; a restart is due.
        Crashed = "crashed",
        /// An install failed, or the workload crashed too often.
        Error = "error",
    }
}

/// What may happen to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An install begins.
    Install,
    /// The install succeeded.
    Installed,
    /// The install failed.
    InstallFailed,
    /// The process is launched.
    Start,
    /// The process reports that it is ready.
    Started,
    /// The process is requested to end.
    Stop,
    /// The process has ended as requested.
    Exited,
    /// The process is killed, or its container has stopped.
    Kill,
    /// The process crashed.
    Crash,
    /// There were too many crashes for another automatic restart.
    GiveUp,
}

impl State {
    /// The states that end without a request.
    pub const PASSING: &'static [Self] = &[Self::Installing, Self::Starting, Self::Stopping];

    /// The states without a process, in which a stop has nothing to do.
    pub const AT_REST: &'static [Self] = &[Self::Idle, Self::Stopped, Self::Error];

    /// The state after `event`, or `None` when the event is not possible.
    pub const fn after(self, event: Event) -> Option<Self> {
        match event {
            Event::Install => match self {
                Self::Idle | Self::Stopped | Self::Crashed | Self::Error => Some(Self::Installing),
                Self::Installing | Self::Starting | Self::Running | Self::Stopping => None,
            },
            Event::Installed => self.only_from(Self::Installing, Self::Idle),
            Event::InstallFailed => self.only_from(Self::Installing, Self::Error),
            Event::Start => match self {
                Self::Idle | Self::Stopped | Self::Crashed | Self::Error => Some(Self::Starting),
                Self::Installing | Self::Starting | Self::Running | Self::Stopping => None,
            },
            Event::Started => self.only_from(Self::Starting, Self::Running),
            Event::Stop => match self {
                Self::Running => Some(Self::Stopping),
                Self::Crashed => Some(Self::Stopped),
                Self::Idle | Self::Installing | Self::Starting | Self::Stopping | Self::Stopped | Self::Error => None,
            },
            Event::Exited => self.only_from(Self::Stopping, Self::Stopped),
            Event::Kill => match self {
                Self::Starting | Self::Running | Self::Stopping | Self::Crashed => Some(Self::Stopped),
                Self::Idle | Self::Installing | Self::Stopped | Self::Error => None,
            },
            Event::Crash => self.only_from(Self::Running, Self::Crashed),
            Event::GiveUp => self.only_from(Self::Crashed, Self::Error),
        }
    }

    const fn only_from(self, from: Self, to: Self) -> Option<Self> {
        if self as u8 == from as u8 { Some(to) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_sequence_is_legal() {
        let sequence = [
            (Event::Install, State::Installing),
            (Event::Installed, State::Idle),
            (Event::Start, State::Starting),
            (Event::Started, State::Running),
            (Event::Crash, State::Crashed),
            (Event::Start, State::Starting),
            (Event::Started, State::Running),
            (Event::Stop, State::Stopping),
            (Event::Exited, State::Stopped),
        ];
        let mut state = State::Idle;
        for (event, expected) in sequence {
            state = state.after(event).unwrap();
            assert_eq!(state, expected);
        }
    }

    #[test]
    fn a_workload_that_is_not_running_can_neither_crash_nor_be_asked_to_stop() {
        for &state in State::ALL {
            assert_eq!(state.after(Event::Crash).is_some(), state == State::Running, "{state}");
        }
        for &state in State::AT_REST {
            assert_eq!(state.after(Event::Stop), None, "{state}");
            assert_eq!(state.after(Event::Kill), None, "{state}");
        }
    }
}
