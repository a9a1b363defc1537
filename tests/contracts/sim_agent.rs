//! The simulated agent and artifact server, over raw HTTP.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use zpack::kernel::{Clock, Timestamp};
use zpack::sim::agent::AgentMode;
use zpack::sim::{Boot, SimConfig, World};

const VMID: u32 = 5001;
const DEADLINE: Duration = Duration::from_secs(20);

/// A world with one running container and a clock that stands still.
struct Rig {
    world: World,
    clock: Clock,
    http: Client,
    address: Ipv4Addr,
}

impl Rig {
    async fn new() -> Self {
        Self::with(SimConfig::default()).await
    }

    async fn with(config: SimConfig) -> Self {
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
        let world = World::start(SimConfig { clock: clock.clone(), time_scale: 0.01, ..config }).await.unwrap();
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let address = world.network().host(2);
        let rig = Self { world, clock, http, address };
        rig.boot(1).await;
        rig
    }

    async fn boot(&self, incarnation: u64) {
        let boot = Boot {
            vmid: VMID,
            incarnation,
            address: Some(self.address),
            hostname: "mc-1".to_owned(),
            memory: 2048,
            description: String::new(),
        };
        for observer in self.world.core().observers() {
            observer.started(boot.clone()).await;
        }
        self.until_reachable().await;
    }

    async fn until_reachable(&self) {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        tokio::time::timeout(DEADLINE, async {
            while self.http.get(self.url("/health")).send().await.is_err() {
                tick.tick().await;
            }
        })
        .await
        .expect("the agent never came up");
    }

    async fn stop(&self) {
        for observer in self.world.core().observers() {
            observer.stopped(VMID).await;
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.address, self.world.agent_port())
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.world.agent_token())
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    async fn put(&self, path: &str, body: &'static str, header: Option<(&str, &str)>) -> Response {
        let mut request = self.request(Method::PUT, path).body(body);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }

    async fn status(&self) -> Value {
        self.get("/status").await.json().await.unwrap()
    }

    /// Advances the simulated time.
    fn pass(&self, simulated_millis: u64) {
        self.clock.advance(Duration::from_millis(simulated_millis) / 100);
    }

    async fn control(&self, path: &str, body: Value) -> Response {
        self.http.post(format!("{}{path}", self.world.control_url())).json(&body).send().await.unwrap()
    }

    async fn levers(&self, body: Value) {
        let answer = self.control(&format!("/sim/agents/{VMID}"), body).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    async fn sim_state(&self) -> Value {
        self.http.get(format!("{}/sim/state", self.world.control_url())).send().await.unwrap().json().await.unwrap()
    }

    async fn install(&self) {
        assert_eq!(self.post("/config", &paper(1)).await.status(), 202);
        self.pass(60_000);
        assert_eq!(self.status().await["state"], "running");
    }
}

fn paper(generation: u64) -> Value {
    json!({
        "vmid": VMID, "container_type": "game", "generation": generation, "game": "minecraft", "variant": "paper",
        "version": "1.21.1", "world": "world", "ports": [25565], "memory_mb": 2048,
        "artifact_path": "minecraft/paper/1.21.1/server.jar", "java_path": "java/21/OpenJDK21.tar.gz",
        "admin_user": "op", "admin_pass": "hunter2",
    })
}

fn node(generation: u64, version: &str) -> Value {
    json!({
        "vmid": VMID, "container_type": "dev", "generation": generation, "runtime": "node", "version": version,
        "memory_mb": 1024,
    })
}

async fn refused(answer: Response, status: u16, code: &str) -> Value {
    assert_eq!(answer.status().as_u16(), status);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], code, "{body}");
    assert!(body["error"]["message"].is_string() && body["request_id"].is_string(), "{body}");
    body
}

