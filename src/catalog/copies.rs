//! The last good copies in the database.

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::db;
use crate::db::entities::catalog_copy;
use crate::kernel::Timestamp;

/// The longest entity tag that is stored.
const LONGEST_ETAG: usize = 255;

/// A stored document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) body: String,
    pub(super) etag: Option<String>,
    pub(super) fetched_at: Timestamp,
}

/// The copy of `document`.
pub(super) async fn find(db: &impl ConnectionTrait, document: &str) -> Result<Option<Copy>, DbErr> {
    let row = catalog_copy::Entity::find_by_id(document).one(db).await?;
    Ok(row.map(|row| Copy { body: row.body, etag: row.etag, fetched_at: row.fetched_at }))
}

/// Records that the copy of `document` was current at `at`.
pub(super) async fn touch(db: &impl ConnectionTrait, document: &str, at: Timestamp) -> Result<(), DbErr> {
    catalog_copy::Entity::update_many()
        .col_expr(catalog_copy::Column::FetchedAt, Expr::value(at))
        .filter(catalog_copy::Column::Document.eq(document))
        .filter(catalog_copy::Column::FetchedAt.lt(at))
        .exec(db)
        .await
        .map(drop)
}

/// Stores `copy` unless another process has stored a newer one.
pub(super) async fn put(db: &impl ConnectionTrait, document: &str, copy: &Copy) -> Result<(), DbErr> {
    let etag = copy.etag.clone().filter(|etag| etag.len() <= LONGEST_ETAG);
    let row = catalog_copy::ActiveModel {
        document: Set(document.to_owned()),
        body: Set(copy.body.clone()),
        etag: Set(etag.clone()),
        fetched_at: Set(copy.fetched_at),
    };
    match catalog_copy::Entity::insert(row).exec_without_returning(db).await {
        Ok(_) => return Ok(()),
        Err(error) if db::is_duplicate(&error) => {}
        Err(error) => return Err(error),
    }
    catalog_copy::Entity::update_many()
        .col_expr(catalog_copy::Column::Body, Expr::value(copy.body.clone()))
        .col_expr(catalog_copy::Column::Etag, Expr::value(etag))
        .col_expr(catalog_copy::Column::FetchedAt, Expr::value(copy.fetched_at))
        .filter(catalog_copy::Column::Document.eq(document))
        .filter(catalog_copy::Column::FetchedAt.lte(copy.fetched_at))
        .exec(db)
        .await
        .map(drop)
}
