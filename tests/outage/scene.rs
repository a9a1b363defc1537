//! A company whose API and worker are processes that reach their stores through networks that a test can break.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use zpack::accounts::TokenSigner;
use zpack::kernel::{Clock, OperationId, Secret, Timestamp, UserId};

use crate::crash::process::WorkerProcess;
use crate::support::company::Company;
use crate::support::proxy::{Proxy, Upstream};
use crate::support::{TestDb, free_port};

const SECRET: &str = "a signing secret of more than 32 bytes";

/// The time after the return of a store within which work continues.
const RETURN: Duration = Duration::from_secs(5);
/// A factor, because other tests run on the same two cores; half of the time is enough without them.
const LOADED: u32 = 2;

/// The largest share of a core that an idle process may use: the two percent of docs/contracts/jobs.md 6.11 for each of
/// the two queues of a worker.
const IDLE: f64 = 0.04;
/// How long that is measured.
const WINDOW: Duration = Duration::from_secs(4);

/// A company behind breakable networks.
pub struct Scene {
    pub company: Company,
    pub redis: Proxy,
    pub database: Option<Proxy>,
    folder: TempDir,
}

/// A running `zpack serve`.
pub struct Api {
    pub process: WorkerProcess,
    port: u16,
    owner: UserId,
    http: reqwest::Client,
}

impl Scene {
    /// A company over `db`.
    pub async fn over(db: TestDb) -> Self {
        let database = match db.socket.clone() {
            Some(socket) => Some(Proxy::start(Upstream::Socket(socket)).await),
            None => None,
        };
        let company = Company::start_over(db, 0.01).await;
        let redis = Proxy::start(Upstream::Port(company.redis.port())).await;
        Self { company, redis, database, folder: tempfile::tempdir().unwrap() }
    }

    /// A file of this test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The settings of a process behind the networks. No lease expires during an outage of a test, and timeouts are
    /// those of production.
    fn settings(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Vec<(&'static str, String)> {
        let mut settings = vec![("REDIS_URL", format!("redis://127.0.0.1:{}/0", self.redis.port()))];
        settings.extend(self.database.as_ref().map(|proxy| ("DATABASE_URL", self.company.db.url_at(proxy.port()))));
        let times = [("JOB_LEASE_MS", "120000"), ("JOB_SWEEP_MS", "1000"), ("JOB_BLOCK_MS", "2000")];
        settings.extend(times.map(|(name, value)| (name, value.to_owned())));
        settings.extend(more);
        settings
    }

    /// Starts a worker; its log has its name.
    pub fn worker(&self, name: &str, more: impl IntoIterator<Item = (&'static str, String)>) -> WorkerProcess {
        let log = self.file(name);
        WorkerProcess::start_role(&self.company, &["worker", "provision"], self.settings(more), Some(&log))
    }

    /// Starts the API and waits until it answers; its log is `api`.
    pub async fn api(&self) -> Api {
        self.api_with([]).await
    }

    /// The same with further settings.
    pub async fn api_with(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Api {
        let port = free_port();
        let more = Api::settings(port).into_iter().chain(more);
        let log = self.file("api");
        let process = WorkerProcess::start_role(&self.company, &["serve"], self.settings(more), Some(&log));
        let api = Api::of(process, port, self.company.owner);
        self.company.wait("the API to listen", || api.get("/api/health")).await;
        api
    }

    /// The lines of a log.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Creates a server and waits until it is done: every process is connected then.
    pub async fn warm_up(&self, api: &Api) {
        let id = accepted(api.create("warm").await).await;
        self.company.succeeded(id).await;
    }
}

impl Api {
    /// Settings of the API beside those of every process.
    pub fn settings(port: u16) -> [(&'static str, String); 3] {
        [("PORT", port.to_string()), ("BIND_ADDRESS", "127.0.0.1".to_owned()), ("API_AUTH_SECRET", SECRET.to_owned())]
    }

    /// The API in `process`, called by `owner`.
    pub fn of(process: WorkerProcess, port: u16, owner: UserId) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { process, port, owner, http }
    }

    /// An answer of 2xx as JSON.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("http://127.0.0.1:{}{path}", self.port)).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    /// Creates a server with an idempotency key.
    pub async fn create(&self, key: &str) -> Response {
        let signer = TokenSigner::new(&Secret::new(SECRET), Duration::from_secs(3600)).unwrap();
        let token = signer.issue(self.owner, 0, Clock::System.now()).unwrap();
        self.http
            .post(format!("http://127.0.0.1:{}/api/instances", self.port))
            .bearer_auth(token)
            .header("Idempotency-Key", key.replace(' ', "-"))
            .json(&json!({ "ctype": "dev", "runtime": "node", "version": "22" }))
            .send()
            .await
            .unwrap()
    }
}

/// The operation of a 202.
pub async fn accepted(answer: Response) -> OperationId {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 202, "{body}");
    body["operationId"].as_str().unwrap().parse().unwrap()
}

/// Checks that the answer is a 503 with this code and `Retry-After`.
pub async fn refused(answer: Response, code: &str) {
    let status = answer.status();
    let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((status.as_u16(), body["code"].as_str()), (503, Some(code)), "{body}");
    assert!(wait.is_some_and(|seconds| seconds > 0) && kind == "application/problem+json", "{wait:?} {kind}");
}

/// Checks that something happened soon enough after the return of a store.
pub fn assert_soon(what: &str, back: Timestamp, happened: Timestamp) {
    let took = happened.millis() - back.millis();
    println!("{what}: {took} ms after the return");
    assert!(took <= i64::try_from((RETURN * LOADED).as_millis()).unwrap(), "{what}: {took} ms after the return");
}

/// Checks that none of `processes` is busy. A share of a core can be measured only over a while, hence the window.
pub async fn assert_idle(what: &str, processes: &[(&str, &WorkerProcess)]) {
    let before: Vec<f64> = processes.iter().map(|(_, process)| cpu_seconds(process)).collect();
    let began = Instant::now();
    tokio::time::sleep(WINDOW).await;
    let took = began.elapsed().as_secs_f64();
    for ((name, process), before) in processes.iter().zip(before) {
        let share = (cpu_seconds(process) - before) / took;
        println!("{what}: {name} uses {:.1} % of a core", share * 100.0);
        assert!(share < IDLE, "{what}: {name} uses {:.1} % of a core", share * 100.0);
    }
}

/// The CPU time of all threads of a process: `utime` and `stime`, in hundredths of a second.
fn cpu_seconds(process: &WorkerProcess) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).expect("it lives");
    let (_, fields) = stat.rsplit_once(") ").expect("a command in brackets");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