#[tokio::test]
async fn a_configuration_is_installed_step_by_step_and_started() {
    let rig = Rig::new().await;
    let status = rig.status().await;
    assert_eq!((&status["state"], &status["generation"]), (&json!("idle"), &Value::Null));
    refused(rig.post("/start", &json!({})).await, 409, "not_installed").await;

    let accepted = rig.post("/config", &paper(1)).await;
    assert_eq!(accepted.status(), 202);
    assert_eq!(accepted.json::<Value>().await.unwrap(), json!({"generation": 1}));
    let mut seen = Vec::new();
    for _ in 0..60 {
        let status = rig.status().await;
        if let Some(step) = status["installStep"].as_str() {
            assert!(status["installProgress"].as_u64().unwrap() <= 100);
            seen.push(step.to_owned());
        }
        rig.pass(100);
    }
    seen.dedup();
    assert_eq!(seen, ["downloading_java", "downloading_artifact", "extracting", "writing_config", "starting"]);
    rig.pass(100);
    let status = rig.status().await;
    assert_eq!(status["state"], "running");
    assert_eq!(status["players"], json!({"online": 0, "max": 20}));
    assert_eq!(
        (&status["error"], &status["generation"], &status["desired"]),
        (&Value::Null, &json!(1), &json!("running"))
    );
    assert_eq!(rig.get("/ready").await.status(), 200);
}

#[tokio::test]
async fn a_generation_is_installed_once() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/ready").await.status(), 503);
    assert_eq!(rig.post("/config", &paper(3)).await.status(), 202);
    assert_eq!(rig.post("/config", &paper(3)).await.status(), 200);
    let busy = refused(rig.post("/config", &paper(4)).await, 409, "busy").await;
    assert_eq!(busy["error"]["details"]["job"], "install");
    assert!(busy["error"]["details"]["started_at"].is_string());
    rig.pass(60_000);
    let mut other = paper(3);
    other["memory_mb"] = json!(4096);
    refused(rig.post("/config", &other).await, 409, "conflict").await;
    refused(rig.post("/config", &paper(2)).await, 409, "conflict").await;
    other["generation"] = json!(4);
    assert_eq!(rig.post("/config", &other).await.status(), 202);
    assert_eq!(rig.status().await["state"], "stopping");
    rig.pass(60_000);
    assert_eq!(rig.status().await["generation"], 4);
}

#[tokio::test]
async fn an_impossible_configuration_is_refused_or_fails_with_a_message() {
    let rig = Rig::new().await;
    refused(rig.request(Method::POST, "/config").body("{").send().await.unwrap(), 400, "bad_request").await;
    for (field, value) in [("vmid", json!(5002)), ("memory_mb", json!("2g")), ("generation", Value::Null)] {
        let mut body = paper(1);
        body[field] = value;
        let problem = refused(rig.post("/config", &body).await, 422, "invalid").await;
        assert!(problem["error"]["message"].as_str().unwrap().contains(field), "{problem}");
    }
    rig.levers(json!({"diskBytes": 10})).await;
    refused(rig.post("/config", &paper(1)).await, 507, "no_space").await;
    rig.levers(json!({"diskBytes": 100_000_000})).await;

    let fail = async |body: Value, words: &str| {
        assert_eq!(rig.post("/config", &body).await.status(), 202);
        rig.pass(60_000);
        let status = rig.status().await;
        assert_eq!((&status["state"], &status["error"]), (&json!("error"), &json!(words)));
    };
    let mut body = paper(1);
    body["artifact_path"] = json!("minecraft/paper/9.9/server.jar");
    fail(body, "artifact minecraft/paper/9.9/server.jar: 404 Not Found").await;
    let mut body = paper(2);
    body["java_path"] = json!("java/17/OpenJDK17.tar.gz");
    fail(body, "Java 17 cannot run minecraft 1.21.1: it needs Java 21 to 25").await;
    fail(node(3, "99"), "runtime node/99: 404 Not Found").await;
    assert_eq!(rig.post("/config", &node(4, "22")).await.status(), 202);
    rig.pass(3_000);
    assert_eq!(rig.status().await["state"], "running");
}

