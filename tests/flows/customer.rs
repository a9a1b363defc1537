//! A Minecraft server from its customer's view, in `zpack dev` as an operator starts it: created, reached by players,
//! registered again after a restart of the proxy, and deleted completely.
//!
//! The test uses the API and reads the simulated world. It does not register, publish or remove anything on its own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::{Dev, Running, exchange, request};

/// The timeout of one step on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(180);
/// Between two requests: slow enough for the customer's rate limit.
const PAUSE: Duration = Duration::from_millis(200);

/// The customer of a running company.
struct Customer {
    api: String,
    sim: String,
    token: String,
}

impl Customer {
    /// Logs in as the customer that every `zpack dev` has.
    fn of(running: &Running) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (api, sim) = (text(&running.ready["api"]), text(&running.ready["sim"]));
        let demo = &running.ready["users"]["demo"];
        let who = json!({ "identifier": demo["email"], "password": demo["password"] });
        let (status, answer) = request(&api, "POST", "/api/auth/login", None, Some(&who));
        assert_eq!(status, 200, "{answer}");
        Self { api, sim, token: text(&answer["token"]) }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        request(&self.api, method, path, Some(&self.token), body)
    }

    fn show(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Sends a request that is accepted, and waits for the success of its operation.
    fn order(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, accepted) = self.ask(method, path, body);
        assert_eq!(status, 202, "{accepted}");
        let url = accepted["statusUrl"].as_str().expect("where to look").to_owned();
        until(&format!("{method} {path} ends"), || {
            let operation = self.show(&url);
            let ended = !["queued", "running"].contains(&operation["status"].as_str().expect("a status"));
            if ended { Ok(operation) } else { Err(operation) }
        })
    }

    /// Waits until players can connect to server `id`, and returns its status.
    fn connectable(&self, id: &str) -> Value {
        until("players can connect", || {
            let status = self.show(&format!("/api/servers/{id}/status"));
            if status["connection"]["state"] == "connectable" { Ok(status) } else { Err(status) }
        })
    }

    /// The state of the simulated world.
    fn world(&self) -> Value {
        let (status, state) = request(&self.sim, "GET", "/sim/state", None, None);
        assert_eq!(status, 200);
        state
    }
}

/// Waits until `look` succeeds; its error describes the current state.
fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, Value>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) => assert!(Instant::now() < deadline, "timed out waiting until {what}: {instead}"),
        }
        std::thread::sleep(PAUSE);
    }
}

/// The names that are registered at the proxy.
fn registered(world: &Value) -> Vec<&str> {
    let servers = world["velocity"]["servers"].as_array().expect("a list");
    servers.iter().map(|server| server["name"].as_str().expect("a name")).collect()
}

/// Everything at the simulated peers that belongs to servers.
fn belongings(world: &Value) -> Value {
    let containers = world["proxmox"]["containers"].as_array().expect("a list");
    let ours: Vec<&Value> = containers.iter().filter(|container| container["template"] != true).collect();
    json!({
        "cloudflare": world["cloudflare"]["records"], "technitium": world["technitium"]["records"],
        "velocity": world["velocity"]["servers"], "containers": ours,
    })
}

/// Whether a browser lets a page of `origin` call the API.
fn may_call(api: &str, origin: &str) -> bool {
    let asked = format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n");
    let answer = exchange(api, "OPTIONS", "/api/servers", &asked, "").to_ascii_lowercase();
    answer.contains(&format!("access-control-allow-origin: {origin}\r\n"))
}

