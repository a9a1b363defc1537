//! The state machine of one agent with its times: what was requested, what is due when, and how that changes the state.
//!
//! Nothing runs in the background. Work is a queue of events that are due at a time; [`Machine::advance`] applies those
//! that are due by `now` and returns them, so every run is repeatable and survives a restart of the simulator.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{Accepted, Job, JobKind, Refusal};
use super::script::InstallPlan;
use super::state::{Event, State};
use crate::kernel::Timestamp;
use crate::sim::TimeScale;

const START: Duration = Duration::from_secs(1);
const STOP: Duration = Duration::from_secs(1);
const BACKUP: Duration = Duration::from_secs(2);
const RESTORE: Duration = Duration::from_secs(2);
const CRASH_WINDOW: Duration = Duration::from_secs(600);

/// How long a crashed workload waits before it is launched again; after one more crash in the window it stays down.
const RESTART_BACKOFF: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// An event in the life of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// An accepted install starts.
    InstallBegun,
    /// The install reached the next step.
    Step {
        /// Its name on the wire.
        name: String,
        /// How much of the install is done, in percent.
        progress: u8,
    },
    /// The install succeeded.
    Installed,
    /// The install failed.
    InstallFailed {
        /// The message for a person.
        error: String,
    },
    /// The process was launched.
    Launched,
    /// The process is ready.
    Serving,
    /// The process ended as requested.
    Exited {
        /// Whether this ends the power job; false when a launch or a restore follows.
        last: bool,
    },
    /// The archive `id` is complete.
    BackupWritten {
        /// The backup.
        id: String,
    },
    /// The files of the archive `id` were restored.
    Restored {
        /// The backup.
        id: String,
        /// Whether this ends the job; false when a launch follows.
        last: bool,
    },
    /// A job on an archive was interrupted.
    ArchiveJobLost,
    /// The process is not launched again after too many crashes.
    GaveUp,
}

/// How the process last ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// When.
    pub at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Due {
    at: Timestamp,
    what: Happening,
}

/// The life of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    state: State,
    wants_running: bool,
    installed: bool,
    job: Option<Job>,
    due: VecDeque<Due>,
    step: Option<(String, u8)>,
    recent_crashes: Vec<Timestamp>,
    crash_count: u32,
    error: Option<String>,
    last_exit: Option<Exit>,
    running_since: Option<Timestamp>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            state: State::Idle,
            wants_running: false,
            installed: false,
            job: None,
            due: VecDeque::new(),
            step: None,
            recent_crashes: Vec::new(),
            crash_count: 0,
            error: None,
            last_exit: None,
            running_since: None,
        }
    }
}

impl Machine {
    /// The current state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The requested state, `running` or `stopped`.
    pub fn desired(&self) -> State {
        if self.wants_running { State::Running } else { State::Stopped }
    }

    /// The exclusive job that is running.
    pub fn job(&self) -> Option<Job> {
        self.job
    }

    /// The step of the running install and its progress in percent.
    pub fn install_step(&self) -> Option<(&str, u8)> {
        self.step.as_ref().map(|(name, progress)| (name.as_str(), *progress))
    }

    /// Crashes since the workload was last installed or started on request.
    pub fn crash_count(&self) -> u32 {
        self.crash_count
    }