#[tokio::test]
async fn only_health_answers_without_the_token() {
    let rig = Rig::new().await;
    assert_eq!(rig.http.get(rig.url("/health")).send().await.unwrap().status(), 200);
    for (method, path) in
        [(Method::GET, "/status"), (Method::POST, "/config"), (Method::GET, "/files"), (Method::GET, "/nope")]
    {
        let bare = rig.http.request(method.clone(), rig.url(path)).header("x-request-id", "r-1").send().await.unwrap();
        assert_eq!(bare.headers()["x-request-id"], "r-1");
        assert_eq!(refused(bare, 401, "unauthorized").await["request_id"], "r-1");
        let wrong = rig.http.request(method, rig.url(path)).bearer_auth("guess").send().await.unwrap();
        refused(wrong, 401, "unauthorized").await;
    }
    refused(rig.get("/nope").await, 404, "unsupported").await;
    refused(rig.get("/console/stream").await, 404, "unsupported").await;
    assert_eq!(rig.get("/version").await.json::<Value>().await.unwrap()["api"], 1);
    let state = rig.sim_state().await.to_string();
    assert!(!state.contains(rig.world.agent_token()));
}

#[tokio::test]
async fn power_is_one_job_at_a_time() {
    let rig = Rig::new().await;
    rig.install().await;
    assert_eq!(rig.post("/start", &json!({})).await.status(), 200);
    assert_eq!(rig.post("/stop", &json!({"wait_s": 5})).await.status(), 202);
    assert_eq!(rig.status().await["state"], "stopping");
    let busy = refused(rig.post("/start", &json!({})).await, 409, "busy").await;
    assert_eq!(busy["error"]["details"]["job"], "power");
    assert_eq!(rig.post("/kill", &json!({})).await.status(), 202);
    let status = rig.status().await;
    assert_eq!((&status["state"], &status["lastExit"]["code"]), (&json!("stopped"), &json!(137)));
    assert_eq!(rig.post("/stop", &json!({})).await.status(), 200);
    assert_eq!(rig.request(Method::POST, "/restart").send().await.unwrap().status(), 202);
    rig.pass(1_000);
    assert_eq!(rig.status().await["state"], "running");
    refused(rig.post("/stop", &json!({"wait_s": "soon"})).await, 400, "bad_request").await;
}

#[tokio::test]
async fn text_is_edited_only_on_the_version_that_was_read() {
    let rig = Rig::new().await;
    rig.install().await;
    let path = "/files/content?path=server.properties";
    let read = rig.get(path).await;
    let tag = read.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(read.headers()["x-size"], "39");
    assert!(read.text().await.unwrap().starts_with("motd="));
    refused(rig.put(path, "a=1", Some(("if-match", "\"old\""))).await, 412, "precondition_failed").await;
    refused(rig.put(path, "a=1", Some(("if-none-match", "*"))).await, 412, "precondition_failed").await;
    let written = rig.put(path, "a=1", Some(("if-match", &tag))).await;
    assert_eq!(written.status(), 200);
    let written: Value = written.json().await.unwrap();
    assert_eq!(written["size"], 3);
    let read = rig.get(path).await;
    assert_eq!(json!(read.headers()["etag"].to_str().unwrap()), written["etag"]);
    assert_eq!(read.text().await.unwrap(), "a=1");
    refused(rig.get("/files/content?path=world").await, 400, "is_directory").await;
    refused(rig.get("/files/content?path=world/level.dat").await, 415, "unsupported").await;
    refused(rig.get("/files/content").await, 400, "bad_request").await;
}

