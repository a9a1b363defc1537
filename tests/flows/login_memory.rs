//! The memory of `zpack serve` after many logins.

use std::net::TcpStream;

use futures_util::future::join_all;
use serde_json::json;

use super::process::{Dev, wait_for};

/// The resident memory of a process, in MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn many_logins_need_the_memory_of_two() {
    let dev = Dev::new();
    let running = dev.start(&["--roles", "provision"]);
    let api = running.ready["api"].as_str().unwrap().to_owned();
    let mut serve = dev.joined(&["serve"]).env("TRUSTED_PROXIES", "127.0.0.0/8").spawn().unwrap();
    wait_for("the API listens", || TcpStream::connect(api.trim_start_matches("http://")).is_ok());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = |n: usize| {
        let body = json!({ "identifier": format!("user-{n}"), "password": "a wrong password" });
        let request = client.post(format!("{api}/api/auth/login")).header("x-forwarded-for", format!("192.0.2.{n}"));
        async move { request.json(&body).send().await.unwrap().status().as_u16() }
    };
    assert_eq!(login(0).await, 401);
    let before = resident(serve.id());
    for wave in 0..6 {
        let statuses = join_all((0..16).map(|n| login(1 + wave * 16 + n))).await;
        assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    }
    let after = resident(serve.id());
    serve.kill().unwrap();
    serve.wait().unwrap();
    running.stop();
    assert!(after < before + 64, "{before} MiB, then {after} MiB");
}
