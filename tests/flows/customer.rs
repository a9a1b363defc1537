//! A Minecraft server as its customer lives with it, in `zpack dev` as it is started by hand: made, reached by players,
//! found again after the proxy was restarted, and deleted without a trace.
//!
//! The test asks the API and looks at the simulated world. It registers, publishes and removes nothing itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::{Dev, Running, exchange, request};

/// How long one thing may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(180);
/// From one look to the next: slow enough for the allowance of a customer.
const PAUSE: Duration = Duration::from_millis(200);

/// The customer of a running company.
struct Customer {
    api: String,
    sim: String,
    token: String,
}

impl Customer {
    /// Logs in as the customer every `zpack dev` has.
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

    /// Sends what is accepted and follows its operation to a good end.
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

    /// Waits until players can connect to server `id`, and tells its whole status then.
    fn connectable(&self, id: &str) -> Value {
        until("players can connect", || {
            let status = self.show(&format!("/api/servers/{id}/status"));
            if status["connection"]["state"] == "connectable" { Ok(status) } else { Err(status) }
        })
    }

    /// What the simulated world holds.
    fn world(&self) -> Value {
        let (status, state) = request(&self.sim, "GET", "/sim/state", None, None);
        assert_eq!(status, 200);
        state
    }
}

/// Waits for what `look` finds; while it finds nothing it tells what there is instead.
fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, Value>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) => assert!(Instant::now() < deadline, "waited in vain until {what}: {instead}"),
        }
        std::thread::sleep(PAUSE);
    }
}

/// The names the proxy knows.
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

/// The log of a whole life names each event once, in order, and nothing that machines repeat.
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
        // The server that was asked for after its deletion.
        assert!(found.iter().all(|message| message.contains("answered 404")), "{found:#?}");
    }
    let refused = messages.iter().filter(|message| message.contains("http://localhost:5173"));
    let refused: Vec<_> = refused.collect();
    assert!(refused.len() == 1 && refused[0].contains("CORS_ORIGINS"), "{refused:#?}");
    // The span of a request stands on a line once.
    let asked = log.iter().find(|line| line["message"].as_str().is_some_and(|text| text.starts_with("DELETE ")));
    let asked = asked.expect("a deletion");
    assert!(asked["span"]["request.id"].is_string() && asked["spans"].is_null(), "{asked}");
}

#[test]
fn a_minecraft_server_is_made_reached_found_again_and_deleted_without_a_trace() {
    let dev = Dev::new();
    let running = dev.start_logging();
    let customer = Customer::of(&running);
    for (origin, allowed) in
        [("http://localhost:3000", true), ("http://127.0.0.1:3000", true), ("http://localhost:5173", false)]
    {
        assert_eq!(may_call(&customer.api, origin), allowed, "{origin}");
        assert_eq!(may_call(&customer.api, origin), allowed, "{origin}");
    }
    let wish = json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1" });
    let made = customer.order("POST", "/api/instances", Some(&wish));
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
    until("the proxy, started anew, knows the server again", || {
        let now = customer.world();
        let anew = now["velocity"]["bootId"] != world["velocity"]["bootId"];
        if anew && registered(&now) == [name.as_str()] { Ok(()) } else { Err(now["velocity"].clone()) }
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
    assert_eq!(customer.show("/api/servers"), json!({ "servers": [] }));
    running.stop();
    check_story(&dev.log(), &id);
}