#[tokio::test]
async fn files_are_uploaded_downloaded_moved_and_deleted() {
    let rig = Rig::new().await;
    let upload = async |path: &str, header: Option<(&str, &str)>| {
        let mut request = rig.request(Method::POST, path).body(vec![7_u8; 1000]);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    };
    assert_eq!(rig.post("/files/mkdir", &json!({"path": "mods/a", "parents": true})).await.status(), 201);
    assert_eq!(rig.post("/files/mkdir", &json!({"path": "mods/a"})).await.status(), 200);
    let stored = upload("/files/upload?path=mods/a/x.jar", None).await;
    assert_eq!(stored.status(), 201);
    let stored: Value = stored.json().await.unwrap();
    assert_eq!((&stored["size"], stored["sha256"].as_str().unwrap().len()), (&json!(1000), 64));
    refused(upload("/files/upload?path=mods/a/x.jar", None).await, 409, "exists").await;
    assert_eq!(upload("/files/upload?path=mods/a/x.jar&overwrite=1", None).await.status(), 201);
    let damaged = upload("/files/upload?path=mods/a/y.jar", Some(("x-content-sha256", "00"))).await;
    refused(damaged, 422, "invalid").await;
    refused(rig.get("/files/download?path=mods/a/y.jar").await, 404, "not_found").await;

    let part = rig
        .request(Method::GET, "/files/download?path=mods/a/x.jar")
        .header("range", "bytes=990-")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()),
        (206, "bytes 990-999/1000")
    );
    assert_eq!(part.bytes().await.unwrap().len(), 10);
    let beyond = rig
        .request(Method::GET, "/files/download?path=mods/a/x.jar")
        .header("range", "bytes=1000-")
        .send()
        .await
        .unwrap();
    refused(beyond, 416, "bad_request").await;
    let archive = rig.get("/files/download?path=mods").await;
    assert!(archive.headers()["content-disposition"].to_str().unwrap().contains("mods.tar.gz"));
    assert_eq!(archive.bytes().await.unwrap()[..2], [0x1f, 0x8b]);

    assert_eq!(rig.post("/files/rename", &json!({"from": "mods", "to": "plugins"})).await.status(), 204);
    refused(rig.post("/files/rename", &json!({"from": "mods", "to": "x"})).await, 404, "not_found").await;
    refused(rig.request(Method::DELETE, "/files?path=plugins").send().await.unwrap(), 409, "not_empty").await;
    refused(rig.request(Method::DELETE, "/files?path=&recursive=1").send().await.unwrap(), 400, "bad_request").await;
    assert_eq!(rig.request(Method::DELETE, "/files?path=plugins&recursive=1").send().await.unwrap().status(), 204);
    let empty: Value = rig.get("/files?path=").await.json().await.unwrap();
    assert_eq!(empty, json!({"path": "", "entries": [], "truncated": false}));
}

