//! The private Redis of a development company: a child that ends with its parent, however the parent ends.
//!
//! A separate thread starts it and waits for it, because the kernel ends such a child with the *thread* that started
//! it. When Redis dies it is started again on the same port, with the content of its append-only file.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::Instant;

use super::data_dir::DataDir;
use super::stale;

const START_LIMIT: Duration = Duration::from_secs(15);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const RESTART_WAIT: Duration = Duration::from_millis(300);

/// A running private Redis.
pub(super) struct PrivateRedis {
    url: String,
    child: Arc<Supervised>,
    supervisor: JoinHandle<()>,
}

/// What the thread that waits for the child shares with the rest.
#[derive(Default)]
struct Supervised {
    stopping: AtomicBool,
    /// Whether it has answered once: after that its end is a crash, not a failed start.
    answered: AtomicBool,
    process: Mutex<Option<OwnedFd>>,
}

impl Supervised {
    fn signal(&self, signal: Signal) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = process.as_ref() {
            // It may just have ended.
            let _ = pidfd_send_signal(process, signal);
        }
    }

    fn note(&self, process: Option<OwnedFd>) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
    }
}

impl PrivateRedis {
    /// Starts a Redis whose files are in `dir`, and waits until it answers.
    pub(super) async fn start(dir: &DataDir, password: &str) -> anyhow::Result<Self> {
        let home = dir.file("redis");
        std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        stale::stop_left_behind(&home).await?;
        let port_file = home.join("port");
        let last = std::fs::read_to_string(&port_file).ok().and_then(|text| text.trim().parse::<u16>().ok());
        let mut failure = None;
        // Another process may take a free port before Redis does.
        for wanted in [last, None, None] {
            let port = free_port(wanted)?;
            let config = write_config(dir, &home, port, password)?;
            match Self::launch(&home, config, port, password).await {
                Ok(redis) => {
                    std::fs::write(&port_file, port.to_string()).context("cannot write the port of Redis")?;
                    return Ok(redis);
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| anyhow::anyhow!("Redis did not start")))
    }

    async fn launch(home: &Path, config: PathBuf, port: u16, password: &str) -> anyhow::Result<Self> {
        let child = Arc::new(Supervised::default());
        let (report, started) = tokio::sync::oneshot::channel();
        let (shared, log) = (child.clone(), home.join("redis.log"));
        let supervisor = std::thread::Builder::new()
            .name("redis-supervisor".to_owned())
            .spawn({
                let log = log.clone();
                move || supervise(&shared, &config, &log, report)
            })
            .context("cannot start the thread that supervises Redis")?;
        started.await.context("the thread that supervises Redis ended")??;
        let redis = Self { url: format!("redis://:{password}@127.0.0.1:{port}/0"), child, supervisor };
        match redis.answers().await {
            Ok(()) => {
                redis.child.answered.store(true, Ordering::SeqCst);
                Ok(redis)
            }
            Err(error) => {
                redis.stop().await;
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(3).collect();
                Err(error.context(format!("its log ends: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | "))))
            }
        }
    }

