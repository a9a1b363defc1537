//! When a part of a role ends, the role ends too, so that systemd restarts it.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use zpack::background::{Runner, TaskEnded, TaskName};
use zpack::config::DatabaseKind;
use zpack::kernel::Clock;
use zpack::router::{MetricsApi, serve_metrics};
use zpack::telemetry::Metrics;

use super::process::{Dev, json, request, stderr, wait_for, zpack};
use crate::support::TestDb;

/// `EX_SOFTWARE`.
const DEFECT: i32 = 70;

/// Runs `role` in a separate company until it ends; `meanwhile` runs before that.
fn ended_by(dev: &Dev, role: &[&str], failpoint: &str, meanwhile: impl FnOnce()) -> Output {
    let mut role = dev.joined(role);
    let role = role.env("ZPACK_FAILPOINT", failpoint).stderr(Stdio::piped()).spawn().unwrap();
    meanwhile();
    role.wait_with_output().unwrap()
}

#[test]
fn an_api_whose_task_panics_becomes_unready_and_ends() {
    let dev = Dev::new();
    let running = dev.start(&["--roles", "provision"]);
    let api = running.ready["api"].as_str().unwrap().to_owned();
    let listens = || TcpStream::connect(api.trim_start_matches("http://")).is_ok();
    let output = ended_by(&dev, &["serve"], "task.catalog-refresh@4=panic", || {
        wait_for("the API listens", listens);
        assert_eq!(request(&api, "GET", "/readyz", None, None).0, 200, "it was ready");
    });
    assert_eq!(output.status.code(), Some(DEFECT), "{}", stderr(&output));
    let said = "zpack: catalog-refresh panicked: the failpoint task.catalog-refresh was reached";
    assert!(stderr(&output).contains(said), "{}", stderr(&output));
    assert!(!listens(), "nothing answers /readyz");
    running.stop();
}

#[test]
fn a_worker_whose_task_panics_drains_and_ends() {
    let dev = Dev::new();
    let running = dev.start(&["--roles"]);
    let workers = || json(&dev.join(&["--json", "queue", "list"]))["queues"][0]["workers"].clone();
    let output = ended_by(&dev, &["worker", "provision"], "task.edge-reconciler@6=panic", || {
        wait_for("the worker signs on", || workers() == 1);
    });
    assert_eq!(output.status.code(), Some(DEFECT), "{}", stderr(&output));
    assert!(stderr(&output).contains("edge-reconciler panicked"), "{}", stderr(&output));
    assert_eq!(workers(), 0, "it signed off");
    running.stop();
}

#[test]
fn a_company_ends_with_its_role_and_names_it() {
    let dev = Dev::new();
    let mut company: Command = zpack(dev.folder(), &["dev", "--port", "0", "--sim-port", "0"]);
    let output = company.env("ZPACK_FAILPOINT", "task.debt-collector=panic").output().unwrap();
    assert_eq!(output.status.code(), Some(DEFECT), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("role of provision failed") && text.contains("because: debt-collector panicked"), "{text}");
}

#[tokio::test]
async fn a_returning_part_ends_the_listener_of_its_role() {
    let db = TestDb::migrated(DatabaseKind::Sqlite).await;
    let (stop, metrics) = (CancellationToken::new(), Metrics::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let mut runner = Runner::new(stop.clone(), &metrics, Clock::System);
    let api = MetricsApi { metrics, db: db.db.clone() };
    let shown = serve_metrics(listener, api, None, stop.clone());
    runner.supervise(TaskName::of("metrics-listener"), async { Ok(shown.await?) });
    runner.supervise(TaskName::of("queue-worker").about("host"), async { Ok(ended.await?) });
    let role = tokio::spawn(runner.run());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{address}/metrics")).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    drop((answer, client));

    end.send(()).unwrap();
    let ended = role.await.unwrap().unwrap_err();
    assert!(matches!(ended, TaskEnded::Returned { .. }), "{ended:?}");
    assert_eq!(ended.to_string(), "queue-worker of host ended although nothing asked it to stop");
    assert!(stop.is_cancelled() && TcpStream::connect(address).is_err(), "nothing is shown any more");
}