#[tokio::test]
async fn no_path_leaves_the_data_root() {
    let rig = Rig::new().await;
    rig.levers(json!({"plant": {"path": "evil", "symlink": "/etc"}})).await;
    rig.levers(json!({"plant": {"path": "up", "symlink": "../../etc"}})).await;
    rig.levers(json!({"plant": {"path": "pipe", "fifo": true}})).await;
    let bad = ["../etc/passwd", "a/../../etc", "/etc/passwd", "a%00b", "evil/passwd", "up/passwd", "%2e%2e/x", "evil"];
    for path in bad {
        refused(rig.get(&format!("/files/content?path={path}")).await, 400, "bad_path").await;
        refused(rig.put(&format!("/files/content?path={path}"), "x", None).await, 400, "bad_path").await;
        refused(rig.get(&format!("/files/download?path={path}")).await, 400, "bad_path").await;
    }
    refused(rig.get("/files/content?path=pipe").await, 415, "unsupported").await;
    let listing: Value = rig.get("/files").await.json().await.unwrap();
    assert_eq!(listing["entries"][0]["target_outside"], true);
    assert_eq!(listing["entries"][1]["type"], "other");
    assert_eq!(rig.request(Method::DELETE, "/files?path=evil").send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_backup_is_written_restored_and_deleted() {
    let rig = Rig::new().await;
    rig.install().await;
    let path = "/files/content?path=server.properties";
    let made: Value = rig.post("/backups", &json!({"note": "before", "ignore": ["logs"]})).await.json().await.unwrap();
    let id = made["id"].as_str().unwrap();
    refused(rig.post("/backups", &json!({})).await, 409, "busy").await;
    refused(rig.request(Method::DELETE, &format!("/backups?id={id}")).send().await.unwrap(), 409, "conflict").await;
    let listed = async || rig.get("/backups").await.json::<Value>().await.unwrap()["backups"].clone();
    assert_eq!(listed().await[0]["state"], "creating");
    rig.pass(2_000);
    assert_eq!((&listed().await[0]["state"], &listed().await[0]["note"]), (&json!("ready"), &json!("before")));

    rig.put(path, "lost=1", None).await;
    rig.put("/files/content?path=extra.txt", "x", None).await;
    assert_eq!(rig.post(&format!("/backups/restore?id={id}"), &json!({"truncate": true})).await.status(), 202);
    assert_eq!(rig.status().await["state"], "stopping");
    rig.pass(10_000);
    assert_eq!(rig.status().await["state"], "running");
    assert!(rig.get(path).await.text().await.unwrap().starts_with("motd="));
    refused(rig.get("/files/content?path=extra.txt").await, 404, "not_found").await;
    refused(rig.get("/files?path=logs").await, 404, "not_found").await;

    rig.levers(json!({"corruptBackup": id})).await;
    rig.put(path, "kept=1", None).await;
    refused(rig.post(&format!("/backups/restore?id={id}"), &json!({})).await, 422, "invalid").await;
    assert_eq!(rig.get(path).await.text().await.unwrap(), "kept=1");
    assert_eq!(rig.request(Method::DELETE, &format!("/backups?id={id}")).send().await.unwrap().status(), 204);
    refused(rig.request(Method::DELETE, &format!("/backups?id={id}")).send().await.unwrap(), 404, "not_found").await;
    refused(rig.post("/backups/restore?id=none", &json!({})).await, 404, "not_found").await;
}

#[tokio::test]
async fn the_console_takes_commands_while_the_server_runs() {
    let rig = Rig::new().await;
    refused(rig.post("/console/command", &json!({"command": "list"})).await, 409, "not_running").await;
    rig.install().await;
    rig.levers(json!({"players": 3})).await;
    assert_eq!(rig.post("/console/command", &json!({"command": "list"})).await.status(), 202);
    refused(rig.post("/console/command", &json!({"command": "a\nb"})).await, 400, "bad_request").await;
    let console: Value = rig.get("/console?lines=2").await.json().await.unwrap();
    assert_eq!(console["lines"][0]["stream"], "stdin");
    assert_eq!(console["lines"][1]["text"], "There are 3 of a max of 20 players online");
    let next = console["next"].as_u64().unwrap();
    assert_eq!(rig.post("/console/command", &json!({"command": "stop"})).await.status(), 202);
    let console: Value = rig.get(&format!("/console?after={next}")).await.json().await.unwrap();
    assert_eq!(console["lines"][0]["text"], "stop");
    assert_eq!(rig.status().await["state"], "stopping");
    refused(rig.get("/console?lines=1001").await, 400, "bad_request").await;
}

#[tokio::test]
async fn code_server_lives_in_dev_containers() {
    let rig = Rig::new().await;
    refused(rig.get("/code-server").await, 404, "unsupported").await;
    rig.post("/config", &node(1, "22")).await;
    rig.pass(10_000);
    assert_eq!(rig.post("/code-server/start", &json!({"port": 8443})).await.status(), 202);
    rig.pass(1_000);
    let shown: Value = rig.get("/code-server").await.json().await.unwrap();
    assert_eq!((&shown["state"], &shown["port"]), (&json!("running"), &json!(8443)));
    assert_eq!(rig.post("/code-server/stop", &json!({})).await.status(), 202);
    let metrics = rig.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("agent_state{state=\"running\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_crash_is_restarted_three_times() {
    let rig = Rig::new().await;
    rig.install().await;
    for count in 1..=3 {
        rig.levers(json!({"crash": true})).await;
        let status = rig.status().await;
        assert_eq!((&status["state"], &status["crashCount"]), (&json!("crashed"), &json!(count)));
        rig.pass(10_000);
        assert_eq!(rig.status().await["state"], "running");
    }
    rig.levers(json!({"crash": true})).await;
    let status = rig.status().await;
    assert_eq!((&status["state"], &status["error"]), (&json!("error"), &json!("crashed 4 times in 10 minutes")));
    assert_eq!(rig.control(&format!("/sim/agents/{VMID}"), json!({"crash": true})).await.status(), 400);
}

#[tokio::test]
async fn an_agent_can_be_held_in_any_state_made_slow_and_made_to_hang() {
    let rig = Rig::new().await;
    for state in ["error", "crashed", "running", "stopped", "installing", "starting", "stopping", "idle"] {
        rig.levers(json!({"state": state, "error": "disk failure"})).await;
        rig.pass(3_600_000);
        let status = rig.status().await;
        assert_eq!(status["state"], state);
        assert_eq!(status["error"].is_null(), state != "error");
    }
    rig.levers(json!({"hang": true})).await;
    let silent = rig.request(Method::GET, "/health").timeout(Duration::from_millis(100)).send().await.unwrap_err();
    assert!(silent.is_timeout(), "{silent}");
    rig.levers(json!({"hang": false, "slowMs": 300})).await;
    let late = rig.request(Method::GET, "/health").timeout(Duration::from_millis(100)).send().await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
    assert_eq!(rig.get("/health").await.status(), 200);
    assert_eq!(rig.control("/sim/agents/9999", json!({"hang": true})).await.status(), 404);
    assert_eq!(rig.control(&format!("/sim/agents/{VMID}"), json!({"state": "flying"})).await.status(), 400);
    assert_eq!(rig.control(&format!("/sim/agents/{VMID}"), json!({"hanging": true})).await.status(), 400);
}

#[tokio::test]
async fn the_next_install_can_be_made_to_fail() {
    let rig = Rig::new().await;
    let next = json!({"state": "error", "error": "mirror is down"});
    assert_eq!(rig.control("/sim/agents/next", next).await.status(), 200);
    assert_eq!(rig.control("/sim/agents/next", json!({"crash": true})).await.status(), 400);
    rig.stop().await;
    rig.boot(2).await;
    assert_eq!(rig.status().await["state"], "idle");
    rig.post("/config", &paper(1)).await;
    rig.pass(60_000);
    let status = rig.status().await;
    assert_eq!((&status["state"], &status["error"]), (&json!("error"), &json!("mirror is down")));
    assert_eq!(rig.post("/config", &paper(2)).await.status(), 202);
    rig.pass(60_000);
    assert_eq!(rig.status().await["state"], "running");
}

#[tokio::test]
async fn a_stopped_container_refuses_connections_and_keeps_its_disk() {
    let rig = Rig::new().await;
    rig.install().await;
    rig.put("/files/content?path=kept.txt", "kept", None).await;
    rig.stop().await;
    let error = rig.http.get(rig.url("/health")).send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(rig.sim_state().await["agents"][0]["state"], "stopped");
    rig.boot(1).await;
    assert_eq!(rig.get("/files/content?path=kept.txt").await.text().await.unwrap(), "kept");
    rig.pass(1_000);
    assert_eq!(rig.status().await["state"], "running");

    rig.stop().await;
    for observer in rig.world.core().observers() {
        observer.destroyed(VMID).await;
    }
    assert_eq!(rig.sim_state().await["agents"], json!([]));
    rig.boot(2).await;
    assert_eq!(rig.status().await["generation"], Value::Null);
}

#[tokio::test]
async fn an_install_continues_after_a_restart_of_the_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { state_file: Some(folder.path().join("sim.json")), ..SimConfig::default() };
    let rig = Rig::with(config.clone()).await;
    rig.put("/files/content?path=kept.txt", "kept", None).await;
    assert_eq!(rig.post("/config", &paper(1)).await.status(), 202);
    rig.pass(2_000);
    assert_eq!(rig.status().await["installStep"], "downloading_artifact");
    rig.world.shutdown().await.unwrap();

    let rig = Rig::with(config).await;
    assert_eq!(rig.status().await["state"], "installing");
    assert_eq!(rig.post("/config", &paper(1)).await.status(), 200);
    rig.pass(60_000);
    assert_eq!(rig.status().await["state"], "running");
    assert_eq!(rig.get("/files/content?path=kept.txt").await.text().await.unwrap(), "kept");
}

#[tokio::test]
async fn the_small_agent_has_few_routes_and_requires_the_token_for_config_only() {
    let rig = Rig::with(SimConfig { agent_mode: AgentMode::Small, ..SimConfig::default() }).await;
    let bare = async |method: Method, path: &str| rig.http.request(method, rig.url(path)).send().await.unwrap();
    let status: Value = bare(Method::GET, "/status").await.json().await.unwrap();
    assert_eq!(status, json!({"state": "idle", "crashCount": 0}));
    let refused = rig.http.post(rig.url("/config")).json(&paper(1)).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let mut payload = paper(1);
    payload.as_object_mut().unwrap().remove("generation");
    assert_eq!(rig.post("/config", &payload).await.status(), 200);
    assert_eq!(bare(Method::GET, "/ready").await.status(), 503);
    rig.pass(60_000);
    let status: Value = bare(Method::GET, "/status").await.json().await.unwrap();
    assert_eq!(status["state"], "running");
    assert_eq!(bare(Method::GET, "/ready").await.status(), 200);
    assert_eq!(bare(Method::POST, "/stop").await.status(), 200);
    let busy = bare(Method::POST, "/start").await;
    assert_eq!(busy.status(), 409);
    assert!(busy.text().await.unwrap().starts_with("a job of kind power"));
    for path in ["/files", "/version", "/kill", "/backups", "/metrics"] {
        assert_eq!(bare(Method::GET, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    rig.levers(json!({"mode": "full"})).await;
    assert_eq!(bare(Method::GET, "/status").await.status(), 401);
}

#[tokio::test]
async fn planned_faults_reach_the_agent() {
    let rig = Rig::new().await;
    let fault = json!({
        "peer": "agent", "method": "POST", "path": "/config", "nth": 2, "when": "after", "action": "reset",
    });
    assert_eq!(rig.control("/sim/faults", fault).await.status(), 200);
    refused(rig.post("/config", &json!({})).await, 422, "invalid").await;
    assert!(rig.request(Method::POST, "/config").json(&paper(1)).send().await.is_err());
    assert_eq!(rig.status().await["generation"], 1, "the reset came after the configuration was accepted");
    let journal: Value = rig
        .http
        .get(format!("{}/sim/journal?peer=agent", rig.world.control_url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let journal = journal.to_string();
    assert!(journal.contains("/config") && !journal.contains("hunter2") && !journal.contains(rig.world.agent_token()));
    let state = rig.sim_state().await;
    let agent = &state["agents"][0];
    assert_eq!((&agent["vmid"], &agent["generation"], &agent["mode"]), (&json!(VMID), &json!(1), &json!("full")));
    assert_eq!(agent["config"]["admin_pass"], "***");
    assert!(agent["requests"].as_u64().unwrap() >= 3);
}

#[tokio::test]
async fn the_simulated_catalog_has_unusable_entries_and_entity_tags() {
    let rig = Rig::new().await;
    let base = rig.world.artifacts_url();
    let get = async |path: &str| rig.http.get(format!("{base}{path}")).send().await.unwrap();
    let answer = get("/_catalog.json").await;
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let catalog: Value = answer.json().await.unwrap();
    let minecraft = catalog["games"].as_array().unwrap().iter().find(|game| game["id"] == "minecraft").unwrap();
    let variants = minecraft["variants"].as_array().unwrap();
    assert!(variants.iter().any(|variant| variant.get("id").is_none()));
    assert!(variants.iter().any(|variant| variant["id"] == "pupur"));
    for id in ["vanilla", "paper", "purpur", "fabric", "forge", "neoforge"] {
        let variant = variants.iter().find(|variant| variant["id"] == id).unwrap();
        assert!(variant["versions"].as_array().unwrap().len() > 3, "{id}");
    }
    let again = rig.http.get(format!("{base}/_catalog.json")).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.bytes().await.unwrap().len()), (304, 0));
    let runtimes: Value = get("/devcontainer/_catalog.json").await.json().await.unwrap();
    assert!(runtimes["runtimes"].as_array().unwrap().iter().any(|runtime| runtime["id"] == "node"));

    let head = rig.http.head(format!("{base}/minecraft/paper/1.21.1/server.jar")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 0);
    assert_eq!(get("/java/21/OpenJDK21.tar.gz").await.status(), 200);
    assert_eq!(get("/minecraft/paper/9.9/server.jar").await.status(), 404);
    assert_eq!(rig.http.post(format!("{base}/_catalog.json")).send().await.unwrap().status(), 405);
}
