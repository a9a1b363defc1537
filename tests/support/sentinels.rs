//! A primary and a replica of Redis, watched by three Sentinels, all private to one test.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::{ConnectionLike, FromRedisValue};

use super::guardian::{Guardian, server_dir};
use super::redis::answers;
use super::{PrivateRedis, free_port};

/// The name under which the Sentinels know the primary.
const SERVICE: &str = "zpack";

/// How long everything here may take on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The two servers and who watches them. A Sentinel fails over when the primary was silent for a second.
pub struct Sentinels {
    servers: [PrivateRedis; 2],
    watchers: Vec<(u16, Guardian)>,
}

impl Sentinels {
    /// Starts all five and waits until every Sentinel knows the others and the replica.
    pub fn start() -> Self {
        let primary = PrivateRedis::start();
        let replica = PrivateRedis::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        let watchers = (0..3).map(|_| watcher(primary.port())).collect();
        let all = Self { servers: [primary, replica], watchers };
        wait_for("the replica to have it all", || {
            let info: String = ask(all.servers[1].port(), &["INFO", "replication"])?;
            info.contains("master_link_status:up").then_some(())
        });
        for (port, _) in &all.watchers {
            wait_for("a Sentinel to know the others", || {
                let fields: HashMap<String, String> = ask(*port, &["SENTINEL", "MASTER", SERVICE])?;
                (fields["num-other-sentinels"] == "2" && fields["num-slaves"] == "1").then_some(())
            });
        }
        all
    }

    /// What `REDIS_URL` has to be.
    pub fn url(&self) -> String {
        let watchers: Vec<_> = self.watchers.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{SERVICE}/0", watchers.join(","))
    }

    /// The server that is no primary now.
    pub fn replica(&self) -> &PrivateRedis {
        let [first, second] = &self.servers;
        if is_primary(first.port()) { second } else { first }
    }

    /// Has the Sentinels make the replica the primary. Returns once it is.
    pub fn fail_over(&self) {
        let next = self.replica().port();
        // A Sentinel refuses while it has not heard enough of the replica, or still carries out another failover.
        wait_for("a Sentinel to fail over", || ask::<String>(self.watchers[0].0, &["SENTINEL", "FAILOVER", SERVICE]));
        self.wait_for_primary(next);
    }

    /// Kills the primary. Returns once the replica is the primary.
    pub fn kill_primary(&mut self) {
        let next = self.replica().port();
        let primary = self.servers.iter_mut().find(|server| server.port() != next).expect("one of two");
        primary.kill();
        self.wait_for_primary(next);
    }

    /// Lets the primary fall silent with its connections open until the replica is the primary; then it continues, as a
    /// replica once the Sentinels have told it.
    pub fn silence_primary(&self) {
        let next = self.replica().port();
        let primary = self.servers.iter().find(|server| server.port() != next).expect("one of two");
        primary.freeze();
        self.wait_for_primary(next);
        primary.thaw();
        wait_for("the former primary to be a replica", || (!is_primary(primary.port())).then_some(()));
    }

    fn wait_for_primary(&self, port: u16) {
        wait_for("the promotion", || is_primary(port).then_some(()));
    }
}

fn watcher(primary: u16) -> (u16, Guardian) {
    let (port, dir) = (free_port(), server_dir("sentinel"));
    let file = dir.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {dir}\nsentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 5000\n",
        dir = dir.display()
    );
    std::fs::write(&file, text).expect("the folder takes files");
    let command = ["redis-server", &file.display().to_string(), "--sentinel"].map(str::to_owned);
    let guardian = Guardian::start(&dir, "KILL", &command);
    guardian.wait_until(|| answers(port));
    (port, guardian)
}

fn is_primary(port: u16) -> bool {
    ask::<String>(port, &["INFO", "replication"]).is_some_and(|info| info.contains("role:master"))
}

/// The answer of a server; none when it refuses or does not answer.
fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> Option<T> {
    let mut connection = redis::Client::open(("127.0.0.1", port)).ok()?.get_connection().ok()?;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    connection.req_command(&command).ok().and_then(|value| redis::from_redis_value(value).ok())
}

fn wait_for<T>(what: &str, fact: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = fact() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
