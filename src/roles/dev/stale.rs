//! A Redis that an earlier `zpack dev` left behind. It is stopped only if it is certainly ours: a redis-server whose
//! working directory is ours.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(5);

/// Stops the Redis whose process id is in `home`, if it is still running there.
pub(super) async fn stop_left_behind(home: &Path) -> anyhow::Result<()> {
    let Some(number) = std::fs::read_to_string(home.join("redis.pid")).ok().and_then(|text| text.trim().parse().ok())
    else {
        return Ok(());
    };
    let Some(pid) = Pid::from_raw(number) else { return Ok(()) };
    // The handle is opened before the check: it never reaches a later process with the same id.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if !is_ours(number, home) {
        return Ok(());
    }
    tracing::warn!(pid = number, "stopping the Redis that an earlier run left behind");
    let deadline = Instant::now() + LIMIT;
    let mut signal = Signal::TERM;
    while is_ours(number, home) {
        if pidfd_send_signal(&process, signal).is_err() {
            break;
        }
        if Instant::now() > deadline {
            if signal == Signal::KILL {
                bail!("the Redis of an earlier run (process {number}) cannot be stopped; kill it manually");
            }
            signal = Signal::KILL;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_file(home.join("redis.pid")).or_else(missing_is_fine).context("cannot remove the old redis.pid")
}

fn is_ours(pid: i32, home: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let directory = std::fs::read_link(process.join("cwd")).ok();
    name.trim().starts_with("redis-server") && directory.as_deref() == Some(home)
}

fn missing_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_is_not_our_redis_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = std::process::Command::new("sleep").arg("60").current_dir(folder.path()).spawn().unwrap();
        std::fs::write(folder.path().join("redis.pid"), other.id().to_string()).unwrap();
        stop_left_behind(folder.path()).await.unwrap();
        assert!(other.try_wait().unwrap().is_none(), "it was stopped");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
