//! What tests run on: private servers that end with the test process, and databases on each of them.
//!
//! All tests run in one process (`cargo test`), so one PostgreSQL and one MariaDB serve the whole run: starting one
//! takes seconds, creating a database on it milliseconds. cargo-nextest runs each test in a separate process and would
//! start them for each test. A Redis starts in 20 ms, and tests flush and kill it, so every test has its own.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpack::background::{Runner, Task};
use zpack::kernel::Clock;
use zpack::observe::poller::Poller;
use zpack::telemetry::Metrics;

pub mod app;
pub mod artifacts;
pub mod company;
pub mod database;
pub mod door;
pub mod guardian;
pub mod logs;
pub mod mariadb;
pub mod parts;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod rows;
pub mod runtime;
pub mod scratch;
pub mod sentinels;
pub mod servers;
pub mod sse;
pub mod worker;

pub use database::TestDb;
pub(crate) use database::{on_every_database, on_every_empty_database};
pub use redis::{PrivateRedis, lists_at};

/// Runs the passes of `task` until `stop` fires, as a role would.
pub fn in_background(task: impl Task, stop: &CancellationToken) -> JoinHandle<()> {
    all_in_background([Box::new(task) as Box<dyn Task>], stop)
}

fn all_in_background<const N: usize>(tasks: [Box<dyn Task>; N], stop: &CancellationToken) -> JoinHandle<()> {
    let mut runner = Runner::new(stop.clone(), &Metrics::default(), Clock::System);
    for task in tasks {
        runner.add(task);
    }
    tokio::spawn(async move { runner.run().await.expect("the task goes on until it is stopped") })
}

/// Polls until `stop` fires, as `zpack serve` does.
pub fn polling(poller: Poller, stop: &CancellationToken) -> JoinHandle<()> {
    let (agents, containers) = poller.tasks();
    all_in_background([Box::new(agents), Box::new(containers)], stop)
}

/// A free port of the loopback interface.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
