//! One agent: its workload, its disk, and what a test has set.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::backups::Backups;
use super::console::{Console, Stream};
use super::disk::{Disk, Kind, Node};
use super::machine::{Happening, Machine};
use super::payload::{Payload, redact};
use super::state::State;
use crate::kernel::{Timestamp, text_enum};
use crate::sim::{Boot, TimeScale};

/// The size of a data root with its backups, unless a test sets another.
const DISK_BYTES: u64 = 64 * 1024 * 1024;
/// How long code-server takes to answer.
const CODE_SERVER_START: Duration = Duration::from_secs(1);

text_enum! {
    /// Which agent is simulated.
    pub enum AgentMode {
        /// The complete contract (docs/contracts/agent.md D3).
        Full = "full",
        /// The agent in service today (D1): few routes, a token on `/config` only.
        Small = "small",
    }
}

/// code-server in a dev container.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CodeServer {
    /// The port it listens on.
    pub port: u16,
    /// When it was started; `None` while it is stopped.
    pub started_at: Option<Timestamp>,
}

/// The agent of one container. Its disk is that of the container, and survives every restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// The container.
    pub vmid: u32,
    /// Distinguishes the container from earlier ones with the same VMID.
    pub incarnation: u64,
    /// The address of the container.
    pub address: Option<Ipv4Addr>,
    /// Whether the container is running.
    pub up: bool,
    /// The simulated agent, when it is not the one of the world.
    pub mode: Option<AgentMode>,
    /// Accept connections and never answer.
    pub hang: bool,
    /// How much later it answers, in milliseconds, not scaled.
    pub slow_ms: u64,
    /// The token that this agent accepts, when it is not the one of the world.
    pub token: Option<String>,
    /// The next install fails with this message.
    pub fail_install: Option<String>,
    /// The size of the data root with the backups.
    pub disk_bytes: u64,
    /// Players on a Minecraft server.
    pub players: u32,
    /// Requests received.
    pub requests: u64,
    /// The accepted configuration as it was sent.
    pub config: Option<Value>,
    /// The workload.
    pub machine: Machine,
    /// The data root.
    pub disk: Disk,
    /// The backups.
    pub backups: Backups,
    /// The console.
    pub console: Console,
    /// code-server.
    pub code_server: CodeServer,
}

impl Agent {
    /// The agent in the image a new container is made from.
    pub fn new(boot: &Boot) -> Self {
        Self {
            vmid: boot.vmid,
            incarnation: boot.incarnation,
            address: None,
            up: false,
            mode: None,
            hang: false,
            slow_ms: 0,
            token: None,
            fail_install: None,
            disk_bytes: DISK_BYTES,
            players: 0,
            requests: 0,
            config: None,
            machine: Machine::default(),
            disk: Disk::default(),
            backups: Backups::default(),
            console: Console::default(),
            code_server: CodeServer { port: 8080, started_at: None },
        }
    }

    /// The accepted configuration.
    pub fn payload(&self) -> Option<Payload> {
        Payload::parse(self.config.as_ref()?).ok()
    }

    /// The generation of the configuration.
    pub fn generation(&self) -> Option<u64> {
        self.payload()?.generation
    }

    /// The bytes in use.
    pub fn disk_used(&self) -> u64 {
        self.disk.used().saturating_add(self.backups.used())
    }

    /// The state of code-server on the wire.
    pub fn code_server_state(&self, now: Timestamp, scale: TimeScale) -> &'static str {
        match self.code_server.started_at {
            None => "stopped",
            Some(at) if now < at.after(scale.real(CODE_SERVER_START)) => "starting",
            Some(_) => "running",
        }
    }

    /// Applies everything that was due until `now`.
    pub fn catch_up(&mut self, now: Timestamp) {
        let happened = self.machine.advance(now);
        self.record(happened);
    }

    /// The container stopped.
    pub fn power_loss(&mut self, now: Timestamp) {
        self.catch_up(now);
        self.up = false;
        self.code_server.started_at = None;
        let happened = self.machine.power_loss(now);
        self.record(happened);
    }

    /// Holds the workload in `state`.
    pub fn force(&mut self, state: State, error: Option<String>, now: Timestamp) {
        let happened = self.machine.force(state, error, now);
        self.record(happened);
    }

    /// What `/sim/state` shows.
    pub fn view(&self, default_mode: AgentMode) -> Value {
        json!({
            "vmid": self.vmid,
            "address": self.address,
            "up": self.up,
            "mode": self.mode.unwrap_or(default_mode),
            "state": self.machine.state(),
            "desired": self.machine.desired(),
            "job": self.machine.job(),
            "installStep": self.machine.install_step().map(|(name, _)| name),
            "crashCount": self.machine.crash_count(),
            "error": self.machine.error(),
            "config": self.config.as_ref().map(redact),
            "generation": self.generation(),
            "hang": self.hang,
            "slowMs": self.slow_ms,
            "requests": self.requests,
        })
    }

    fn record(&mut self, happened: Vec<(Timestamp, Happening)>) {
        for (at, what) in happened {
            let (stream, text) = match what {
                Happening::InstallBegun => (Stream::System, "install begins".to_owned()),
                Happening::Step { name, .. } => (Stream::System, format!("install: {name}")),
                Happening::Installed => {
                    self.write_installed_files(at);
                    (Stream::System, "install complete".to_owned())
                }
                Happening::InstallFailed { error } => (Stream::System, format!("install failed: {error}")),
                Happening::Launched => (Stream::System, "starting".to_owned()),
                Happening::Serving => (Stream::Stdout, "Done! For help, type \"help\"".to_owned()),
                Happening::Exited { .. } => (Stream::System, "exited with code 0".to_owned()),
                Happening::BackupWritten { id } => {
                    self.backups.finish(&id);
                    (Stream::System, format!("backup {id} is ready"))
                }
                Happening::Restored { id, .. } => {
                    self.backups.restore_into(&id, &mut self.disk);
                    (Stream::System, format!("backup {id} was restored"))
                }
                Happening::ArchiveJobLost => {
                    self.backups.abort();
                    (Stream::System, "the job on a backup was interrupted".to_owned())
                }
                Happening::GaveUp => (Stream::System, "crashed too often, giving up".to_owned()),
            };
            self.console.push(at, stream, text);
        }
    }

    /// Writes what a server needs for its first start; existing files stay.
    fn write_installed_files(&mut self, now: Timestamp) {
        let Some(payload) = self.payload() else { return };
        let files: &[(&str, &[u8])] = if payload.is_dev() {
            &[("workspace/README.md", b"# Workspace\n")]
        } else if payload.is_minecraft() {
            &[
                ("eula.txt", b"eula=true\n"),
                ("server.properties", b"motd=A Minecraft Server\nmax-players=20\n"),
                ("logs/latest.log", b"[Server thread/INFO]: Done!\n"),
                ("world/level.dat", b"\x0a\x00\x00\x0a\x00\x04Data"),
            ]
        } else {
            &[("config/server.cfg", b"maxplayers 20\n"), ("logs/latest.log", b"ready\n")]
        };
        for (path, content) in files {
            self.disk.plant(path, Node::file(content.to_vec().into(), now));
        }
        if !payload.is_dev() {
            let target = Kind::Symlink("logs/latest.log".to_owned());
            self.disk.plant("latest.log", Node { kind: target, mode: 0o777, modified: now });
        }
    }
}
