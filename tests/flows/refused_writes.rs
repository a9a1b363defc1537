//! What a database does not take: text of a peer that is no text, and a write that it refuses for good.

use sea_orm::ConnectionTrait;
use serde_json::json;
use zpack::config::DatabaseKind;
use zpack::db::entities::operation::{Cleanup, OperationState};

use crate::support::company::{Company, node};
use crate::support::{TestDb, on_every_database};

on_every_database!(
    an_error_with_a_nul_ends_the_operation_as_its_agent_said,
    a_refused_journal_fails_the_operation_at_once,
);

async fn an_error_with_a_nul_ends_the_operation_as_its_agent_said(test: TestDb) {
    let company = Company::start_over(test, 0.01).await;
    company.control("/sim/agents/next", json!({ "state": "error", "error": "disk\u{0} is \u{1b}[31mfull" })).await;
    let worker = company.worker(Company::settings());
    let id = company.begin(node()).await;
    let row = company.settled(id).await;
    worker.stop().await;
    assert_eq!((row.state, row.error_code.as_deref()), (OperationState::Failed, Some("agent_error")));
    assert_eq!(row.error_message.as_deref(), Some("disk\u{fffd} is \u{fffd}[31mfull"));
    assert!(company.containers().await.is_empty());
}

/// Makes the database refuse the journal of one step.
fn refuse_a_step(kind: DatabaseKind) -> &'static [&'static str] {
    match kind {
        DatabaseKind::Sqlite => {
            &["CREATE TRIGGER refuse BEFORE INSERT ON operation_steps WHEN NEW.name = 'start_container' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"]
        }
        DatabaseKind::Postgres => &[
            "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF NEW.name = 'start_container' THEN \
             RAISE EXCEPTION 'refused'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
            "CREATE TRIGGER refuse BEFORE INSERT ON operation_steps FOR EACH ROW EXECUTE FUNCTION refuse()",
        ],
        DatabaseKind::MariaDb => &["CREATE TRIGGER refuse BEFORE INSERT ON operation_steps FOR EACH ROW \
             IF NEW.name = 'start_container' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF"],
    }
}

async fn a_refused_journal_fails_the_operation_at_once(test: TestDb) {
    for statement in refuse_a_step(test.kind) {
        test.db.execute_unprepared(statement).await.unwrap();
    }
    let company = Company::start_over(test, 0.01).await;
    let worker = company.worker(Company::settings());
    let id = company.begin(node()).await;
    let row = company.settled(id).await;
    worker.stop().await;
    assert_eq!((row.state, row.error_code.as_deref()), (OperationState::Failed, Some("internal_error")));
    assert_eq!((row.error_phase.as_deref(), row.starts, row.cleanup), (Some("start_container"), 1, Cleanup::Done));
    assert!(company.containers().await.is_empty());
}
