//! The disk of an SQLite database is full.
//!
//! A full disk needs a small one: a shell mounts one in its own mount namespace, which ends with it, runs the API
//! there, and fills and empties the disk on command.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::scene::{Api, refused};
use crate::support::app::PASSWORD;
use crate::support::company::Company;
use crate::support::free_port;

const SCRIPT: &str = r#"
set -e
mount -t tmpfs -o size=3m none "$1"
"$2" migrate up >/dev/null
"$2" serve &
trap 'kill $!; wait $!' EXIT
while read -r word; do
  case $word in
    fill) dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null || true ;;
    empty) rm "$1/filler" ;;
  esac
  echo done
done
"#;

struct SmallDisk {
    shell: Child,
    orders: ChildStdin,
    answers: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl SmallDisk {
    fn start(company: &Company, folder: &std::path::Path, port: u16) -> Self {
        let mut command = Command::new("unshare");
        // Root needs no user namespace, and may not have one in a chroot.
        if !nix::unistd::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let settings = [
            ("DATABASE_URL", format!("sqlite://{}/zpack.db", folder.display())),
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ];
        let mut shell = command
            .args(["--mount", "sh", "-c", SCRIPT, "small-disk"])
            .arg(folder)
            .arg(env!("CARGO_BIN_EXE_zpack"))
            .env_clear()
            .envs(company.environment())
            .envs(settings)
            .envs(Api::settings(port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let orders = shell.stdin.take().unwrap();
        let answers = BufReader::new(shell.stdout.take().unwrap()).lines();
        Self { shell, orders, answers }
    }

    async fn tell(&mut self, word: &str) {
        self.orders.write_all(format!("{word}\n").as_bytes()).await.unwrap();
        while let Some(line) = self.answers.next_line().await.unwrap() {
            if line == "done" {
                return;
            }
        }
        panic!("the shell has ended at `{word}`");
    }

    /// When its input ends, the shell ends, and with it the API and the disk.
    async fn end(mut self) {
        drop(self.orders);
        self.shell.wait().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_an_error_without_partial_writes() {
    let company = Company::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut disk = SmallDisk::start(&company, folder.path(), port);
    let origin = format!("http://127.0.0.1:{port}");
    let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let ask = || async { http.get(format!("{origin}/healthz")).send().await.ok() };
    company.wait("the API", ask).await;
    let customer = json!({ "email": "alice@example.com", "username": "alice", "password": PASSWORD });
    let answer = http.post(format!("{origin}/api/auth/register")).json(&customer).send().await.unwrap();
    let account: Value = answer.json().await.unwrap();
    let token = account["token"].as_str().unwrap();
    let create = |number: u32| {
        let body = json!({
            "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1", "memoryMiB": 512,
            "name": format!("server {number} {}", "x".repeat(40)),
        });
        let request = http.request(Method::POST, format!("{origin}/api/instances")).bearer_auth(token);
        request.header("idempotency-key", format!("key-{number}")).json(&body).send()
    };

    disk.tell("fill").await;
    // The file may have free pages; a request that still fits is accepted.
    let mut accepted = 0;
    let answer = loop {
        let answer = create(accepted).await.unwrap();
        if answer.status() != StatusCode::ACCEPTED {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 3, "the disk does not get full");
    };
    refused(answer, "storage_full").await;
    // The same request with the same key is refused again: no part of it was stored that could be joined or replayed.
    refused(create(accepted).await.unwrap(), "storage_full").await;

    disk.tell("empty").await;
    let listed = http.get(format!("{origin}/api/operations")).bearer_auth(token).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["operations"].as_array().unwrap().len() as u32, accepted, "{listed}");
    let answer = create(accepted).await.unwrap();
    assert!(!answer.headers().contains_key("idempotency-replayed"));
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    disk.end().await;
}
