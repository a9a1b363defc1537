//! A small company in one process: a database, Redis, the simulated world, and any number of workers.

mod environment;
mod later;
mod peers;
mod workers;
mod world;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::Value;
use zpack::config::DatabaseKind;
use zpack::db::entities::instance;
use zpack::db::entities::operation::{self, Actor, OperationState};
use zpack::db::{self, entities};
use zpack::jobs::{Lists, Queue, Work};
use zpack::kernel::{Clock, OperationId, UserId};
use zpack::observe::facts::Freshness;
use zpack::operations::{Begun, OperationError, Order, begin};
use zpack::provision::{ProvisionPayload, ServerRequest, Workload};
use zpack::publishing::Publisher;
use zpack::router::Parts;
use zpack::sim::{SimConfig, World};
use zpack::telemetry::Metrics;

pub use self::later::LaterRelease;
use super::door::Door;
use super::{PrivateRedis, TestDb, artifacts, lists_at, parts};

/// The zone of the simulated DNS servers.
pub const ZONE: &str = "play.zpack.test";

/// The timeout of every wait. Fifty creates that run one after another share it on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(300);
/// Everything a worker needs, private to one test.
pub struct Company {
    pub db: TestDb,
    pub redis: PrivateRedis,
    pub lists: Lists,
    pub world: World,
    /// The metrics of all its workers together.
    pub metrics: Metrics,
    pub owner: UserId,
    http: reqwest::Client,
}

impl Company {
    /// Starts a company with an SQLite database.
    pub async fn start() -> Self {
        Self::start_on(DatabaseKind::Sqlite).await
    }

    /// Starts a company with a database of `kind`.
    pub async fn start_on(kind: DatabaseKind) -> Self {
        Self::start_over(TestDb::migrated(kind).await, 0.01).await
    }

    /// Starts a company with an empty database; simulated durations are multiplied by `time_scale`.
    pub async fn start_over(db: TestDb, time_scale: f64) -> Self {
        let redis = PrivateRedis::start();
        let lists = lists_at(redis.url());
        let world = World::start(SimConfig { time_scale, ..SimConfig::default() }).await.unwrap();
        let owner = owner(&db.db).await;
        let (metrics, http) = (Metrics::default(), reqwest::Client::new());
        Self { db, redis, lists, world, metrics, owner, http }
    }

    /// Starts the API of this company; observations count for `freshness`.
    pub fn door(&self, freshness: Freshness) -> Door {
        self.door_with(freshness, self.publisher())
    }

    /// The same with another publisher.
    pub fn door_with(&self, freshness: Freshness, publisher: Publisher) -> Door {
        Door::open(Parts {
            freshness,
            source: artifacts::at(&self.world.artifacts_url()),
            publisher,
            hypervisor: Arc::new(self.hypervisor()),
            agent: Arc::new(self.agents(Duration::from_secs(2))),
            ..parts::parts(self.db.db.clone(), self.lists.clone(), Clock::System)
        })
    }

    /// Accepts an operation as the API does, and offers it to workers.
    pub async fn begin(&self, request: ServerRequest) -> OperationId {
        let id = self.begin_silently(request).await;
        // If this is lost, the sweeper offers it.
        let _ = self.lists.offer_new(Queue::Provision, id).await;
        id
    }

    /// Accepts an operation whose offer is lost.
    pub async fn begin_silently(&self, request: ServerRequest) -> OperationId {
        self.begin_new(self.order(request)).await.operation.id
    }

    /// The order that the API would accept for this request with an idempotency key.
    pub fn order(&self, request: ServerRequest) -> Order<ProvisionPayload> {
        let work = ProvisionPayload { user_id: self.owner, request };
        Order::new(work).owned_by(self.owner).keyed(true)
    }

    /// The same from the API of a later release: no worker knows the version of its payload.
    pub fn order_of_a_later_release(&self, request: ServerRequest) -> Order<LaterRelease> {
        Order::new(LaterRelease(ProvisionPayload { user_id: self.owner, request })).owned_by(self.owner)
    }

    /// Accepts an operation without offering it.
    pub async fn begin_new<W: Work>(&self, order: Order<W>) -> Begun {
        self.try_begin(order).await.unwrap()
    }