    /// Its URL, with the password.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let client = redis::Client::open(self.url.as_str()).context("the private Redis has a bad address")?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let asked = async {
                let mut connection = client.get_multiplexed_async_connection().await?;
                redis::cmd("PING").query_async::<String>(&mut connection).await
            };
            match asked.await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("the private Redis does not answer");
                }
                Err(_) if self.supervisor.is_finished() => bail!("the private Redis ended at once"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Lets Redis write its files and end.
    pub(super) async fn stop(self) {
        self.child.stopping.store(true, Ordering::SeqCst);
        self.child.signal(Signal::TERM);
        let deadline = Instant::now() + STOP_LIMIT;
        while !self.supervisor.is_finished() {
            if Instant::now() > deadline {
                self.child.signal(Signal::KILL);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Starts the child again whenever it ends, until it is stopped. Reports the result of the first start.
fn supervise(child: &Supervised, config: &Path, log: &Path, report: tokio::sync::oneshot::Sender<anyhow::Result<()>>) {
    let mut report = Some(report);
    loop {
        let mut process = match spawn(config, log) {
            Ok(process) => process,
            Err(error) => {
                match report.take() {
                    Some(report) => drop(report.send(Err(error))),
                    None => tracing::error!(error = format!("{error:#}"), "the private Redis cannot be restarted"),
                }
                return;
            }
        };
        let handle = Pid::from_raw(i32::try_from(process.id()).unwrap_or(0));
        child.note(handle.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()));
        if let Some(report) = report.take() {
            // The starter may no longer wait.
            let _ = report.send(Ok(()));
        }
        // A stop may have been requested before there was a process to signal.
        if child.stopping.load(Ordering::SeqCst) {
            child.signal(Signal::TERM);
        }
        let ended = process.wait();
        child.note(None);
        if child.stopping.load(Ordering::SeqCst) || !child.answered.load(Ordering::SeqCst) {
            return;
        }
        tracing::warn!(status = ?ended, "the private Redis ended; restarting it");
        std::thread::sleep(RESTART_WAIT);
    }
}

fn spawn(config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = log.try_clone().context("cannot write the log of Redis")?;
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "redis-server"])
        .arg(config)
        // Ctrl-C in a terminal is for the parent, which stops Redis last.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn();
    child.context("cannot run setpriv, which ties Redis to zpack; install it: apt-get install util-linux")
}

/// Fails with what to install when there is no Redis on the machine.
pub(super) fn require_installed(path: Option<&str>) -> anyhow::Result<()> {
    let found = path.unwrap_or_default().split(':').any(|dir| Path::new(dir).join("redis-server").is_file());
    if found {
        return Ok(());
    }
    bail!("redis-server is not on the PATH; install it: apt-get install redis-server (zpack dev runs its own copy)")
}

fn free_port(wanted: Option<u16>) -> anyhow::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = match wanted.map(bind) {
        Some(Ok(listener)) => listener,
        Some(Err(_)) | None => bind(0).context("there is no free port for Redis")?,
    };
    Ok(listener.local_addr().context("there is no free port for Redis")?.port())
}

fn write_config(dir: &DataDir, home: &Path, port: u16, password: &str) -> anyhow::Result<PathBuf> {
    let text = format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {home}\npidfile {pid}\ndaemonize no\n\
         appendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n",
        home = quoted(home),
        pid = quoted(&home.join("redis.pid")),
    );
    dir.write_private("redis/redis.conf", &text)?;
    Ok(home.join("redis.conf"))
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_redis_is_answered_with_its_package() {
        let empty = tempfile::tempdir().unwrap();
        let error = require_installed(empty.path().to_str()).unwrap_err().to_string();
        assert!(error.contains("apt-get install redis-server"), "{error}");
    }

    #[tokio::test]
    async fn it_answers_is_restarted_when_killed_and_keeps_its_keys() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let server = PrivateRedis::start(&dir, "pass").await.unwrap();
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = connect(&client).await.unwrap();
        let _: () = redis::cmd("SET").arg("k").arg("v").query_async(&mut connection).await.unwrap();
        let _: i64 = redis::cmd("WAITAOF").arg(1).arg(0).arg(1000).query_async(&mut connection).await.unwrap_or(0);
        let _: String = redis::cmd("CONFIG")
            .arg("SET")
            .arg("appendfsync")
            .arg("always")
            .query_async(&mut connection)
            .await
            .unwrap();
        let _: () = redis::cmd("SET").arg("k2").arg("v").query_async(&mut connection).await.unwrap();
        server.child.signal(Signal::KILL);
        server.restarted(&client).await;
        let mut connection = connect(&client).await.unwrap();
        let kept: Option<String> = redis::cmd("GET").arg("k2").query_async(&mut connection).await.unwrap();
        assert_eq!(kept.as_deref(), Some("v"));
        server.stop().await;
        assert!(connect(&client).await.is_err());
    }

    /// A connection with long timeouts: on a loaded machine writes to the disk take long.
    async fn connect(client: &redis::Client) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        let slow = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(10)))
            .set_response_timeout(Some(Duration::from_secs(60)));
        client.get_multiplexed_async_connection_with_config(&slow).await
    }

    impl PrivateRedis {
        async fn restarted(&self, client: &redis::Client) {
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut gone = false;
            loop {
                let answers = self.answers_once(client).await;
                gone |= !answers;
                if gone && answers {
                    return;
                }
                assert!(Instant::now() < deadline, "Redis did not come back");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }

        async fn answers_once(&self, client: &redis::Client) -> bool {
            let Ok(mut connection) = connect(client).await else { return false };
            redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
        }
    }
}
