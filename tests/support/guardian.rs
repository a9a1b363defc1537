//! Runs one server in a folder of its own, and makes sure that both are removed when the test process ends, in whatever
//! way.
//!
//! A small shell runs between the test process and the server. It waits on a pipe that the test process holds open; the
//! kernel closes the pipe when the test process exits or is killed, and the shell then stops the server and removes the
//! folder.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scratch;

const SCRIPT: &str = r#"
dir=$1; signal=$2; shift 2
"$@" </dev/null >>"$dir/server.log" 2>&1 &
echo $!
read -r word || word=gone
kill -s "$signal" $! 2>/dev/null
wait $!
[ "$word" = keep ] || rm -rf "$dir"
"#;

/// A running server.
pub struct Guardian {
    shell: Child,
    pipe: Option<ChildStdin>,
    server: Pid,
    dir: PathBuf,
}

impl Guardian {
    /// Starts `command` with its output in `dir/server.log`. `signal` will stop it.
    pub fn start(dir: &Path, signal: &str, command: &[String]) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(dir)
            .arg(signal)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The shell would keep the output of the tests open, and report the killed server.
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must not reach the shell, which has to clean up.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let output = shell.stdout.take().expect("stdout is piped");
        BufReader::new(output).read_line(&mut line).expect("the shell prints the pid");
        let server = Pid::from_raw(line.trim().parse().expect("a pid"));
        let pipe = shell.stdin.take();
        Self { shell, pipe, server, dir: dir.to_owned() }
    }

    /// Waits until `ready` holds. Fails the test with the server's log if the server ends or does not come up.
    pub fn wait_until(&self, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !ready() {
            let alive = kill(self.server, None).is_ok();
            if !alive || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
                panic!("the server in {} did not come up:\n{log}", self.dir.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends `signal` to the server itself.
    pub fn signal(&self, signal: Signal) {
        kill(self.server, signal).expect("the server runs");
    }

    /// Stops the server and keeps its folder.
    pub fn stop(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            pipe.write_all(b"keep\n").expect("the shell listens");
        }
        self.shell.wait().expect("the shell ends");
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.shell.wait();
    }
}

/// A new folder for a server, with a path short enough for a Unix socket. Its guardian removes it.
pub fn server_dir(kind: &str) -> PathBuf {
    scratch::folder(&format!("zpack-{kind}-")).keep()
}

/// `command`, run as `user` if we are root, which must not run database servers.
pub fn as_user(user: &str, dir: &Path, command: &[String]) -> Vec<String> {
    if !nix::unistd::geteuid().is_root() {
        return command.to_vec();
    }
    let account = nix::unistd::User::from_name(user).expect("accounts can be read");
    let account = account.unwrap_or_else(|| panic!("there is no account `{user}`; install the server's package"));
    std::os::unix::fs::chown(dir, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
        .expect("root may give files away");
    let (uid, gid) = (format!("--reuid={user}"), format!("--regid={}", account.gid));
    let prefix = ["setpriv", &uid, &gid, "--clear-groups", "--"].map(str::to_owned);
    prefix.into_iter().chain(command.iter().cloned()).collect()
}

/// Runs `command` and fails the test if it fails.
pub fn run(command: &[String]) {
    let (program, arguments) = command.split_first().expect("a command");
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {text}{}", String::from_utf8_lossy(&output.stdout));
}
