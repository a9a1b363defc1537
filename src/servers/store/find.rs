//! One server.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::db::entities::instance;
use crate::db::{self, ReadError};
use crate::kernel::{Hostname, OperationId, UserId, VmId};

/// The server `vmid`.
pub async fn find(db: &impl ConnectionTrait, vmid: VmId) -> Result<Option<instance::Model>, DbErr> {
    instance::Entity::find().filter(instance::Column::Vmid.eq(vmid)).one(db).await
}

/// The server `vmid`, if `owner` owns it.
pub async fn find_owned(
    db: &impl ConnectionTrait,
    owner: UserId,
    vmid: VmId,
) -> Result<Option<instance::Model>, ReadError> {
    let found = instance::Entity::find().filter(instance::Column::Vmid.eq(vmid));
    db::readable_one(found.filter(instance::Column::UserId.eq(owner)), db).await
}

/// The server that `operation` made.
pub async fn find_by_operation(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Option<instance::Model>, DbErr> {
    instance::Entity::find().filter(instance::Column::OperationId.eq(operation)).one(db).await
}

/// The server whose host name is `hostname`.
pub async fn find_by_hostname(
    db: &impl ConnectionTrait,
    hostname: &Hostname,
) -> Result<Option<instance::Model>, DbErr> {
    instance::Entity::find().filter(instance::Column::Hostname.eq(hostname.clone())).one(db).await
}
