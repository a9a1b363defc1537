//! A `zpack` process of a test company.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::support::company::Company;

/// Settings for processes that are killed and not held: a lease that does not expire, and long timeouts for slow
/// machines.
fn unhurried() -> impl Iterator<Item = (&'static str, String)> {
    let settings = [
        ("JOB_LEASE_MS", "60000"),
        ("JOB_RENEW_MS", "5000"),
        ("PROXMOX_TASK_TIMEOUT_SECONDS", "60"),
        ("ADDRESS_TIMEOUT_SECONDS", "60"),
        ("AGENT_READY_TIMEOUT_SECONDS", "60"),
        ("DNS_REQUEST_TIMEOUT_MS", "30000"),
        ("VELOCITY_REQUEST_TIMEOUT_MS", "30000"),
    ];
    settings.map(|(name, value)| (name, value.to_owned())).into_iter()
}

/// A running process; killed when it is dropped.
pub struct WorkerProcess {
    child: Child,
}

impl WorkerProcess {
    /// Starts a provision worker of `company`, which kills itself at `failpoint` if one is given.
    pub fn start(company: &Company, failpoint: Option<&str>) -> Self {
        let settings = failpoint.map(|failpoint| ("ZPACK_FAILPOINT", failpoint.to_owned()));
        Self::start_role(company, &["worker", "provision"], settings, None)
    }

    /// Starts a provision worker of `company` that kills itself at `failpoint`, with a lease that does not expire on a
    /// slow machine.
    pub fn doomed(company: &Company, failpoint: &str) -> Self {
        let settings = unhurried().chain([("ZPACK_FAILPOINT", failpoint.to_owned())]);
        Self::start_role(company, &["worker", "provision"], settings, None)
    }

    /// Starts a provision worker once the previous one counts as dead and its leases have expired, and waits until it
    /// is working.
    pub async fn new_owner(company: &Company) -> Self {
        company
            .wait("the killed worker to count as dead", || async { (!company.living_workers().await).then_some(()) })
            .await;
        company.end_leases().await;
        let new_owner = Self::start_role(company, &["worker", "provision"], unhurried(), None);
        company.wait("the new owner to report", || async { company.living_workers().await.then_some(()) }).await;
        new_owner
    }

    /// Starts a role of `company` with additional settings; its log is appended to the file `log`.
    pub fn start_role(
        company: &Company,
        role: &[&str],
        settings: impl IntoIterator<Item = (&'static str, String)>,
        log: Option<&Path>,
    ) -> Self {
        Self::start_inside(&[], company, role, settings, log)
    }

    /// The same, started through another program, for example in another mount namespace.
    pub fn start_inside(
        entrance: &[String],
        company: &Company,
        role: &[&str],
        settings: impl IntoIterator<Item = (&'static str, String)>,
        log: Option<&Path>,
    ) -> Self {
        let stderr = log.map_or_else(Stdio::null, |log| {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
            Stdio::from(file.expect("the log can be written"))
        });
        let zpack = env!("CARGO_BIN_EXE_zpack").to_owned();
        let mut words = entrance.iter().chain([&zpack]);
        let mut command = Command::new(words.next().expect("a program"));
        command
            .args(words)
            .args(role)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(company.environment())
            .envs(settings)
            .envs(std::env::var("CRASH_LOG").ok().map(|level| ("LOG_LEVEL", level)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true);
        Self { child: command.spawn().expect("the zpack binary starts") }
    }

    /// Waits until the process has killed itself.
    pub async fn killed(&mut self) {
        let status = tokio::time::timeout(Duration::from_secs(180), self.child.wait())
            .await
            .expect("the failpoint is reached")
            .expect("a status");
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}");
    }

    /// Whether a stop signal has taken effect.
    pub fn has_stopped(&self) -> bool {
        let Some(pid) = self.child.id() else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it lives")
    }

    /// Waits for its end, in whatever way.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        status.expect("it ends").expect("a status")
    }

    /// Whether it has not ended.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id() {
            let pid = Pid::from_raw(i32::try_from(pid).expect("a pid"));
            // It may have ended just now.
            let _ = kill(pid, signal);
        }
    }

    /// Whether it handles SIGTERM, or has ended: a process that was started just now dies of it.
    pub fn handles_a_stop(&self) -> bool {
        let Some(pid) = self.child.id() else { return true };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let caught = u64::from_str_radix(line("SigCgt:"), 16).unwrap_or(0);
        status.is_empty() || line("State:").starts_with('Z') || caught & (1 << (Signal::SIGTERM as u32 - 1)) != 0
    }

    /// Asks it to stop and waits for a clean end.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = status.expect("it drains in time").expect("a status");
        assert!(status.success(), "{status}");
    }
}
