//! The state in SQL, the simulated Proxmox and Redis at the end.

use std::collections::{BTreeMap, BTreeSet};

use redis::{AsyncCommands, RedisError};
use sea_orm::EntityTrait;
use serde_json::Value;
use zpack::db::RedisPool;
use zpack::db::entities::{debt, instance, operation, operation_step, port, queue_slot, reservation};
use zpack::jobs::Queue;
use zpack::kernel::OperationId;

use crate::support::company::Company;

/// The lists of the provision queue.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    pub ready: Vec<String>,
    /// What each worker has received and not acknowledged.
    pub processing: BTreeMap<String, Vec<String>>,
    /// The registered workers, and whether they count as alive.
    pub workers: BTreeMap<String, bool>,
}

impl Lists {
    pub async fn read(connection: &mut RedisPool) -> Result<Self, RedisError> {
        let queue = Queue::Provision;
        let text = |entries: Vec<Vec<u8>>| entries.iter().map(|e| String::from_utf8_lossy(e).into_owned()).collect();
        let ready = text(connection.lrange(queue.ready_key(), 0, -1).await?);
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(connection).await?;
        let deadlines: Vec<(String, f64)> = connection.zrange_withscores(queue.workers_key(), 0, -1).await?;
        let now = (seconds * 1000 + micros / 1000) as f64;
        let workers = deadlines.into_iter().map(|(worker, deadline)| (worker, deadline > now)).collect();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*:proc:*").query_async(connection).await?;
        let mut processing = BTreeMap::new();
        for key in keys {
            if let Some(worker) = key.strip_prefix(&queue.processing_prefix()) {
                processing.insert(worker.to_owned(), text(connection.lrange(&key, 0, -1).await?));
            }
        }
        Ok(Self { ready, processing, workers })
    }

    /// Whether `entry` is on any list.
    pub fn hold(&self, entry: &str) -> bool {
        self.ready.iter().chain(self.processing.values().flatten()).any(|held| held == entry)
    }
}

/// Something at Proxmox, with the nonce of the operation that created it.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The effect, or the status of a container.
    pub name: String,
    pub vmid: i64,
    operation: Option<OperationId>,
}

impl Effect {
    fn of(value: &Value, name: &str) -> Self {
        let text = |key: &str| value[key].as_str();
        let named = |text: &str| text.split_once("operation=").and_then(|(_, id)| id.trim().parse().ok());
        Self {
            name: text(name).unwrap_or_default().to_owned(),
            vmid: value["vmid"].as_i64().unwrap_or_default(),
            operation: text("description").and_then(named),
        }
    }

    pub fn is_of(&self, id: OperationId) -> bool {
        self.operation == Some(id)
    }
}

/// Everything that is known at the end.
#[derive(Debug, Default)]
pub struct Facts {
    /// Accepted operations that must end.
    pub begun: BTreeSet<OperationId>,
    /// Those of them that were cancelled while they waited.
    pub cancelled: BTreeSet<OperationId>,
    /// Operations that no worker knows how to run.
    pub unknown: BTreeSet<OperationId>,
    /// Operations that were accepted in this order for one receiver.
    pub in_order: Vec<OperationId>,
    /// Successful ones whose container was checked and removed by hand, to make room.
    pub removed: BTreeSet<OperationId>,
    /// Whether a worker was asked to stop while it worked: then a successful operation may have steps of two owners.
    pub drained: bool,
    pub operations: BTreeMap<OperationId, operation::Model>,
    pub steps: Vec<operation_step::Model>,
    pub slots: Vec<queue_slot::Model>,
    pub debts: Vec<debt::Model>,
    pub servers: Vec<instance::Model>,
    pub reservations: Vec<reservation::Model>,
    pub ports: Vec<port::Model>,
    pub containers: Vec<Effect>,
    pub ledger: Vec<Effect>,
    pub lists: Lists,
}

impl Facts {
    /// Reads the current state.
    pub async fn read(&mut self, company: &Company) {
        self.read_rows(company).await;
        self.lists = Lists::read(&mut company.lists.connection()).await.unwrap();
    }

    /// All but the lists: first the rows, then the effects at Proxmox.
    pub async fn read_rows(&mut self, company: &Company) {
        let db = &company.db.db;
        let rows = operation::Entity::find().all(db).await.unwrap();
        self.operations = rows.into_iter().map(|row| (row.id, row)).collect();
        self.steps = operation_step::Entity::find().all(db).await.unwrap();
        self.slots = queue_slot::Entity::find().all(db).await.unwrap();
        self.debts = debt::Entity::find().all(db).await.unwrap();
        self.servers = instance::Entity::find().all(db).await.unwrap();
        self.reservations = reservation::Entity::find().all(db).await.unwrap();
        self.ports = port::Entity::find().all(db).await.unwrap();
        let state = company.state().await;
        let ledger = state["proxmox"]["ledger"].as_array().unwrap();
        self.ledger = ledger.iter().map(|entry| Effect::of(entry, "effect")).collect();
        let containers = state["proxmox"]["containers"].as_array().unwrap();
        let ours = containers.iter().filter(|container| container["template"] != true);
        self.containers = ours.map(|container| Effect::of(container, "status")).collect();
    }

    pub fn is_known(&self, id: OperationId) -> bool {
        self.begun.contains(&id) || self.unknown.contains(&id)
    }
}
