//! The servers that are measured.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::figures::Contender;
use crate::process;

/// The secret that signs the tokens of all systems.
pub const SECRET: &str = "4f2ac1d07be94c35a3b87e6610cd52f8";

/// A system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// `zpack serve`, the released program.
    Zpack,
    /// The minimal handler of [`crate::limit`].
    Limit,
    /// The stand-in for the predecessor.
    Predecessor,
}

impl System {
    pub const ALL: [Self; 3] = [Self::Predecessor, Self::Zpack, Self::Limit];
}

impl Contender for System {
    fn name(self) -> &'static str {
        match self {
            Self::Zpack => "zpack",
            Self::Limit => "minimal handler",
            Self::Predecessor => "predecessor",
        }
    }
}

/// The stores of a run.
pub struct Places {
    /// Our database.
    pub database: String,
    /// That of the predecessor.
    pub predecessor: String,
    /// The port of Redis.
    pub redis: u16,
    /// Where log files are written.
    pub logs: PathBuf,
}

/// A running server, stopped when it is dropped.
pub struct Server {
    child: Child,
    /// The port it listens on.
    pub port: u16,
}

impl Server {
    /// Starts `system` and waits until it listens. `settings` of zpack come on top of [`zpack_settings`].
    pub fn start(system: System, places: &Places, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut command = match system {
            System::Zpack => {
                // Another build of it can be measured instead.
                let program = std::env::var("BENCH_ZPACK").unwrap_or_else(|_| env!("CARGO_BIN_EXE_zpack").to_owned());
                let mut command = Command::new(program);
                command.arg("serve").env_clear();
                command.envs(zpack_settings(places, port)).envs(settings.iter().copied());
                command
            }
            System::Limit => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["limit", &port.to_string(), &places.database, &places.redis.to_string()]);
                command
            }
            System::Predecessor => {
                let mut command = Command::new("node");
                command.env("NODE_ENV", "production").arg(predecessor().join("server.mjs"));
                command.args([&port.to_string(), &places.predecessor, &places.redis.to_string(), SECRET]);
                command
            }
        };
        let log = std::fs::File::create(places.logs.join(format!("{}-{port}.log", system.name()))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Self { child: command.spawn().unwrap(), port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{system:?} does not listen; see {}", places.logs.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in MiB.
    pub fn resident(&self) -> f64 {
        process::resident(self.pid())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the stand-in for the predecessor.
pub fn predecessor() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/predecessor")
}

/// The settings of `zpack serve`; those that are not here are as shipped. The peers refuse connections.
fn zpack_settings(places: &Places, port: u16) -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", places.database.clone()),
        ("REDIS_URL", format!("redis://127.0.0.1:{}/0", places.redis)),
        ("BIND_ADDRESS", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("API_AUTH_SECRET", SECRET.to_owned()),
        ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
        ("ARTIFACT_BASE_URL", "http://127.0.0.1:9/".to_owned()),
        ("PROXMOX_HOST", "https://127.0.0.1:9".to_owned()),
        ("PROXMOX_API_TOKEN", "zpack@pve!bench=5f0c1bd2-8f0e-4a51-9c53-2f1d0a6b7c11".to_owned()),
        ("PROXMOX_POOL", "zpack".to_owned()),
        ("AGENT_TEMPLATE_VMID", "9000".to_owned()),
        ("ZLH_AGENT_TOKEN", "an-agent-token".to_owned()),
        ("ZLH_AGENT_PORT", "9".to_owned()),
        ("PEER_ADDRESSES", "loopback".to_owned()),
        // As in the unit.
        ("MIMALLOC_ALLOW_THP", "0".to_owned()),
    ]
}

/// A port that nothing uses.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
