//! The rows of servers. Every function is one statement.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::kernel::{Hostname, InstanceId, OperationId, Timestamp, UserId, VmId};
use crate::ports::NodeName;

/// A server that has come into being.
#[derive(Clone, Debug)]
pub struct NewInstance {
    /// Its number.
    pub vmid: VmId,
    /// Its host name.
    pub hostname: Hostname,
    /// Its owner.
    pub user_id: UserId,
    /// The operation that made it.
    pub operation_id: OperationId,
    /// Game server or dev container.
    pub kind: InstanceKind,
    /// The name its owner gave it.
    pub name: String,
    /// The game or the runtime.
    pub software: String,
    /// The variant of the game.
    pub variant: Option<String>,
    /// The version of game or runtime.
    pub version: String,
    /// Memory limit.
    pub memory_mib: i32,
    /// Number of cores.
    pub cpu_cores: i32,
    /// The node it is on.
    pub node: NodeName,
    /// The address of its agent.
    pub address: String,
}

/// Records a server. Its number, its host name and its operation are unique; a second record of one of them fails with a
/// duplicate error (`db::is_duplicate`).
pub async fn insert(db: &impl ConnectionTrait, new: NewInstance, now: Timestamp) -> Result<InstanceId, DbErr> {
    let id = InstanceId::generate();
    let row = instance::ActiveModel {
        id: Set(id),
        vmid: Set(new.vmid),
        hostname: Set(new.hostname),
        user_id: Set(new.user_id),
        operation_id: Set(new.operation_id),
        kind: Set(new.kind),
        name: Set(new.name),
        software: Set(new.software),
        variant: Set(new.variant),
        version: Set(new.version),
        memory_mib: Set(new.memory_mib),
        cpu_cores: Set(new.cpu_cores),
        node: Set(new.node.to_string()),
        address: Set(new.address),
        lifecycle: Set(Lifecycle::Active),
        generation: Set(1),
        payload: Set("{}".to_owned()),
        edge_due_at: Set(None),
        revision: Set(0),
        created_at: Set(now),
        updated_at: Set(now),
    };
    instance::Entity::insert(row).exec_without_returning(db).await?;
    Ok(id)
}

/// The server `vmid`, if `owner` owns it.
pub async fn find_owned(
    db: &impl ConnectionTrait,
    owner: UserId,
    vmid: VmId,
) -> Result<Option<instance::Model>, DbErr> {
    instance::Entity::find()
        .filter(instance::Column::Vmid.eq(vmid))
        .filter(instance::Column::UserId.eq(owner))
        .one(db)
        .await
}

/// The server that `operation` made.
pub async fn find_by_operation(
    db: &impl ConnectionTrait,
    operation: OperationId,
) -> Result<Option<instance::Model>, DbErr> {
    instance::Entity::find().filter(instance::Column::OperationId.eq(operation)).one(db).await
}

/// At most `limit` servers of `owner` behind `after`, by number.
pub async fn list_owned(
    db: &impl ConnectionTrait,
    owner: UserId,
    after: Option<VmId>,
    limit: u64,
) -> Result<Vec<instance::Model>, DbErr> {
    page(after, limit).filter(instance::Column::UserId.eq(owner)).all(db).await
}

/// At most `limit` servers of everybody behind `after`, by number.
pub async fn list_all(
    db: &impl ConnectionTrait,
    after: Option<VmId>,
    limit: u64,
) -> Result<Vec<instance::Model>, DbErr> {
    page(after, limit).all(db).await
}

fn page(after: Option<VmId>, limit: u64) -> sea_orm::Select<instance::Entity> {
    let rows = instance::Entity::find().order_by_asc(instance::Column::Vmid).limit(limit);
    match after {
        Some(vmid) => rows.filter(instance::Column::Vmid.gt(vmid)),
        None => rows,
    }
}

/// Where the agent of a server listens.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct PollTarget {
    /// The server.
    pub id: InstanceId,
    /// The server's number.
    pub vmid: VmId,
    /// Its address.
    pub address: String,
}

/// At most `limit` agents to poll behind `after`, by number.
pub async fn list_poll_targets(
    db: &impl ConnectionTrait,
    after: Option<VmId>,
    limit: u64,
) -> Result<Vec<PollTarget>, DbErr> {
    page(after, limit)
        .select_only()
        .column(instance::Column::Id)
        .column(instance::Column::Vmid)
        .column(instance::Column::Address)
        .into_model()
        .all(db)
        .await
}
