//! What is measured, and in which order.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zpack::accounts::TokenSigner;
use zpack::kernel::{Clock, Secret};

use crate::figures::Figures;
use crate::logins::log_in;
use crate::machine;
use crate::poller;
use crate::process;
use crate::report::{Facts, write};
use crate::routes::Route;
use crate::seed::{self, Seeded};
use crate::stores::{Postgres, Redis};
use crate::systems::{Places, SECRET, Server, System};
use crate::work::Work;

/// The size of a run. Environment variables can make it smaller; a smaller run writes a report only to an explicit
/// directory.
pub struct Size {
    pub repeats: usize,
    /// How long a route of a system is measured, in seconds.
    pub seconds: usize,
    /// Connections that are kept open.
    pub connections: usize,
    pub servers: usize,
    pub operations: usize,
    pub logins: usize,
    /// How long the poller is measured, in seconds.
    pub poller: usize,
}

impl Size {
    fn from_environment() -> Self {
        let number = |name: &str, normal: usize| {
            std::env::var(name).ok().map_or(normal, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
        };
        Self {
            repeats: number("BENCH_REPEATS", 5),
            seconds: number("BENCH_SECONDS", 5),
            connections: 32,
            servers: number("BENCH_SERVERS", 10_000),
            operations: number("BENCH_OPERATIONS", 100_000),
            logins: number("BENCH_LOGINS", 10_000),
            poller: number("BENCH_POLLER", 60),
        }
    }
}

/// How long a server may take until it is idle.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// The lines of a profile that are shown.
const PROFILE_LINES: usize = 40;

/// How long a server rests before its memory is read.
const SETTLE: Duration = Duration::from_secs(20);

struct Bench {
    redis: Redis,
    postgres: Postgres,
    places: Places,
    seeded: Seeded,
    size: Size,
    figures: Figures,
    folder: TempDir,
}

/// Measures everything and writes the report.
pub async fn run() {
    let size = Size::from_environment();
    let load = machine::load();
    let (redis, postgres) = (Redis::start().await, Postgres::start());
    let (database, predecessor) = (postgres.database("bench").await, postgres.empty_database("predecessor").await);
    println!("bench: filling the stores");
    let seeded = seed::fill(&database, redis.port, size.servers, size.operations).await;
    seed::fill_predecessor(&predecessor, &seeded).await;
    let folder = tempfile::tempdir().unwrap();
    let places = Places { database, predecessor, redis: redis.port, logs: folder.path().to_owned() };
    let mut bench = Bench { redis, postgres, places, seeded, size, figures: Figures::default(), folder };
    let mut loads = vec![load];
    for turn in 0..bench.size.repeats {
        println!("bench: repetition {} of {}", turn + 1, bench.size.repeats);
        bench.requests(turn).await;
        loads.push(machine::load());
    }
    println!("bench: memory, {} logins", bench.size.logins);
    bench.memory().await;
    loads.push(machine::load());
    if bench.size.poller > 0 {
        println!("bench: the poller, {} s", bench.size.poller);
        let Bench { postgres, folder, figures, size, .. } = &mut bench;
        poller::measure(postgres, folder.path(), size.servers, size.poller, figures).await;
        loads.push(machine::load());
    }
    let profile = bench.profile().await;
    let folder = out();
    std::fs::create_dir_all(&folder).unwrap();
    let facts =
        Facts { redis: bench.redis.version().await, postgres: bench.postgres.version().await, loads, size: bench.size };
    write(&folder, &bench.figures, &facts, profile);
    println!("bench: wrote {}", folder.join("api.md").display());
}

fn out() -> PathBuf {
    let folder = std::env::var("BENCH_OUT").unwrap_or_else(|_| "docs/benchmarks".to_owned());
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// Long intervals, so that nothing but requests is measured.
const WITHOUT_POLLS: &[(&str, &str)] = &[("POLLER_INTERVAL_MS", "600000"), ("POLLER_LONGEST_INTERVAL_MS", "600000")];

impl Bench {
    /// Measures each route of each system. Each system is first as often as last, so that none always finds a warmer
    /// machine.
    async fn requests(&mut self, turn: usize) {
        let mut systems = System::ALL;
        if turn % 2 == 1 {
            systems.reverse();
        }
        let servers = systems.map(|system| (system, Server::start(system, &self.places, WITHOUT_POLLS)));
        for (_, server) in &servers {
            self.warm_up(server).await;
        }
        for route in Route::ALL {
            for (system, server) in &servers {
                self.request(route, *system, server).await;
            }
        }
    }

    /// Loads every route of a server, because its first requests cost more, and waits until it is idle: a server that
    /// starts reads every server first.
    async fn warm_up(&self, server: &Server) {
        for route in Route::ALL {
            Work::start(&self.load(&self.request_file(route), server.port, 1)).result();
        }
        let deadline = Instant::now() + IDLE_LIMIT;
        loop {
            let before = process::cpu(server.pid());
            tokio::time::sleep(Duration::from_secs(1)).await;
            if process::cpu(server.pid()) - before < 0.03 {
                return;
            }
            assert!(Instant::now() < deadline, "process {} is not idle without requests", server.pid());
        }
    }

    async fn request(&mut self, route: Route, system: System, server: &Server) {
        let file = self.request_file(route);
        let mut load = Work::start(&self.load(&file, server.port, self.size.seconds));
        load.says("begin");
        let postmaster = self.postgres.pid();
        let measured = || (process::cpu(server.pid()), process::children(postmaster));
        let (before, work) = (measured(), self.redis.reset().await);
        let result = load.result();
        let (after, done) = (measured(), self.redis.work().await);
        let requests = result["requests"].as_f64().unwrap();
        let mut add = |what: &str, sample: f64| self.figures.add(&format!("{} {what}", route.name()), system, sample);
        add("throughput", requests / self.size.seconds as f64);
        for percentile in ["p50", "p99"] {
            add(percentile, result[percentile].as_f64().unwrap());
        }
        add("cpu", (after.0 - before.0) / requests * 1e6);
        add("database cpu", process::between(&before.1, &after.1) / requests * 1e6);
        add("redis commands", done.commands().saturating_sub(work.commands()) as f64 / requests);
    }

    fn request_file(&self, route: Route) -> PathBuf {
        let signer = TokenSigner::new(&Secret::new(SECRET), Duration::from_secs(24 * 3600)).unwrap();
        let now = Clock::System.now();
        let file = self.folder.path().join("requests");
        let requests = route.requests(&self.seeded, |user| signer.issue(user, 0, now).unwrap());
        std::fs::write(&file, requests).unwrap();
        file
    }

    fn load(&self, file: &Path, port: u16, seconds: usize) -> Vec<String> {
        let program = std::env::current_exe().unwrap().display().to_string();
        let (port, connections) = (port.to_string(), self.size.connections.to_string());
        vec![program, "load".to_owned(), port, connections, seconds.to_string(), file.display().to_string()]
    }

    /// The memory of a server that polls as shipped, and after logins.
    async fn memory(&mut self) {
        let server = Server::start(System::Zpack, &self.places, &[]);
        tokio::time::sleep(SETTLE).await;
        self.figures.add("idle memory", System::Zpack, server.resident());
        log_in(server.port, self.seeded.customers.len(), self.size.logins).await;
        self.figures.add("memory after logins", System::Zpack, server.resident());
    }

    /// Where `GET /api/servers` spends its time, if `perf` is available.
    async fn profile(&self) -> Option<String> {
        let server = Server::start(System::Zpack, &self.places, WITHOUT_POLLS);
        let mut load = Work::start(&self.load(&self.request_file(Route::Servers), server.port, 5));
        load.says("begin");
        let data = self.folder.path().join("perf.data").display().to_string();
        let pid = server.pid().to_string();
        let mut record = std::process::Command::new("perf");
        record.args(["record", "-q", "-F", "999", "-o", &data, "-p", &pid, "--", "sleep", "4"]);
        let recorded = record.output().is_ok_and(|output| output.status.success());
        load.result();
        if !recorded {
            return None;
        }
        let report = std::process::Command::new("perf")
            .args([
                "report",
                "-i",
                &data,
                "--stdio",
                "-q",
                "--percent-limit",
                "0.8",
                "--sort",
                "dso,symbol",
                "--fields",
                "overhead,dso,symbol",
            ])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&report.stdout);
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.trim_end_matches([' ', '-']))
            .filter(|line| !line.is_empty())
            .take(PROFILE_LINES)
            .collect();
        Some(lines.join("\n"))
    }
}
