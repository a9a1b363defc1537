//! The private Redis of tests, which survives being killed, and the pool of connections to Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::{AsyncCommands, Commands};
use zpack::db::RedisPool;

use crate::support::{PrivateRedis, lists_at};

#[test]
fn a_killed_redis_restarts_with_what_it_acknowledged() {
    let mut server = PrivateRedis::start();
    let client = redis::Client::open(server.url()).unwrap();
    client.get_connection().unwrap().set::<_, _, ()>("key", 7).unwrap();

    server.kill();
    assert!(client.get_connection().is_err());

    server.run();
    assert_eq!(client.get_connection().unwrap().get::<_, i32>("key").unwrap(), 7);
}

#[test]
fn a_frozen_redis_does_not_answer_until_it_continues() {
    let server = PrivateRedis::start_with(&["--maxmemory", "64mb"]);
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}/0", server.port()));
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(50))).unwrap();

    server.freeze();
    let error = connection.get::<_, Option<i32>>("key").unwrap_err();
    assert!(error.is_timeout(), "{error}");

    server.thaw();
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    assert_eq!(connection.get::<_, Option<i32>>("key").unwrap(), None);
}

/// The id that the server gave to the connection of the next command.
async fn connection_id(pool: &RedisPool) -> i64 {
    redis::cmd("CLIENT").arg("ID").query_async(&mut pool.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_unless_its_command_was_dropped_before_the_answer() {
    let server = PrivateRedis::start();
    let pool = lists_at(server.url()).connection();
    let first = connection_id(&pool).await;
    assert_eq!(connection_id(&pool).await, first);
    pool.clone().lpush::<_, _, ()>("key", 1).await.unwrap();
    let wrong = pool.clone().incr::<_, _, u64>("key", 1).await.unwrap_err();
    assert_eq!(wrong.code(), Some("WRONGTYPE"), "{wrong}");
    assert_eq!(connection_id(&pool).await, first, "an answer about the command says nothing of the connection");

    server.freeze();
    let dropped = tokio::time::timeout(Duration::from_millis(50), pool.clone().llen::<_, u64>("key")).await;
    assert!(dropped.is_err());
    server.thaw();
    assert_ne!(connection_id(&pool).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_at_a_time_share_a_few_connections() {
    let server = PrivateRedis::start();
    let pool = lists_at(server.url()).connection();
    let asked = (0..200).map(|_| connection_id(&pool));
    let ids: BTreeSet<i64> = futures_util::future::join_all(asked).await.into_iter().collect();
    assert!((1..=8).contains(&ids.len()), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_becomes_a_replica_is_left_and_one_that_is_promoted_is_found() {
    let server = PrivateRedis::start();
    let pool = lists_at(server.url()).connection();
    let own = pool.own_connection().await.unwrap();
    pool.clone().set::<_, _, ()>("key", 1).await.unwrap();
    let administrator = redis::Client::open(server.url()).unwrap();
    let follow = |host: &str, port: &str| {
        let mut connection = administrator.get_connection().unwrap();
        redis::cmd("REPLICAOF").arg(host).arg(port).query::<()>(&mut connection).unwrap();
    };

    follow("127.0.0.1", &PrivateRedis::start().port().to_string());
    assert!(own.is_current(), "nothing has met it yet");
    let refused = pool.clone().set::<_, _, ()>("key", 2).await.unwrap_err();
    assert_eq!(refused.code(), Some("READONLY"), "{refused}");
    assert!(!own.is_current());
    let refused = pool.clone().get::<_, Option<u64>>("key").await.unwrap_err();
    assert!(refused.to_string().contains("is a replica, not the primary"), "{refused}");
    assert!(pool.require_primary().await.is_err() && pool.own_connection().await.is_err());

    follow("no", "one");
    pool.clone().set::<_, _, ()>("key", 3).await.unwrap();
    pool.require_primary().await.unwrap();
}