/// The log names each event of the server's life once, in order, and no request that machines repeat.
fn check_story(log: &[Value], id: &str) {
    let messages: Vec<&str> = log.iter().map(|line| line["message"].as_str().expect("a message")).collect();
    let mut rest = messages.iter();
    for part in [
        ": provision (minecraft paper 1.21.1) for usr_",
        "POST /api/instances answered 202",
        ": provision",
        &format!("provision of {id}: clone_container done in "),
        &format!("provision of {id}: await_ready done in "),
        &format!("provision of {id}: publish_edge done in "),
        ": provision succeeded after ",
        &format!(": teardown of {id} (delete_server) for usr_"),
        &format!("teardown of {id}: destroy_container done in "),
        &format!(": teardown of {id} succeeded after "),
    ] {
        assert!(rest.any(|message| message.contains(part)), "{part} is missing, or too early: {messages:#?}");
    }
    let proxied = messages.iter().any(|message| message.starts_with(&format!("the proxy reaches mc-paper-{id}.")));
    assert!(proxied, "{messages:#?}");
    for routine in ["/internal/traefik/config answered 200", "/internal/velocity/proxy-status answered 202", "GET "] {
        let found: Vec<_> = messages.iter().filter(|message| message.contains(routine)).collect();
        // The request for the server after its deletion.
        assert!(found.iter().all(|message| message.contains("answered 404")), "{found:#?}");
    }
    let refused = messages.iter().filter(|message| message.contains("http://localhost:5173"));
    let refused: Vec<_> = refused.collect();
    assert!(refused.len() == 1 && refused[0].contains("CORS_ORIGINS"), "{refused:#?}");
    // What any client can cause is no error.
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // Each line has the span of the request once.
    let asked = log.iter().find(|line| line["message"].as_str().is_some_and(|text| text.starts_with("DELETE ")));
    let asked = asked.expect("a deletion");
    assert!(asked["span"]["request.id"].is_string() && asked["spans"].is_null(), "{asked}");
}

/// Sends a head that is none, and waits for the end of the connection.
fn send_raw(origin: &str, head: &str) {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(origin.trim_start_matches("http://")).expect("a connection");
    socket.write_all(head.as_bytes()).expect("a request");
    socket.shutdown(std::net::Shutdown::Write).expect("an end");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
}

#[test]
fn a_minecraft_server_is_created_reached_registered_again_and_deleted_completely() {
    let dev = Dev::new();
    let running = dev.start_logging();
    let customer = Customer::of(&running);
    for (origin, allowed) in
        [("http://localhost:3000", true), ("http://127.0.0.1:3000", true), ("http://localhost:5173", false)]
    {
        assert_eq!(may_call(&customer.api, origin), allowed, "{origin}");
        assert_eq!(may_call(&customer.api, origin), allowed, "{origin}");
    }
    for head in ["GET / HTTP/1.1\r\nHo st: x\r\n\r\n", "\u{1}\u{2}\u{3}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        send_raw(&customer.api, head);
    }
    let wanted = json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1" });
    let made = customer.order("POST", "/api/instances", Some(&wanted));
    assert_eq!(made["status"], "succeeded", "{made}");
    let id = made["serverId"].as_str().expect("a server").to_owned();

    let status = customer.connectable(&id);
    assert_eq!((&status["edge"]["state"], &status["proxy"]), (&json!("published"), &json!("registered")), "{status}");
    let name = format!("mc-paper-{id}.play.zpack.test");
    let world = customer.world();
    assert_eq!(registered(&world), [name.as_str()]);
    assert!(status["address"].as_str().expect("an address").starts_with(&name), "{status}");

    let (restarted, _) = request(&customer.sim, "POST", "/sim/velocity/restart", None, None);
    assert!((200..300).contains(&restarted), "{restarted}");
    until("the restarted proxy has the server again", || {
        let now = customer.world();
        let restarted_proxy = now["velocity"]["bootId"] != world["velocity"]["bootId"];
        if restarted_proxy && registered(&now) == [name.as_str()] { Ok(()) } else { Err(now["velocity"].clone()) }
    });
    let status = customer.connectable(&id);
    assert_eq!(status["proxy"], "registered", "{status}");

    let path = format!("/api/servers/{id}");
    let gone = customer.order("DELETE", &path, None);
    assert_eq!(gone["status"], "succeeded", "{gone}");
    let nothing = json!({ "cloudflare": [], "technitium": [], "velocity": [], "containers": [] });
    until("nothing of the server is left", || {
        let left = belongings(&customer.world());
        if left == nothing { Ok(()) } else { Err(left) }
    });
    assert_eq!(customer.ask("GET", &path, None).0, 404);
    assert_eq!(customer.show("/api/servers"), json!({ "servers": [], "pending": [] }));
    running.stop();
    check_story(&dev.log(), &id);
}
