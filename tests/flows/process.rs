//! Starts the real binary with an empty environment, in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The name of the log file, if a log is kept.
const LOG: &str = "dev.log";

const TIMEOUT: Duration = Duration::from_secs(60);

/// `zpack` with these arguments and no environment but PATH; it prints nothing unless something is wrong.
pub fn zpack(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zpack"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.args(args).env_clear().env("PATH", path).env("LOG_LEVEL", "warn").current_dir(dir);
    command
}

/// Runs it and waits for its end.
pub fn run(dir: &Path, args: &[&str]) -> Output {
    zpack(dir, args).output().expect("zpack runs")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one JSON line on standard output.
pub fn json(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "not one line: {text}\n{}", stderr(output));
    serde_json::from_str(&text).expect("JSON")
}

/// Waits until `fact` holds.
pub fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !fact() {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running process that printed its ready line. Killed when dropped.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// The ready line.
    pub ready: Value,
}

impl Running {
    /// Starts `zpack --json` with `args` and waits for its first line.
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        Self::of(zpack(dir, &["--json"]).args(args))
    }

    /// Starts `command`, which has `--json` among its arguments, and waits for its first line.
    pub fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("zpack starts");
        let lines = lines_of(child.stdout.take().expect("stdout is piped"));
        let Ok(line) = lines.recv_timeout(TIMEOUT) else {
            let _ = child.kill();
            panic!("no ready line: {:?}", child.wait());
        };
        Self { child, lines, ready: serde_json::from_str(&line).expect("JSON") }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("the process lives");
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; returns its exit status and what else it printed.
    pub fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let mut status = None;
        wait_for("the end of the process", || {
            status = self.child.try_wait().expect("the process can be waited for");
            status.is_some()
        });
        (status.expect("it ended"), self.lines.try_iter().collect())
    }

    /// Stops it and checks that it ends cleanly.
    pub fn stop(self) {
        self.signal(Signal::SIGTERM);
        let (status, more) = self.ended();
        assert!(status.success(), "{status}");
        assert!(more.is_empty(), "more than one line: {more:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A `zpack dev` in a data directory.
pub struct Dev {
    folder: tempfile::TempDir,
}

impl Dev {
    /// A directory in which nothing was started yet.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// The working directory; the data directory is inside it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join(".zpack").join(name)
    }

    /// Starts the company on free ports, with the arguments `more`.
    pub fn start(&self, more: &[&str]) -> Running {
        Running::of(&mut self.command(more))
    }

    /// The same, with a JSON log from `info` on, which [`log`](Self::log) reads.
    pub fn start_logging(&self) -> Running {
        let log = std::fs::File::create(self.folder().join(LOG)).expect("a file");
        Running::of(self.command(&[]).env("LOG_LEVEL", "info").env("LOG_FORMAT", "json").stderr(log))
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = zpack(self.folder(), &["--json", "dev", "--port", "0", "--sim-port", "0"]);
        command.args(["--time-scale", "0.01"]).args(more);
        command
    }

    /// The lines it has logged.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder().join(LOG)).expect("a log");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// Runs another command that joins through `zpack.env`.
    pub fn join(&self, args: &[&str]) -> Output {
        self.joined(args).output().expect("zpack runs")
    }

    /// The same command, not started yet.
    pub fn joined(&self, args: &[&str]) -> Command {
        let mut command = zpack(self.folder(), &["--env-file", ".zpack/zpack.env"]);
        command.args(args);
        command
    }

    /// A setting of the running company.
    pub fn setting(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.file("zpack.env")).expect("zpack.env");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("{name} is not in zpack.env")).to_owned()
    }
}

/// Sends one HTTP request to `origin` (`http://host:port`); returns status and JSON body (`Null` if there is none).
pub fn request(origin: &str, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let answer = exchange(origin, method, path, &token, &body);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// The complete answer to a request with these additional header lines.
pub fn exchange(origin: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    use std::io::{Read, Write};

    let host = origin.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).expect("the server listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout can be set");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
