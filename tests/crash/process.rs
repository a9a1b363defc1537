//! A `zpack worker provision` process of a test company.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::support::company::Company;

/// A running worker process; killed when it is dropped.
pub struct WorkerProcess {
    child: Child,
}

impl WorkerProcess {
    /// Starts a worker of `company` that kills itself at `failpoint`, if one is given.
    pub fn start(company: &Company, failpoint: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zpack"));
        command
            .args(["worker", "provision"])
            .env_clear()
            .envs(company.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(failpoint) = failpoint {
            command.env("ZPACK_FAILPOINT", failpoint);
        }
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

    /// Asks it to stop and waits for a clean end.
    pub async fn stop(mut self) {
        let pid = i32::try_from(self.child.id().expect("it runs")).expect("a pid");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a signal");
        let status = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = status.expect("it drains in time").expect("a status");
        assert!(status.success(), "{status}");
    }
}
