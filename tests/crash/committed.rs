//! An operation that has committed and whose worker died: what customers, operators and billing do before it resumes.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use zpack::db::entities::instance;
use zpack::db::entities::operation::OperationState;
use zpack::db::entities::standing::{self, StandingState};
use zpack::kernel::{Clock, OperationId};

use super::process::WorkerProcess;
use crate::flows::teardown::{delete, expect_empty};
use crate::support::app::FRESHNESS;
use crate::support::company::{Company, valheim};

/// A company whose worker died right after it had recorded the server of the returned operation.
async fn died_after_the_commitment() -> (Company, OperationId) {
    let company = Company::start().await;
    let mut doomed = WorkerProcess::doomed(&company, "record_server.effect");
    let id = company.begin(valheim()).await;
    doomed.killed().await;
    assert!(company.operation(id).await.committed);
    (company, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_deleted_meanwhile_does_not_come_back() {
    let (company, id) = died_after_the_commitment().await;
    let (host, door) = (company.host_worker(), company.door(FRESHNESS));
    let server = instance::Entity::find().one(&company.db.db).await.unwrap().unwrap();
    let deletion = delete(&door, server.vmid.get()).await.unwrap();
    company.succeeded(deletion).await;
    host.stop().await;
    let new_owner = WorkerProcess::new_owner(&company).await;
    let row = company.settled(id).await;
    new_owner.stop().await;
    assert_eq!(row.state, OperationState::Succeeded, "{:?}", row.error_message);
    expect_empty(&company).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_of_its_owner_does_not_destroy_the_server() {
    let (company, id) = died_after_the_commitment().await;
    let now = Clock::System.now();
    let held = standing::ActiveModel {
        user_id: Set(company.operation(id).await.user_id.unwrap()),
        state: Set(StandingState::Suspended),
        manual_hold: Set(false),
        reason: Set(None),
        since: Set(now),
        version: Set(1),
        updated_at: Set(now),
    };
    standing::Entity::insert(held).exec_without_returning(&company.db.db).await.unwrap();
    let new_owner = WorkerProcess::new_owner(&company).await;
    let row = company.settled(id).await;
    new_owner.stop().await;
    assert_eq!(row.state, OperationState::Succeeded, "{:?}", row.error_message);
    assert_eq!(company.containers().await.len(), 1);
    let servers = instance::Entity::find().filter(instance::Column::OperationId.eq(id)).all(&company.db.db).await;
    assert_eq!(servers.unwrap().len(), 1);
}
