//! How a command ends: with an exit status, and with its error and all causes on standard error.

use std::process::ExitCode;

use crate::background::TaskEnded;
use crate::config::ConfigProblems;
use crate::db::ConnectError;
use crate::db::migrate::MigrateError;
use crate::kernel::{Classify, Failure};

/// The command cannot be carried out.
const FAILED: u8 = 1;

/// `EX_TEMPFAIL` of sysexits: a peer does not answer; the same command may succeed later.
const TEMPORARY: u8 = 75;

/// `EX_SOFTWARE` of sysexits: a part of a role panicked or ended, and only a restart brings it back.
const DEFECT: u8 = 70;

/// Prints `error` and its causes to standard error, and returns the exit status.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("zpack: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    if let Some(hint) = next_step(error) {
        eprintln!("  next: {hint}");
    }
    status(error)
}

/// What the operator can do about it, if known.
fn next_step(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if cause.is::<ConfigProblems>() {
            return Some("set them in the environment, in .env or in a file named by --env-file; see .env.example");
        }
        if cause.downcast_ref::<TaskEnded>().is_some_and(TaskEnded::is_defect) {
            return Some(
                "systemd restarts the role; please report this as a bug, with this line and the log before it",
            );
        }
        if cause.is::<ConnectError>() {
            return Some(
                "check that the database is running and that DATABASE_URL is correct; `zpack doctor` checks every peer",
            );
        }
        match cause.downcast_ref::<MigrateError>()? {
            MigrateError::Pending { .. } => Some("run `zpack migrate up`"),
            MigrateError::Newer { .. } => Some("install the zpack version that migrated it, or a newer one"),
            MigrateError::Locked => Some("wait for the other process or stop it, then try again"),
            MigrateError::Database { .. } => None,
        }
    })
}

/// Ends the process with that status without waiting for anything: a thread that never returns would block every other
/// way to exit.
pub fn abandon() -> ! {
    std::process::exit(i32::from(TEMPORARY))
}

fn status(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(status_of(error))
}

fn status_of(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.downcast_ref::<TaskEnded>().is_some_and(TaskEnded::is_defect)) {
        return DEFECT;
    }
    let away = error.chain().any(|cause| {
        let database = cause.downcast_ref::<ConnectError>().is_some_and(|error| error.failure() == Failure::Transient);
        let redis = cause.downcast_ref::<redis::RedisError>();
        database || redis.is_some_and(|error| error.is_io_error() || error.is_timeout())
    });
    if away { TEMPORARY } else { FAILED }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::background::TaskName;

    #[test]
    fn the_exit_status_of_a_role_shows_why_it_ended() {
        let task = TaskName::of("retention");
        let panicked = TaskEnded::Panicked { task, message: "a defect".to_owned() };
        let failed = |source| TaskEnded::Failed { task: TaskName::of("role").about("serve"), source };
        assert_eq!(status_of(&anyhow!(failed(anyhow!(panicked)))), DEFECT, "in one process with others, too");
        let silent = redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        assert_eq!(status_of(&anyhow!(failed(anyhow!(silent).context("Redis is away")))), TEMPORARY);
        assert_eq!(status_of(&anyhow!(failed(anyhow!("the address is taken")))), FAILED);
    }
}
