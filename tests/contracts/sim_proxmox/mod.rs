//! The simulated Proxmox against docs/contracts/proxmox.md, over raw HTTP.

mod access;
mod clone;
mod cluster;
mod config;
mod endpoints;
mod power;
mod storage;
mod tasks;
mod transport;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use url::form_urlencoded;
use zpack::sim::proxmox::PveProfile;
use zpack::sim::{SimConfig, World};

use super::raw::{Answer, Connection};

pub const DEADLINE: Duration = Duration::from_secs(20);

/// A world and a connection to its Proxmox.
pub struct Rig {
    pub world: World,
    token: String,
}

impl Rig {
    /// Simulated seconds take 10 ms.
    pub async fn quick() -> Self {
        Self::scaled(0.01).await
    }

    /// Tasks are so slow that none ends during a test.
    pub async fn slow() -> Self {
        Self::scaled(100.0).await
    }

    pub async fn scaled(time_scale: f64) -> Self {
        Self::with(SimConfig { time_scale, ..SimConfig::default() }).await
    }

    pub async fn profile(profile: PveProfile) -> Self {
        Self::with(SimConfig { profile, ..SimConfig::default() }).await
    }

    pub async fn with(config: SimConfig) -> Self {
        let world = World::start(config).await.unwrap();
        let token = world.proxmox_token();
        Self { world, token }
    }

    pub fn address(&self) -> SocketAddr {
        let url: url::Url = self.world.proxmox_url().parse().unwrap();
        assert_eq!(url.path(), "/api2/json");
        SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()))
    }

    pub fn use_token(&mut self, token: &str) {
        self.token = token.to_owned();
    }

    /// The text of a request with our token and a form.
    pub fn request(&self, method: &str, path: &str, form: &[(&str, &str)]) -> String {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let (query, body) = match method {
            "GET" | "DELETE" if !form.is_empty() => (format!("?{form}"), String::new()),
            "GET" | "DELETE" => (String::new(), String::new()),
            _ => (String::new(), form),
        };
        let length = match method {
            "GET" | "DELETE" => String::new(),
            _ => format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len()),
        };
        let token = &self.token;
        format!(
            "{method} /api2/json{path}{query} HTTP/1.1\r\nHost: sim\r\nAuthorization: PVEAPIToken={token}\r\n{length}\r\n{body}"
        )
    }

    pub async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let mut connection = Connection::open(self.address()).await;
        connection.exchange(&self.request(method, path, form)).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call("GET", path, &[]).await.data()
    }

    /// Sends a request that starts a task; returns its UPID.
    pub async fn begin(&self, method: &str, path: &str, form: &[(&str, &str)]) -> String {
        let upid = self.call(method, path, form).await.data();
        let upid = upid.as_str().unwrap_or_else(|| panic!("no UPID but {upid}"));
        assert!(upid.starts_with("UPID:pve"), "{upid}");
        upid.to_owned()
    }

    /// Waits until a task has ended; returns its exit status.
    pub async fn end(&self, upid: &str) -> String {
        let node = upid.split(':').nth(1).unwrap();
        let path = format!("/nodes/{node}/tasks/{upid}/status");
        let status = self.until(|| self.get(&path), |status| status["status"] == "stopped").await;
        status["exitstatus"].as_str().unwrap().to_owned()
    }

    /// Sends a request that starts a task, and waits for its end.
    pub async fn run(&self, method: &str, path: &str, form: &[(&str, &str)]) -> String {
        let upid = self.begin(method, path, form).await;
        self.end(&upid).await
    }

    /// Repeats a request until the answer is as wanted.
    pub async fn until<F, W>(&self, ask: impl Fn() -> F, wanted: W) -> Value
    where
        F: Future<Output = Value>,
        W: Fn(&Value) -> bool,
    {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        let mut last = Value::Null;
        let waiting = async {
            loop {
                tick.tick().await;
                last = ask().await;
                if wanted(&last) {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(in_time.is_ok(), "it never came; the last answer was {last}");
        last
    }

    /// A clone of the template on pve1.
    pub async fn clone(&self, newid: u32) {
        let newid = newid.to_string();
        let form = [("newid", newid.as_str()), ("hostname", "mc-1"), ("pool", "zpack")];
        assert_eq!(self.run("POST", "/nodes/pve1/lxc/9000/clone", &form).await, "OK");
    }

    /// A running clone of the template on pve1.
    pub async fn running(&self, vmid: u32) {
        self.clone(vmid).await;
        assert_eq!(self.run("POST", &format!("/nodes/pve1/lxc/{vmid}/status/start"), &[]).await, "OK");
    }

    pub async fn control(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.world.control_url());
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        let mut request = http.request(method.parse().unwrap(), url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A control request that must succeed.
    pub async fn steer(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.control("POST", path, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub async fn plan_ending(&self, kind: &str, exitstatus: &str) {
        self.steer("/sim/proxmox/tasks/next", json!({"type": kind, "exitstatus": exitstatus})).await;
    }

    pub async fn state(&self) -> Value {
        self.control("GET", "/sim/state", Value::Null).await.1["proxmox"].clone()
    }

    /// The ledger row of a container, `Null` if there is none.
    pub async fn container(&self, vmid: u32) -> Value {
        let state = self.state().await;
        let rows = state["containers"].as_array().unwrap();
        rows.iter().find(|row| row["vmid"] == vmid).cloned().unwrap_or_default()
    }

    /// How often an effect was executed on a container.
    pub async fn executed(&self, effect: &str, vmid: u32) -> usize {
        let state = self.state().await;
        let ledger = state["ledger"].as_array().unwrap();
        ledger.iter().filter(|entry| entry["effect"] == effect && entry["vmid"] == vmid).count()
    }
}
