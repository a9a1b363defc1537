//! The metrics of workers.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use zpack::db::entities::operation::{self, OperationState};
use zpack::telemetry::Metrics;

use super::process::Dev;
use crate::support::company::{Company, node};

/// The sum over the series of `name` whose labels contain `labels`.
fn sum(metrics: &Metrics, name: &str, labels: &str) -> f64 {
    let text = metrics.render().unwrap();
    let series = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(labels));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_counted_from_the_offer_to_its_end() {
    let company = Company::start().await;
    let worker = company.worker(Company::settings());
    let id = company.begin_silently(node()).await;
    company.succeeded(id).await;
    worker.stop().await;

    let count = |name: &str, labels: &str| sum(&company.metrics, name, labels);
    assert!(count("zpack_queue_offered_total", "provision") >= 1.0);
    assert!(count("zpack_queue_sweeps_total", "succeeded") >= 1.0);
    assert_eq!(count("zpack_queue_claims_total", "purpose=\"run\""), 1.0);
    assert_eq!(count("zpack_queue_claims_total", "purpose=\"unwind\""), 0.0);
    assert_eq!(count("zpack_job_run_seconds_count", "end=\"succeeded\""), 1.0);
    assert_eq!(count("zpack_queue_jobs_running", "provision"), 0.0);
    assert_eq!(count("zpack_queue_fence_refusals_total", ""), 0.0);
    assert!(count("zpack_queue_receive_timestamp_seconds", "provision") > 1_700_000_000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_out_owner_and_its_recovery_are_counted() {
    let company = Company::start().await;
    let worker = company.worker(Company::settings());
    let id = company.begin(node()).await;
    company
        .wait("another owner to take over", || async {
            let taken = operation::Entity::update_many()
                .col_expr(operation::Column::Fence, Expr::col(operation::Column::Fence).add(1))
                .filter(operation::Column::Id.eq(id))
                .filter(operation::Column::State.eq(OperationState::Running))
                .exec(&company.db.db)
                .await
                .unwrap();
            (taken.rows_affected == 1).then_some(())
        })
        .await;
    let row = company.settled(id).await;
    worker.stop().await;

    let count = |name: &str, labels: &str| sum(&company.metrics, name, labels);
    assert!(row.fence > 2, "{row:?}");
    assert!(count("zpack_queue_fence_refusals_total", "provision") >= 1.0);
    assert_eq!(count("zpack_job_run_seconds_count", "end=\"lost\""), 1.0);
    assert_eq!(count("zpack_queue_recovered_total", "provision"), 1.0);
    assert_eq!(count("zpack_queue_jobs_running", "provision"), 0.0);
}

/// Scrapes `url` until `enough` accepts the text.
async fn scraped(url: &str, token: Option<&str>, enough: impl Fn(&str) -> bool) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let request = token.map_or_else(|| client.get(url), |token| client.get(url).bearer_auth(token));
        let text = match request.send().await {
            Ok(answer) => answer.error_for_status().unwrap().text().await.unwrap(),
            Err(error) => error.to_string(),
        };
        if enough(&text) {
            return text;
        }
        assert!(tokio::time::Instant::now() < deadline, "timed out waiting at {url}:\n{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a series that begins with `name` has a value above zero.
fn above_zero(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.starts_with(name) && !line.ends_with(" 0"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_and_a_separate_worker_serve_their_metrics() {
    let dev = Dev::new();
    let running = dev.start(&["--roles", "serve"]);
    let token = running.ready["discoveryToken"].as_str().unwrap();
    let api = format!("{}/metrics", running.ready["api"].as_str().unwrap());
    let observed = |text: &str| {
        ["database", "redis"]
            .iter()
            .all(|store| above_zero(text, &format!("zpack_observed_timestamp_seconds{{store=\"{store}\"}}")))
    };
    let text = scraped(&api, Some(token), observed).await;
    for line in ["zpack_queue_workers{queue=\"provision\"} 0", "zpack_redis_noeviction{} 1"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut worker = tokio::process::Command::from(dev.joined(&["worker", "provision"]));
    let mut worker = worker.env("METRICS_LISTEN", free.to_string()).kill_on_drop(true).spawn().unwrap();
    let busy = |text: &str| {
        above_zero(text, "zpack_queue_receive_timestamp_seconds")
            && above_zero(text, "zpack_queue_sweeps_total{queue=\"provision\",outcome=\"succeeded\"}")
    };
    scraped(&format!("http://{free}/metrics"), None, busy).await;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(worker.wait().await.unwrap().success());
    running.stop();
}
