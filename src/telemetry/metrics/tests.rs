//! What is recorded is rendered, and everything rendered is described.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::kernel::Timestamp;

/// Metrics with at least one series each.
fn touched() -> Metrics {
    let metrics = Metrics::default();
    let now = Timestamp::from_millis(1_800_000_000_000);
    metrics.http.answered("GET", Some("/api/servers/{id}"), 200, Duration::from_millis(3));
    metrics.poller.polled(Outcome::Succeeded, Duration::ZERO);
    metrics.poller.round_done(now);
    metrics.stores.observed(Store::Redis, now);
    metrics.stores.connections(10, 4, 3);
    metrics.stores.redis_memory(512, 1024, true);
    metrics.stores.purged("revoked_tokens", 7);
    metrics.stores.skipped("operations", 1);
    metrics.stores.debts("container", 2, 90);
    metrics.stores.blocked("cloudflare", 1);
    for gauge in QueueGauge::ALL {
        metrics.stores.queue("provision", *gauge, 1);
    }
    let lease = metrics.lease("controller");
    lease.ticked(Outcome::Succeeded, Duration::ZERO);
    lease.asked(Outcome::Failed, Duration::ZERO);
    let task = metrics.tasks.began("queue-sweep", "provision", Duration::from_millis(1500), now);
    task.succeeded(3, Duration::from_millis(20), now.after(Duration::from_secs(9)));
    task.failed(Duration::ZERO);
    metrics.jobs("provision").ended(RunEnd::Failed, Duration::from_secs(2));
    metrics
}

#[test]
fn what_clones_record_is_rendered_together() {
    let metrics = touched();
    metrics.clone().http.answered("GET", Some("/api/servers/{id}"), 204, Duration::from_secs(20));
    metrics.clone().http.answered("BREW", None, 404, Duration::ZERO);
    let jobs = metrics.clone().jobs("provision");
    jobs.claimed(Purpose::Undo);
    jobs.offered(3);
    jobs.refused(FencedWrite::Renewal);
    let text = metrics.render().unwrap();
    for line in [
        r#"zpack_http_request_seconds_count{method="GET",route="/api/servers/{id}",status="2xx"} 2"#,
        r#"zpack_http_request_seconds_bucket{le="0.005",method="GET",route="/api/servers/{id}",status="2xx"} 1"#,
        r#"zpack_http_request_seconds_count{method="other",route="none",status="4xx"} 1"#,
        r#"zpack_job_run_seconds_count{queue="provision",end="failed"} 1"#,
        r#"zpack_agent_poll_seconds_count{outcome="succeeded"} 1"#,
        r#"zpack_queue_claims_total{queue="provision",purpose="unwind"} 1"#,
        r#"zpack_queue_claims_total{queue="provision",purpose="run"} 0"#,
        r#"zpack_queue_fence_refusals_total{queue="provision",at="renewal"} 1"#,
        r#"zpack_queue_offered_total{queue="provision"} 3"#,
        r#"zpack_observed_timestamp_seconds{store="redis"} 1800000000"#,
        r#"zpack_task_last_success_timestamp_seconds{task="queue-sweep",subject="provision"} 1800000009"#,
        r#"zpack_task_period_seconds{task="queue-sweep",subject="provision"} 1.5"#,
        r#"zpack_task_items_done_total{task="queue-sweep",subject="provision"} 3"#,
        r#"zpack_task_pass_seconds_count{task="queue-sweep",subject="provision",outcome="failed"} 1"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_a_process_never_saw_has_no_series() {
    let text = Metrics::default().render().unwrap();
    let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")).collect();
    assert_eq!(series, [] as [&str; 0]);
    for gauge in ["zpack_redis_noeviction", "zpack_agent_poll_round_timestamp_seconds", "zpack_queue_workers"] {
        assert!(!text.lines().any(|line| line.starts_with(gauge)), "{gauge} would be taken for 0:\n{text}");
    }
}

#[test]
fn every_rendered_metric_is_described_under_its_name_and_kind() {
    let metrics = touched();
    let text = metrics.render().unwrap();
    let rendered: BTreeSet<String> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect();
    let described: BTreeSet<String> = metrics
        .described()
        .iter()
        .map(|metric| format!("{} {}", metric.name.trim_end_matches("_total"), metric.kind))
        .collect();
    assert_eq!(rendered, described);
    for metric in metrics.described() {
        let sample = |line: &&str| {
            line.strip_prefix(metric.name.as_str())
                .is_some_and(|rest| rest.starts_with(['{', ' ']) || rest.starts_with("_count"))
        };
        let line = text.lines().find(sample).unwrap_or_else(|| panic!("{} has no series", metric.name));
        for label in metric.labels {
            assert!(line.contains(&format!("{label}=\"")), "{line} has no label {label}");
        }
        assert_eq!(line.matches("=\"").count(), metric.labels.len(), "{line}");
    }
}
