//! Roles as processes: their errors when they cannot start, and how they start, stop and restart.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use super::process::{Dev, json, request, run, stderr, wait_for, zpack};

#[test]
fn a_role_without_settings_names_every_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let stores = ["DATABASE_URL", "REDIS_URL", "ARTIFACT_BASE_URL"];
    let cluster = ["PROXMOX_HOST", "PROXMOX_API_TOKEN", "AGENT_TEMPLATE_VMID"];
    for (role, own) in [(["serve"].as_slice(), ["API_AUTH_SECRET"].as_slice()), (&["worker", "provision"], &[])] {
        let own = [&cluster, own].concat();
        let output = run(folder.path(), role);
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        for name in stores.iter().chain(&own) {
            assert!(text.contains(&format!("{name} is missing")), "{name}: {text}");
        }
        let lines = text.lines().filter(|line| line.contains(" is missing")).count();
        assert_eq!(lines, stores.len() + own.len(), "{text}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["queue", "pause", "nonsense"]).status.code(), Some(2));
    assert_eq!(run(folder.path(), &["frobnicate"]).status.code(), Some(2));
}

#[test]
fn production_refuses_dev_sim_and_failpoints() {
    let folder = tempfile::tempdir().unwrap();
    for role in ["dev", "sim"] {
        let output = zpack(folder.path(), &[role]).env("ZPACK_ENV", "production").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("ZPACK_ENV=production"), "{}", stderr(&output));
    }
    let worker = zpack(folder.path(), &["worker", "provision"])
        .envs([("ZPACK_ENV", "production"), ("ZPACK_FAILPOINT", "claimed")])
        .output()
        .unwrap();
    assert!(stderr(&worker).contains("ZPACK_FAILPOINT"), "{}", stderr(&worker));
}

