//! `docs/metrics.md` lists every metric of the registry, and no other.

use std::fmt::Write;

use zpack::telemetry::Metrics;

#[test]
fn the_list_of_metrics_is_up_to_date() {
    let mut text = String::from(HEAD);
    for metric in Metrics::default().described() {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(text, "| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), metric.help).unwrap();
    }
    super::compare("docs/metrics.md", &text);
}

const HEAD: &str = "\
# Metrics

The metrics for Prometheus. This file is generated from `src/telemetry/metrics/` by `UPDATE_EXPECTED=1 cargo test ratchet`.

- The API answers `GET /metrics` to requests with `PROM_SD_TOKEN` (or the internal token) as bearer token. A worker serves the same
  on `METRICS_LISTEN`, when that is set. In one process, as in `zpack dev`, all roles share one registry.
- The format is OpenMetrics text. A scrape calls no peer and no store.
- Series about the process itself (`zpack_queue_claims_total`, `zpack_job_run_seconds`, …) are summed over processes. Gauges
  about the stores (`zpack_queue_due`, `zpack_queue_workers`, `zpack_redis_…`) are read by every API process
  every ten seconds and are equal: take the `max`. `zpack_observed_timestamp_seconds` is the time of the last reading.
- Labels come from closed sets: route patterns, queues, variants of an enum. None names a server, an operation or a customer.
- A histogram has the series `_bucket`, `_sum` and `_count`.
- The alerts on them are in `packaging/prometheus/zpack.rules.yml`, each with its page under `docs/runbooks/`.

| metric | kind | labels | meaning |
|---|---|---|---|
";
