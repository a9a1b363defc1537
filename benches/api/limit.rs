//! The upper limit: for each route the queries of zpack in a minimal actix handler, with the pool of the driver as it
//! comes and the rows as JSON. It verifies the token and reads nothing else of the request.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use redis::aio::MultiplexedConnection;
use sea_orm::sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sea_orm::sqlx::{self, Row};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::systems::SECRET;

/// The connections of the pool, as many as zpack has.
const CONNECTIONS: u32 = 10;

const USER: &str = "SELECT id, email, username, display_name, first_name, last_name, role FROM users \
    WHERE id = $1 AND token_epoch = $2 AND NOT EXISTS (SELECT 1 FROM revoked_tokens WHERE token_id = $3)";
const SERVERS: &str = "SELECT id, hostname, name, software, variant, version, payload FROM instances \
    WHERE user_id = $1 ORDER BY vmid LIMIT 201";
const OPERATION: &str = "SELECT id, kind, state, phase, request FROM operations WHERE id = $1 AND user_id = $2";
const STEPS: &str = "SELECT name, status, detail FROM operation_steps WHERE operation_id = $1 ORDER BY seq";

#[derive(Deserialize)]
struct Claims {
    sub: String,
    jti: String,
    epoch: i32,
}

#[derive(Clone)]
struct Stores {
    pool: PgPool,
    redis: MultiplexedConnection,
}

/// Serves until it is killed: the port, the database, the port of Redis.
pub fn run(arguments: &[String]) {
    let [port, database, redis] = arguments else { panic!("limit <port> <database> <redis port>") };
    let address = ("127.0.0.1", port.parse::<u16>().unwrap());
    let redis = redis::Client::open(format!("redis://127.0.0.1:{redis}/0")).unwrap();
    actix_web::rt::System::new().block_on(async move {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        let pool = options.connect(database).await.unwrap();
        let stores = Stores { pool, redis: redis.get_multiplexed_async_connection().await.unwrap() };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(stores.clone()))
                .route("/api/auth/me", web::get().to(me))
                .route("/api/servers", web::get().to(servers))
                .route("/api/operations/{id}", web::get().to(operation))
        });
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        server.workers(cores).bind(address).unwrap().run().await.unwrap();
    });
}

async fn user(request: &HttpRequest, stores: &Stores) -> Value {
    let token = request.headers().get("authorization").unwrap().to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&["zpack-api"]);
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).unwrap().claims;
    let row = sqlx::query(USER).bind(claims.sub).bind(claims.epoch).bind(claims.jti).fetch_one(&stores.pool);
    texts(&row.await.unwrap())
}

async fn me(request: HttpRequest, stores: web::Data<Stores>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "ok": true, "user": user(&request, &stores).await }))
}

async fn servers(request: HttpRequest, stores: web::Data<Stores>) -> HttpResponse {
    let user = user(&request, &stores).await;
    let rows = sqlx::query(SERVERS).bind(user["id"].as_str()).fetch_all(&stores.pool).await.unwrap();
    let servers: Vec<Value> = rows.iter().map(texts).collect();
    let keys: Vec<String> = servers.iter().map(|server| format!("agent:{}", server["id"].as_str().unwrap())).collect();
    let live: Vec<Option<String>> = redis::cmd("MGET").arg(keys).query_async(&mut stores.redis.clone()).await.unwrap();
    HttpResponse::Ok().json(json!({ "servers": servers, "live": live }))
}

async fn operation(request: HttpRequest, stores: web::Data<Stores>) -> HttpResponse {
    let user = user(&request, &stores).await;
    let id = request.match_info().get("id").unwrap();
    let row = sqlx::query(OPERATION).bind(id).bind(user["id"].as_str()).fetch_one(&stores.pool).await.unwrap();
    let steps = sqlx::query(STEPS).bind(id).fetch_all(&stores.pool).await.unwrap();
    HttpResponse::Ok().json(json!({ "operation": texts(&row), "steps": steps.iter().map(texts).collect::<Vec<_>>() }))
}

/// The columns of a row, which are all texts.
fn texts(row: &PgRow) -> Value {
    let column = |column: &sqlx::postgres::PgColumn| {
        let text: Option<String> = row.get(sqlx::Column::ordinal(column));
        (sqlx::Column::name(column).to_owned(), json!(text))
    };
    Value::Object(row.columns().iter().map(column).collect::<Map<_, _>>())
}
