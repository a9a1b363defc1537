//! What workers count while they work.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use zpack::db::entities::operation::{self, OperationState};
use zpack::telemetry::Metrics;

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
async fn an_owner_that_was_fenced_out_is_counted_and_so_is_the_recovery() {
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
