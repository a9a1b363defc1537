//! A Redis for one test, which may flush, stop and kill it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use zpack::db::{RedisLocation, RedisPool};
use zpack::jobs::Lists;

use super::guardian::{Guardian, server_dir};

/// A private Redis with `noeviction` and an append-only file, as in production.
pub struct PrivateRedis {
    dir: PathBuf,
    port: u16,
    settings: Vec<String>,
    guardian: Option<Guardian>,
}

impl PrivateRedis {
    /// Starts one.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more settings, such as `["--maxmemory", "1mb"]`.
    pub fn start_with(settings: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut redis = Self { dir: server_dir("redis"), port, settings, guardian: None };
        redis.run();
        redis
    }

    /// Its address, database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it like a power failure; its folder stays.
    pub fn kill(&mut self) {
        if let Some(guardian) = self.guardian.take() {
            guardian.signal(Signal::SIGKILL);
            guardian.stop();
        }
    }

    /// Stops the process, with its connections open.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Continues the stopped process.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        self.guardian.as_ref().expect("Redis runs").signal(signal);
    }

    /// Starts it again after [`PrivateRedis::kill`], with the contents of its append-only file.
    pub fn run(&mut self) {
        let (dir, port) = (self.dir.display().to_string(), self.port.to_string());
        let fixed = [
            ["--port", &port],
            ["--bind", "127.0.0.1"],
            ["--dir", &dir],
            ["--save", ""],
            ["--appendonly", "yes"],
            ["--maxmemory-policy", "noeviction"],
            ["--pidfile", ""],
        ];
        let fixed = fixed.into_iter().flatten().map(str::to_owned);
        let command: Vec<_> =
            std::iter::once("redis-server".to_owned()).chain(fixed).chain(self.settings.clone()).collect();
        let guardian = Guardian::start(&self.dir, "KILL", &command);
        guardian.wait_until(|| answers(self.port));
        self.guardian = Some(guardian);
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        if self.guardian.take().is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// The lists in the Redis at `url`.
pub fn lists_at(url: impl AsRef<str>) -> Lists {
    let location = RedisLocation::at(url.as_ref()).expect("a Redis URL");
    Lists::new(RedisPool::new(location, Duration::from_secs(2)))
}

/// Whether it serves commands; while it loads its file it says so instead.
pub(super) fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 5];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG"
}
