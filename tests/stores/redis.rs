//! What the tests of the job runtime rely on: a Redis of one's own that survives being killed.

use std::time::Duration;

use redis::Commands;

use crate::support::PrivateRedis;

#[test]
fn a_killed_redis_comes_back_with_what_it_acknowledged() {
    let mut server = PrivateRedis::start();
    let client = redis::Client::open(server.url()).unwrap();
    client.get_connection().unwrap().set::<_, _, ()>("key", 7).unwrap();

    server.kill();
    assert!(client.get_connection().is_err());

    server.run();
    assert_eq!(client.get_connection().unwrap().get::<_, i32>("key").unwrap(), 7);
}

#[test]
fn a_frozen_redis_is_silent_until_it_thaws() {
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
