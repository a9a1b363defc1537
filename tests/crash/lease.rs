//! Leaders in separate processes: stopped for longer than their lock lasts, killed, left without Redis, and one with a
//! task that does not end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::AsyncCommands;
use sea_orm::EntityTrait;
use serde_json::Value;
use zpack::db::entities::audit_event;

use crate::stores::lease::candidate::{row, wait_for};
use crate::support::{PrivateRedis, TestDb, on_every_database};

on_every_database!(
    a_stopped_leader_is_followed_and_writes_nothing_when_it_goes_on,
    a_killed_leader_is_followed,
    a_flush_never_lets_an_older_leader_write_after_a_newer,
    without_redis_the_leader_goes_on_and_is_followed_when_it_dies,
);

/// How long a lock lasts here, and how old a leader's heartbeat gets before another takes over without Redis.
const TTL: Duration = Duration::from_secs(6);
const TAKEOVER: Duration = Duration::from_secs(12);

/// Longer than the database lets a stopped process hold a transaction open.
const TIMEOUT: Duration = Duration::from_secs(180);

/// A `zpack lease campaign` process; killed when it is dropped.
struct Candidate {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

fn zpack(test: &TestDb, redis: &PrivateRedis, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zpack"));
    let settings = [
        ("DATABASE_URL", test.url.clone()),
        ("REDIS_URL", redis.url()),
        ("LOG_LEVEL", "error".to_owned()),
        ("LEASE_TTL_MS", TTL.as_millis().to_string()),
        ("LEASE_TAKEOVER_MS", TAKEOVER.as_millis().to_string()),
        ("LEASE_RENEW_MS", "500".to_owned()),
        ("LEASE_RETRY_MS", "100".to_owned()),
    ];
    command.arg("--json").args(args).env_clear().envs(settings).stdin(Stdio::null());
    command
}

impl Candidate {
    fn start(test: &TestDb, redis: &PrivateRedis) -> Self {
        Self::start_with(test, redis, &[])
    }

