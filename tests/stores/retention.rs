//! Expired rows are deleted, by any number of processes at once, and no others.

use std::time::Duration;

use sea_orm::{ActiveValue::Set, EntityTrait, PaginatorTrait};
use zpack::config::RetentionConfig;
use zpack::db::entities::{idempotency_key, revoked_token};
use zpack::kernel::{Timestamp, TokenId, UserId};
use zpack::operations::idempotency;
use zpack::roles::upkeep::{Purged, purge};

use crate::support::{TestDb, on_every_database};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);
const KEPT: RetentionConfig = RetentionConfig { operations: DAY, audit: DAY, deleted_servers: DAY, archive: DAY };
const OVER: u64 = 1203;

fn ago(span: Duration) -> Timestamp {
    Timestamp::from_millis(NOW.millis() - i64::try_from(span.as_millis()).unwrap())
}

async fn keys(test: &TestDb, count: u64, expires_at: Timestamp, name: &str) {
    let row = |n: u64| idempotency_key::ActiveModel {
        id: Set(format!("{name}-{n}")),
        body_hash: Set("hash".to_owned()),
        status: Set(202),
        response: Set("{}".to_owned()),
        operation_id: Set(None),
        created_at: Set(ago(Duration::from_secs(900_000))),
        expires_at: Set(expires_at),
    };
    for page in (0..count).collect::<Vec<_>>().chunks(200) {
        let rows = page.iter().map(|n| row(*n));
        idempotency_key::Entity::insert_many(rows).exec_without_returning(&test.db).await.unwrap();
    }
}

async fn tokens(test: &TestDb, count: u64, expires_at: Timestamp) {
    let user = UserId::generate();
    for page in (0..count).collect::<Vec<_>>().chunks(200) {
        let rows = page.iter().map(|_| revoked_token::ActiveModel {
            token_id: Set(TokenId::generate()),
            user_id: Set(user),
            expires_at: Set(expires_at),
        });
        revoked_token::Entity::insert_many(rows).exec_without_returning(&test.db).await.unwrap();
    }
}

async fn two_processes_remove_everything_that_is_over_and_nothing_else(test: TestDb) {
    keys(&test, OVER, NOW, "over").await;
    keys(&test, 5, NOW.after(Duration::from_millis(1)), "alive").await;
    tokens(&test, OVER, ago(Duration::from_secs(7200))).await;
    // Expired, but perhaps not yet by the clock of another process.
    tokens(&test, 3, ago(Duration::from_secs(60))).await;
    tokens(&test, 4, NOW.after(Duration::from_secs(60))).await;

    let other = test.another_pool().await;
    let (mine, theirs) = tokio::join!(purge(&test.db, NOW, &KEPT), purge(&other, NOW, &KEPT));
    let (mine, theirs) = (mine.unwrap(), theirs.unwrap());
    assert_eq!(mine.idempotency_keys + theirs.idempotency_keys, OVER, "{mine:?} {theirs:?}");
    assert_eq!(mine.revoked_tokens + theirs.revoked_tokens, OVER, "{mine:?} {theirs:?}");
    assert_eq!(idempotency_key::Entity::find().count(&test.db).await.unwrap(), 5);
    assert_eq!(revoked_token::Entity::find().count(&test.db).await.unwrap(), 7);
    assert_eq!(purge(&test.db, NOW, &KEPT).await.unwrap(), Purged::default());
    other.close().await.unwrap();
}

async fn one_statement_removes_no_more_than_it_is_told(test: TestDb) {
    keys(&test, 10, NOW, "over").await;
    assert_eq!(idempotency::purge(&test.db, NOW, 4).await.unwrap(), 4);
    assert_eq!(idempotency::purge(&test.db, NOW, 100).await.unwrap(), 6);
}

on_every_database!(
    two_processes_remove_everything_that_is_over_and_nothing_else,
    one_statement_removes_no_more_than_it_is_told,
);
