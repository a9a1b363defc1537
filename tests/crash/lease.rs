//! A leader that is stopped for longer than its lock lives, and then goes on as if nothing had happened.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::AsyncCommands;
use sea_orm::EntityTrait;
use serde_json::Value;
use zpack::db::entities::audit_event;

use crate::support::{PrivateRedis, TestDb, on_every_database};

on_every_database!(a_stopped_leader_is_followed_and_writes_nothing_when_it_goes_on,);

/// Longer than the database lets a stopped process hold a transaction open.
const PATIENCE: Duration = Duration::from_secs(180);

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
        ("LEASE_TTL_MS", "6000".to_owned()),
        ("LEASE_RENEW_MS", "500".to_owned()),
        ("LEASE_RETRY_MS", "100".to_owned()),
    ];
    command.arg("--json").args(args).env_clear().envs(settings).stdin(Stdio::null());
    command
}

impl Candidate {
    fn start(test: &TestDb, redis: &PrivateRedis) -> Self {
        let mut command = zpack(test, redis, &["lease", "campaign", "--tick-ms", "1000"]);
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

    /// Waits until it tells of `event`; answers the epoch.
    fn tells(&self, event: &str) -> i64 {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("gave up waiting: {event}"));
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

/// How often the leader of `epoch` has written.
async fn writes(test: &TestDb, epoch: i64) -> usize {
    let rows = audit_event::Entity::find().all(&test.db).await.unwrap();
    let of_epoch = |row: &&audit_event::Model| {
        let detail: Value = serde_json::from_str(row.detail.as_deref().unwrap()).unwrap();
        row.action == "lease.tick" && detail["detail"]["epoch"] == epoch
    };
    rows.iter().filter(of_epoch).count()
}

async fn a_stopped_leader_is_followed_and_writes_nothing_when_it_goes_on(test: TestDb) {
    let redis = PrivateRedis::start();
    let (old, epoch) = tokio::task::block_in_place(|| {
        let old = Candidate::start(&test, &redis);
        let epoch = old.tells("wrote");
        // Right after a commit, so that it holds no transaction open.
        old.signal(Signal::SIGSTOP);
        (old, epoch)
    });
    let new = Candidate::start(&test, &redis);
    let newer = tokio::task::block_in_place(|| new.tells("wrote"));
    assert!(newer > epoch, "{newer} after {epoch}");
    let before = writes(&test, epoch).await;
    assert!(before > 0);

    old.signal(Signal::SIGCONT);
    assert_eq!(tokio::task::block_in_place(|| old.tells("over")), epoch);
    tokio::task::block_in_place(|| new.tells("wrote"));
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

    // An orderly end leaves nobody in charge, and the other follows.
    let mut new = new;
    new.signal(Signal::SIGTERM);
    assert!(tokio::task::block_in_place(|| new.child.wait()).unwrap().success());
    assert!(tokio::task::block_in_place(|| old.tells("wrote")) > newer);
}

#[tokio::test]
async fn production_has_no_candidate_for_tests() {
    let test = TestDb::migrated(zpack::config::DatabaseKind::Sqlite).await;
    let redis = PrivateRedis::start();
    let mut command = zpack(&test, &redis, &["lease", "campaign"]);
    let output = command.env("ZPACK_ENV", "production").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("for tests"));
    let shown = zpack(&test, &redis, &["lease", "show"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let nobody = serde_json::json!({
        "name": "controller", "epoch": 0, "holder": null, "renewedAt": null, "ageSeconds": null,
        "lock": { "state": "free" },
    });
    assert_eq!(shown["leases"][0], nobody);
}