    fn start_with(test: &TestDb, redis: &PrivateRedis, more: &[&str]) -> Self {
        let mut command = zpack(test, redis, &["lease", "campaign", "--tick-ms", "1000"]);
        command.args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the zpack binary starts");
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        std::thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            for line in lines.map(|line| serde_json::from_str(&line).expect("JSON")) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits until it prints `event`; returns the epoch.
    fn next_line(&self, event: &str) -> i64 {
        loop {
            let line = self.lines.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("gave up waiting: {event}"));
            if line["event"] == event {
                return line["epoch"].as_i64().expect("an epoch");
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("it lives");
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When leaders have written and their epochs, sorted by time.
async fn written(test: &TestDb) -> Vec<(i64, i64)> {
    let rows = audit_event::Entity::find().all(&test.db).await.unwrap();
    let mut written: Vec<_> = rows
        .iter()
        .filter(|row| row.action == "lease.tick")
        .map(|row| {
            let detail: Value = serde_json::from_str(row.detail.as_deref().unwrap()).unwrap();
            (row.at.millis(), detail["detail"]["epoch"].as_i64().unwrap())
        })
        .collect();
    written.sort_unstable();
    written
}

/// How often the leader of `epoch` has written.
async fn writes(test: &TestDb, epoch: i64) -> usize {
    written(test).await.iter().filter(|(_, of)| *of == epoch).count()
}

/// No leader has written after a newer one.
async fn assert_epochs_never_fall(test: &TestDb) {
    let written = written(test).await;
    assert!(written.is_sorted_by_key(|(_, epoch)| *epoch), "{written:?}");
}

/// Waits until a leader newer than `epoch` has written, whichever process it is.
async fn next_leader(test: &TestDb, epoch: i64) -> i64 {
    let mut newest = epoch;
    wait_for(&format!("a leader after {epoch}"), async || {
        newest = written(test).await.iter().map(|(_, epoch)| *epoch).max().unwrap_or(epoch);
        newest > epoch
    })
    .await;
    newest
}

async fn a_stopped_leader_is_followed_and_writes_nothing_when_it_goes_on(test: TestDb) {
    let redis = PrivateRedis::start();
    let (old, epoch, stopped) = tokio::task::block_in_place(|| {
        let old = Candidate::start(&test, &redis);
        let epoch = old.next_line("wrote");
        // Right after a commit, so that it holds no transaction open.
        old.signal(Signal::SIGSTOP);
        (old, epoch, Instant::now())
    });
    let new = Candidate::start(&test, &redis);
    let newer = tokio::task::block_in_place(|| {
        let mut newer = new.next_line("wrote");
        while stopped.elapsed() < 2 * TTL {
            newer = new.next_line("wrote");
        }
        newer
    });
    assert!(newer > epoch, "{newer} after {epoch}");
    let before = writes(&test, epoch).await;
    assert!(before > 0);

    old.signal(Signal::SIGCONT);
    assert_eq!(tokio::task::block_in_place(|| old.next_line("over")), epoch);
    tokio::task::block_in_place(|| new.next_line("wrote"));
    assert_eq!(writes(&test, epoch).await, before);

    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let holder: String = connection.get("zlh:controller:lock").await.unwrap();
    assert!(holder.contains(&format!(":{}:", new.child.id())), "{holder}");

    let output = zpack(&test, &redis, &["lease", "show"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lease = &shown["leases"][0];
    assert_eq!(lease["name"], "controller");
    assert_eq!(lease["lock"]["state"], "held", "{lease}");
    assert_eq!(lease["holder"], holder);
    assert!(lease["epoch"].as_i64().unwrap() >= newer && lease["ageSeconds"].is_u64(), "{lease}");

    // After an orderly end there is no leader, and the other one takes over.
    let mut new = new;
    new.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| new.child.wait()).unwrap().success());
    assert!(tokio::task::block_in_place(|| old.next_line("wrote")) > newer);
}

async fn a_killed_leader_is_followed(test: TestDb) {
    let redis = PrivateRedis::start();
    let old = Candidate::start(&test, &redis);
    let epoch = tokio::task::block_in_place(|| old.next_line("wrote"));
    let new = Candidate::start(&test, &redis);
    old.signal(Signal::SIGKILL);
    let newer = tokio::task::block_in_place(|| new.next_line("wrote"));
    assert_eq!(newer, epoch + 1);
    assert_epochs_never_fall(&test).await;
}

async fn a_flush_never_lets_an_older_leader_write_after_a_newer(test: TestDb) {
    let redis = PrivateRedis::start();
    let one = Candidate::start(&test, &redis);
    let mut epoch = tokio::task::block_in_place(|| one.next_line("wrote"));
    let _two = Candidate::start(&test, &redis);
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..3 {
        let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
        epoch = next_leader(&test, epoch).await;
    }
    assert_epochs_never_fall(&test).await;
}

async fn without_redis_the_leader_goes_on_and_is_followed_when_it_dies(test: TestDb) {
    let mut redis = PrivateRedis::start();
    let old = Candidate::start(&test, &redis);
    let epoch = tokio::task::block_in_place(|| old.next_line("wrote"));
    let new = Candidate::start(&test, &redis);
    redis.kill();
    let killed = Instant::now();
    tokio::task::block_in_place(|| {
        while killed.elapsed() < 2 * TTL {
            assert_eq!(old.next_line("wrote"), epoch);
        }
    });
    assert_eq!(row(&test).await.epoch, epoch, "the one that waits has left the leader alone");

    old.signal(Signal::SIGKILL);
    let newer = tokio::task::block_in_place(|| new.next_line("wrote"));
    assert_eq!(newer, epoch + 1);
    let of = async |epoch| -> Vec<i64> {
        written(&test).await.into_iter().filter(|(_, of)| *of == epoch).map(|(at, _)| at).collect()
    };
    let (last, first) = (of(epoch).await.pop().unwrap(), of(newer).await[0]);
    // The heartbeat is written before the write of the same tick.
    let slack = Duration::from_secs(2);
    assert!(first - last > i64::try_from((TAKEOVER - slack).as_millis()).unwrap(), "after {} ms", first - last);
    assert_epochs_never_fall(&test).await;
}

/// A thread that never returns cannot keep a process from ending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_blocking_task_exits_to_be_restarted() {
    let test = TestDb::migrated(zpack::config::DatabaseKind::Sqlite).await;
    let redis = PrivateRedis::start();
    let mut stuck = Candidate::start_with(&test, &redis, &["--stuck"]);
    tokio::task::block_in_place(|| stuck.next_line("wrote"));
    stuck.signal(Signal::SIGTERM);
    let mut status = None;
    wait_for("the process to end", async || {
        status = stuck.child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.and_then(|status| status.code()), Some(75));
}

#[tokio::test]
async fn production_has_no_test_candidates() {
    let test = TestDb::migrated(zpack::config::DatabaseKind::Sqlite).await;
    let redis = PrivateRedis::start();
    let mut command = zpack(&test, &redis, &["lease", "campaign"]);
    let output = command.env("ZPACK_ENV", "production").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("for tests"));
    let shown = zpack(&test, &redis, &["lease", "show"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let no_leader = serde_json::json!({
        "name": "controller", "epoch": 0, "holder": null, "renewedAt": null, "ageSeconds": null,
        "lock": { "state": "free" },
    });
    assert_eq!(shown["leases"][0], no_leader);
}