#[test]
fn dev_prints_one_ready_line_and_restores_its_state() {
    let dev = Dev::new();
    let first = dev.start(&[]);
    let ready = first.ready.clone();
    assert_eq!(ready["event"], "ready");
    assert!(ready["api"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(ready["sim"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert!(ready["stripeWebhookSecret"].as_str().unwrap().starts_with("whsec_"));
    assert_ne!(ready["internalToken"], ready["discoveryToken"]);
    assert_eq!(ready["users"]["admin"]["email"], "admin@zpack.local");
    assert_eq!(ready["users"]["demo"]["email"], "demo@zpack.local");
    assert_eq!(dev.setting("INTERNAL_API_TOKEN"), ready["internalToken"].as_str().unwrap());
    for file in ["zpack.env", "credentials.json"] {
        assert_eq!(dev.file(file).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert!(dev.join(&["queue", "pause", "provision"]).status.success());
    let agents = dev.setting("ZLH_AGENT_TOKEN");
    first.stop();

    let second = dev.start(&[]);
    for kept in ["internalToken", "discoveryToken", "stripeWebhookSecret", "users"] {
        assert_eq!(second.ready[kept], ready[kept], "{kept}");
    }
    assert_eq!(dev.setting("ZLH_AGENT_TOKEN"), agents);
    let queues = json(&dev.join(&["--json", "queue", "list"]));
    assert_eq!(queues["queues"][0]["paused"], true);
    second.stop();
}

#[test]
fn other_commands_join_a_running_company() {
    let dev = Dev::new();
    let running = dev.start(&["--roles", "provision"]);
    assert_eq!(json(&dev.join(&["ops", "list", "--json"])), serde_json::json!({"operations": []}));
    wait_for("the worker signs on", || json(&dev.join(&["--json", "queue", "list"]))["queues"][0]["workers"] == 1);
    let doctor = dev.join(&["--json", "doctor"]);
    let report = json(&doctor);
    assert!(doctor.status.success() && report["ok"] == true, "{report}");
    let retention = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "retention").unwrap();
    assert_eq!(retention["status"], "pass");
    let detail = retention["detail"].as_str().unwrap();
    assert!(detail.contains("archived_records about 0 rows"), "{detail}");
    running.stop();
}

#[test]
fn doctor_names_the_peer_that_is_down() {
    let dev = Dev::new();
    let running = dev.start(&["--roles"]);
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    for (peer, setting, address) in [
        ("proxmox", "PROXMOX_HOST", format!("http://{closed}")),
        ("redis", "REDIS_URL", format!("redis://{closed}/0")),
        ("artifacts", "ARTIFACT_BASE_URL", format!("http://{closed}/")),
        ("velocity", "VELOCITY_URL", format!("http://{closed}/")),
        ("cloudflare", "CLOUDFLARE_API_URL", format!("http://{closed}/client/v4")),
        ("cloudflare", "CLOUDFLARE_API_TOKEN", "not-the-token".to_owned()),
        ("technitium", "TECHNITIUM_API_URL", format!("http://{closed}/")),
        ("technitium", "TECHNITIUM_API_TOKEN", "not-the-token".to_owned()),
        ("database", "DATABASE_URL", format!("postgres://zpack:pw@{closed}/zpack")),
        ("templates", "AGENT_TEMPLATE_VMID", "9000,7777".to_owned()),
        ("orders", "PROXMOX_POOL", "nope".to_owned()),
        ("orders", "GAME_BRIDGE", "vmbr9".to_owned()),
    ] {
        let doctor = dev.joined(&["--json", "doctor"]).env(setting, address).output().unwrap();
        let report = json(&doctor);
        let failed: Vec<&str> = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["status"] == "fail")
            .map(|check| check["name"].as_str().unwrap())
            .collect();
        assert!(failed.iter().all(|name| *name == peer) && !failed.is_empty(), "{peer}: {report}");
        assert_eq!(doctor.status.code(), Some(1));
        assert!(!report.to_string().contains(":pw@"), "a password is shown");
    }
    running.stop();
}

#[test]
fn a_second_company_in_the_same_directory_is_refused() {
    let dev = Dev::new();
    let running = dev.start(&["--roles"]);
    let second = run(dev.folder(), &["dev", "--port", "0", "--sim-port", "0"]);
    assert_eq!(second.status.code(), Some(1));
    let text = stderr(&second);
    assert!(text.contains(&format!("process {}", running.pid())) && text.contains("--data-dir"), "{text}");
    running.stop();
}

#[test]
fn a_taken_port_is_an_error_that_names_the_flag() {
    let dev = Dev::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (flag, other) in [("--port", "--sim-port"), ("--sim-port", "--port")] {
        let output = run(dev.folder(), &["dev", flag, &port, other, "0"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&format!("with {flag}")), "{}", stderr(&output));
    }
}

#[test]
fn redis_does_not_outlive_a_killed_company() {
    let dev = Dev::new();
    let killed = dev.start(&[]);
    let redis: u32 = std::fs::read_to_string(dev.file("redis/redis.pid")).unwrap().trim().parse().unwrap();
    assert!(is_redis(redis));
    killed.signal(Signal::SIGKILL);
    let (status, _) = killed.ended();
    assert!(!status.success());
    wait_for("Redis ends with its parent", || !is_redis(redis));
    dev.start(&[]).stop();
}

#[test]
fn a_separate_worker_stops_on_sigterm() {
    let dev = Dev::new();
    let running = dev.start(&["--roles"]);
    let worker = dev.joined(&["worker", "provision"]).spawn().unwrap();
    let workers = || json(&dev.join(&["--json", "queue", "list"]))["queues"][0]["workers"].clone();
    wait_for("the worker signs on", || workers() == 1);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(worker.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let ended = worker.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", ended.status);
    assert_eq!(workers(), 0, "it signed off");
    running.stop();
}

#[test]
fn the_simulated_world_runs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let world = super::process::Running::start(folder.path(), &["sim", "--port", "0"]);
    assert_eq!(world.ready["event"], "ready");
    assert!(world.ready["proxmox"].as_str().unwrap().ends_with("/api2/json"));
    world.stop();
}

fn is_redis(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("redis-server") && !status.contains("State:\tZ")
}

fn login(api: &str, user: &serde_json::Value) -> (u16, serde_json::Value) {
    let body = serde_json::json!({"identifier": user["email"], "password": user["password"]});
    request(api, "POST", "/api/auth/login", None, Some(&body))
}

#[test]
fn the_accounts_of_dev_log_in_now_and_after_a_restart() {
    let dev = Dev::new();
    let mut running = dev.start(&[]);
    for _ in 0..2 {
        let api = running.ready["api"].as_str().unwrap().to_owned();
        assert_eq!(request(&api, "GET", "/readyz", None, None).0, 200);
        for (name, role) in [("admin", "admin"), ("demo", "customer")] {
            let (status, answer) = login(&api, &running.ready["users"][name]);
            assert_eq!(status, 200, "{name}: {answer}");
            let (_, me) = request(&api, "GET", "/api/auth/me", answer["token"].as_str(), None);
            assert_eq!(me["user"]["role"], role, "{me}");
        }
        running.stop();
        running = dev.start(&[]);
    }
    running.stop();
}

#[test]
fn an_operator_creates_accounts() {
    let dev = Dev::new();
    let running = dev.start(&["--roles", "serve"]);
    let api = running.ready["api"].as_str().unwrap();
    let made = json(&dev.join(&["--json", "user", "create", "--email", "Ada@example.com"]));
    assert_eq!((&made["user"]["email"], &made["user"]["role"]), (&"ada@example.com".into(), &"customer".into()));
    let user = serde_json::json!({"email": "ada@example.com", "password": made["password"]});
    assert_eq!(login(api, &user).0, 200);
    let again = dev.join(&["user", "create", "--email", "ada@example.com"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("exists"), "{}", stderr(&again));
    assert!(dev.join(&["user", "set-role", "ada", "admin"]).status.success());
    let users = json(&dev.join(&["--json", "user", "list"]));
    let roles: Vec<&str> =
        users["users"].as_array().unwrap().iter().map(|user| user["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["admin", "customer", "admin"]);
    assert!(!users.to_string().contains("argon2"), "a password hash is shown");
    running.stop();
}

#[test]
fn a_separate_serve_joins_and_drains_on_sigterm() {
    let dev = Dev::new();
    let running = dev.start(&["--roles", "provision"]);
    let api = running.ready["api"].as_str().unwrap();
    let serve = dev.joined(&["serve"]).spawn().unwrap();
    wait_for("the API listens", || std::net::TcpStream::connect(api.trim_start_matches("http://")).is_ok());
    assert_eq!(request(api, "GET", "/readyz", None, None).0, 200);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(serve.id()).unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    let ended = serve.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", ended.status);
    running.stop();
}