    /// The same, returning an error if the database is busy.
    pub async fn try_begin<W: Work>(&self, order: Order<W>) -> Result<Begun, OperationError> {
        let tx = db::begin(&self.db.db).await?;
        let begun = begin(&tx, &order, Actor::Customer, Clock::System.now()).await?;
        tx.commit().await?;
        Ok(begun)
    }

    /// The row of an operation.
    pub async fn operation(&self, id: OperationId) -> operation::Model {
        operation::Entity::find_by_id(id).one(&self.db.db).await.unwrap().unwrap()
    }

    /// Makes all leases expire.
    pub async fn end_leases(&self) {
        operation::Entity::update_many()
            .col_expr(operation::Column::LeaseUntil, Expr::value(1i64))
            .filter(operation::Column::LeaseUntil.is_not_null())
            .exec(&self.db.db)
            .await
            .unwrap();
    }

    /// Waits until the operation and its undo have ended.
    pub async fn settled(&self, id: OperationId) -> operation::Model {
        use entities::operation::UndoState;
        self.wait(&format!("{id} to settle"), || async {
            let row = self.operation(id).await;
            let at_work = matches!(row.unwind, UndoState::Due | UndoState::Running);
            (row.state.is_ended() && !at_work).then_some(row)
        })
        .await
    }

    /// Waits for success and returns the row.
    pub async fn succeeded(&self, id: OperationId) -> operation::Model {
        let row = self.settled(id).await;
        assert_eq!(row.state, OperationState::Succeeded, "{:?}: {:?}", row.error_code, row.error_message);
        row
    }

    /// Waits until `fact` returns a value.
    pub async fn wait<T, F: Future<Output = Option<T>>>(&self, what: &str, fact: impl Fn() -> F) -> T {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(value) = fact().await {
                return value;
            }
            assert!(tokio::time::Instant::now() < deadline, "timed out waiting for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes the server that `made` created belong to the new account `name`, whose token is returned.
    pub async fn give(&self, made: OperationId, door: &Door, name: &str) -> String {
        let token = door.register(name).await;
        let me: Value = door.get("/api/auth/me").bearer_auth(&token).send().await.unwrap().json().await.unwrap();
        let owner: UserId = me["user"]["id"].as_str().unwrap().parse().unwrap();
        instance::Entity::update_many()
            .col_expr(instance::Column::UserId, Expr::value(owner))
            .filter(instance::Column::OperationId.eq(made))
            .exec(&self.db.db)
            .await
            .unwrap();
        token
    }
}

/// A customer who owns the servers.
async fn owner(db: &sea_orm::DatabaseConnection) -> UserId {
    let (id, now) = (UserId::generate(), Clock::System.now());
    let row = entities::user::ActiveModel {
        id: Set(id),
        email: Set("owner@example.test".to_owned()),
        username: Set("owner".to_owned()),
        username_key: Set("owner".to_owned()),
        display_name: Set(None),
        first_name: Set(None),
        last_name: Set(None),
        role: Set(entities::user::Role::Customer),
        password_hash: Set("-".to_owned()),
        token_epoch: Set(0),
        billing_status: Set(None),
        suspended_at: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    };
    entities::user::Entity::insert(row).exec_without_returning(db).await.unwrap();
    id
}

/// A Minecraft server.
pub fn paper() -> ServerRequest {
    ServerRequest {
        workload: Workload::Game {
            game: "minecraft".to_owned(),
            variant: "paper".to_owned(),
            version: "1.21.1".to_owned(),
            world: "world".to_owned(),
        },
        memory_mib: 2048,
        cpu_cores: 2,
        name: None,
    }
}

/// A game server whose players connect through a public port.
pub fn valheim() -> ServerRequest {
    let (game, variant) = ("valheim".to_owned(), "vanilla".to_owned());
    let workload = Workload::Game { game, variant, version: "0.220.5".to_owned(), world: "world".to_owned() };
    ServerRequest { workload, ..paper() }
}

/// A dev container.
pub fn node() -> ServerRequest {
    ServerRequest {
        workload: Workload::Dev { runtime: "node".to_owned(), version: "22".to_owned() },
        memory_mib: 1024,
        cpu_cores: 1,
        name: Some("my box".to_owned()),
    }
}