    /// The message of state `error`.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// How the process last ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.last_exit
    }

    /// How long the workload has been running.
    pub fn uptime(&self, now: Timestamp) -> Duration {
        self.running_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// When the next event is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.front().map(|due| due.at)
    }

    /// Applies what is due by `now`; returns it, in order.
    pub fn advance(&mut self, now: Timestamp) -> Vec<(Timestamp, Happening)> {
        let mut happened = Vec::new();
        while let Some(due) = self.due.pop_front_if(|due| due.at <= now) {
            self.apply(due.at, &due.what);
            happened.push((due.at, due.what));
        }
        happened
    }

    /// Accepts a configuration. A running workload is stopped first.
    pub fn install(&mut self, plan: InstallPlan, now: Timestamp, scale: TimeScale) -> Result<(), Refusal> {
        self.claim(JobKind::Install, now)?;
        self.wants_running = true;
        self.error = None;
        let mut at = self.stop_process(now, scale);
        self.schedule(at, Happening::InstallBegun);
        let total = plan.steps.iter().map(|step| step.takes.as_millis()).sum::<u128>();
        let mut done = 0;
        for step in plan.steps {
            let progress = u8::try_from(done * 100 / total.max(1)).unwrap_or(100);
            self.schedule(at, Happening::Step { name: step.name.to_owned(), progress });
            done += step.takes.as_millis();
            at = at.after(scale.real(step.takes));
        }
        match plan.failure {
            Some(error) => self.schedule(at, Happening::InstallFailed { error }),
            None => {
                self.schedule(at, Happening::Installed);
                self.schedule_launch(at, scale);
            }
        }
        Ok(())
    }

    /// Starts the workload.
    pub fn start(&mut self, now: Timestamp, scale: TimeScale) -> Result<Accepted, Refusal> {
        if self.state == State::Running {
            return Ok(Accepted::Already);
        }
        self.relaunch(now, scale)
    }

    /// Ends the workload and starts it again; a stopped one is started.
    pub fn restart(&mut self, now: Timestamp, scale: TimeScale) -> Result<Accepted, Refusal> {
        self.relaunch(now, scale)
    }

    fn relaunch(&mut self, now: Timestamp, scale: TimeScale) -> Result<Accepted, Refusal> {
        if !self.installed && self.job.is_none() {
            return Err(Refusal::NotInstalled);
        }
        self.claim(JobKind::Power, now)?;
        self.wants_running = true;
        self.error = None;
        self.crash_count = 0;
        self.recent_crashes.clear();
        let at = self.stop_process(now, scale);
        self.schedule_launch(at, scale);
        Ok(Accepted::Begun)
    }

    /// Asks the workload to end.
    pub fn stop(&mut self, now: Timestamp, scale: TimeScale) -> Result<Accepted, Refusal> {
        let undisturbed = self.job.is_none_or(|job| job.kind == JobKind::Backup);
        if State::AT_REST.contains(&self.state) && undisturbed {
            self.wants_running = false;
            return Ok(Accepted::Already);
        }
        self.claim(JobKind::Power, now)?;
        self.wants_running = false;
        if self.state == State::Running {
            self.change(Event::Stop, now);
            self.schedule(now.after(scale.real(STOP)), Happening::Exited { last: true });
        } else {
            self.change(Event::Stop, now);
            self.job = None;
        }
        Ok(Accepted::Begun)
    }

    /// Ends the process at once. It is the only command that may interrupt a power job.
    pub fn kill(&mut self, now: Timestamp) -> Result<Accepted, Refusal> {
        match self.job {
            Some(job) if job.kind != JobKind::Power => return Err(Refusal::Busy(job)),
            Some(_) | None => {}
        }
        self.wants_running = false;
        self.due.clear();
        self.job = None;
        if !self.change(Event::Kill, now) {
            return Ok(Accepted::Already);
        }
        self.last_exit = Some(Exit { code: 137, at: now });
        Ok(Accepted::Begun)
    }

    /// Begins to write the archive `id`.
    pub fn backup(&mut self, id: &str, now: Timestamp, scale: TimeScale) -> Result<(), Refusal> {
        if let Some(job) = self.job {
            return Err(Refusal::Busy(job));
        }
        self.job = Some(Job { kind: JobKind::Backup, started_at: now });
        self.schedule(now.after(scale.real(BACKUP)), Happening::BackupWritten { id: id.to_owned() });
        Ok(())
    }

    /// Stops the workload, restores the archive `id`, and starts the workload again if it was running.
    pub fn restore(&mut self, id: &str, now: Timestamp, scale: TimeScale) -> Result<(), Refusal> {
        let ran = matches!(self.state, State::Running | State::Crashed);
        self.claim(JobKind::Restore, now)?;
        let at = self.stop_process(now, scale).after(scale.real(RESTORE));
        self.schedule(at, Happening::Restored { id: id.to_owned(), last: !ran });
        if ran {
            self.schedule_launch(at, scale);
        }
        Ok(())
    }

    /// The process crashes; false when none is running.
    pub fn crash(&mut self, now: Timestamp, scale: TimeScale) -> bool {
        if !self.change(Event::Crash, now) {
            return false;
        }
        self.last_exit = Some(Exit { code: 1, at: now });
        self.crash_count = self.crash_count.saturating_add(1);
        let window = scale.real(CRASH_WINDOW);
        self.recent_crashes.retain(|&at| now.since(at) <= window);
        let backoff = RESTART_BACKOFF.get(self.recent_crashes.len()).copied();
        self.recent_crashes.push(now);
        match backoff {
            Some(wait) => self.schedule_launch(now.after(scale.real(wait)), scale),
            None => self.schedule(now, Happening::GaveUp),
        }
        true
    }

    /// The container has stopped; returns what that interrupted.
    pub fn power_loss(&mut self, now: Timestamp) -> Vec<(Timestamp, Happening)> {
        let cut_off = self.job.take().map(|job| job.kind);
        self.due.clear();
        self.step = None;
        let starting = self.state == State::Starting;
        self.change(Event::Kill, now);
        match cut_off {
            Some(JobKind::Install) if !starting => {
                self.change(Event::Install, now);
                self.change(Event::InstallFailed, now);
                self.installed = false;
                self.error = Some("the install was interrupted: the container stopped".to_owned());
                Vec::new()
            }
            Some(JobKind::Backup | JobKind::Restore) => vec![(now, Happening::ArchiveJobLost)],
            Some(JobKind::Install | JobKind::Power) | None => Vec::new(),
        }
    }

    /// The agent has started in a container that was started: a workload that was running is launched again.
    pub fn boot(&mut self, now: Timestamp, scale: TimeScale) {
        let at_rest = matches!(self.state, State::Idle | State::Stopped);
        if self.wants_running && self.installed && at_rest && self.job.is_none() {
            self.job = Some(Job { kind: JobKind::Power, started_at: now });
            self.schedule_launch(now, scale);
        }
    }

    /// Puts the workload into `state` and keeps it there: nothing is due afterwards. For tests; not an event.
    pub fn force(&mut self, state: State, error: Option<String>, now: Timestamp) -> Vec<(Timestamp, Happening)> {
        let lost = matches!(self.job.map(|job| job.kind), Some(JobKind::Backup | JobKind::Restore));
        self.due.clear();
        self.enter(state, now);
        self.step = (state == State::Installing).then(|| ("downloading_artifact".to_owned(), 10));
        self.job = match state {
            State::Installing => Some(Job { kind: JobKind::Install, started_at: now }),
            State::Starting | State::Stopping => Some(Job { kind: JobKind::Power, started_at: now }),
            State::Idle | State::Running | State::Stopped | State::Crashed | State::Error => None,
        };
        self.error = (state == State::Error).then(|| error.unwrap_or_else(|| "forced by the simulator".to_owned()));
        if matches!(state, State::Running | State::Stopped | State::Crashed) {
            self.installed = true;
        }
        if state == State::Crashed {
            self.crash_count = self.crash_count.saturating_add(1);
            self.last_exit = Some(Exit { code: 1, at: now });
        }
        if lost { vec![(now, Happening::ArchiveJobLost)] } else { Vec::new() }
    }

    /// Starts the exclusive job and drops a restart that was due.
    fn claim(&mut self, kind: JobKind, now: Timestamp) -> Result<(), Refusal> {
        if let Some(job) = self.job {
            return Err(Refusal::Busy(job));
        }
        self.due.clear();
        self.job = Some(Job { kind, started_at: now });
        Ok(())
    }

    /// Stops the process if there is one; returns when it has ended.
    fn stop_process(&mut self, now: Timestamp, scale: TimeScale) -> Timestamp {
        let ran = self.state == State::Running;
        self.change(Event::Stop, now);
        if !ran {
            return now;
        }
        let at = now.after(scale.real(STOP));
        self.schedule(at, Happening::Exited { last: false });
        at
    }

    fn schedule_launch(&mut self, at: Timestamp, scale: TimeScale) {
        self.schedule(at, Happening::Launched);
        self.schedule(at.after(scale.real(START)), Happening::Serving);
    }

    fn schedule(&mut self, at: Timestamp, what: Happening) {
        let place = self.due.partition_point(|due| due.at <= at);
        self.due.insert(place, Due { at, what });
    }

    fn apply(&mut self, at: Timestamp, what: &Happening) {
        match what {
            Happening::InstallBegun => {
                self.change(Event::Install, at);
                self.installed = false;
                self.crash_count = 0;
                self.recent_crashes.clear();
            }
            Happening::Step { name, progress } => self.step = Some((name.clone(), *progress)),
            Happening::Installed => {
                self.change(Event::Installed, at);
                self.installed = true;
            }
            Happening::InstallFailed { error } => {
                self.change(Event::InstallFailed, at);
                self.step = None;
                self.error = Some(error.clone());
                self.job = None;
            }
            Happening::Launched => {
                self.change(Event::Start, at);
                let job = *self.job.get_or_insert(Job { kind: JobKind::Power, started_at: at });
                self.step = (job.kind == JobKind::Install).then(|| ("starting".to_owned(), 95));
            }
            Happening::Serving => {
                self.change(Event::Started, at);
                self.step = None;
                self.job = self.job.filter(|job| job.kind == JobKind::Backup);
            }
            Happening::Exited { last } => {
                self.change(Event::Exited, at);
                self.last_exit = Some(Exit { code: 0, at });
                self.job = self.job.filter(|_| !last);
            }
            Happening::BackupWritten { .. } => {
                let passing = State::PASSING.contains(&self.state);
                self.job = passing.then_some(Job { kind: JobKind::Power, started_at: at });
            }
            Happening::Restored { last, .. } => self.job = self.job.filter(|_| !last),
            Happening::GaveUp => {
                self.change(Event::GiveUp, at);
                self.error = Some(format!("crashed {} times in 10 minutes", self.recent_crashes.len()));
            }
            Happening::ArchiveJobLost => {}
        }
    }

    /// Changes the state by `event`; false when that is not allowed.
    fn change(&mut self, event: Event, now: Timestamp) -> bool {
        let Some(next) = self.state.after(event) else { return false };
        self.enter(next, now);
        true
    }

    fn enter(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.running_since = (state == State::Running).then_some(now);
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
