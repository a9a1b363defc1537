//! The reply to the command that took the lock is lost or late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use redis::AsyncCommands;
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::candidate::{Candidate, KEY, NEVER, holder, look, patient, row, wait_for};
use crate::support::{PrivateRedis, TestDb, on_every_database};
use zpack::config::DatabaseKind;
use zpack::db::entities::lease;

on_every_database!(a_winner_that_hears_of_it_late_cannot_fence_a_newer_leader,);

/// What happens to the first reply to a `SET … NX`.
#[derive(Clone)]
enum Fate {
    /// The connection ends after Redis has executed it.
    Lost,
    /// It is held until the test releases it.
    Late(Arc<Notify>),
}

/// Forwards everything to Redis on `port` except the first reply to a `SET … NX`; counts those commands in `takes`.
async fn proxy(port: u16, takes: Arc<AtomicU32>, fate: Fate) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/0", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(pass(client, server, takes.clone(), fate.clone()));
        }
    });
    url
}

async fn pass(mut client: TcpStream, mut server: TcpStream, takes: Arc<AtomicU32>, fate: Fate) {
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let request = &asked[..length];
                server.write_all(request).await.unwrap();
                let takes_lock = request.windows(4).any(|word| word == b"\r\nNX");
                if takes_lock && takes.fetch_add(1, Ordering::SeqCst) == 0 {
                    let length = server.read(&mut answered).await.unwrap();
                    match &fate {
                        Fate::Lost => return,
                        Fate::Late(go_on) => go_on.notified().await,
                    }
                    client.write_all(&answered[..length]).await.unwrap();
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                client.write_all(&answered[..length]).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_whose_reply_was_lost_is_detected() {
    let test = TestDb::migrated(DatabaseKind::Sqlite).await;
    let (redis, lost) = (PrivateRedis::start(), Arc::new(AtomicU32::new(0)));
    let url = proxy(redis.port(), lost.clone(), Fate::Lost).await;
    // There is a leader by its heartbeat; otherwise the candidate could take over at once.
    let mut connection = look(&redis.url()).await;
    let mut other = Candidate::start(&test, &redis.url(), patient()).await;
    other.leads().await;
    other.crash().await;
    let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();

    let mut candidate = Candidate::start(&test, &url, patient()).await;
    wait_for("a reply to be lost", async || lost.load(Ordering::SeqCst) > 0).await;
    // The lock lasts for hours: only its holder can be elected now.
    assert_eq!(candidate.leads().await.epoch(), 2);
    assert!(candidate.asked("failed") > 0);
    assert_eq!(row(&test).await.holder, holder(&mut connection).await);
}

/// It has read the epoch and taken the lock. Before it gets the reply, its lock ends and another one is elected.
async fn a_winner_that_hears_of_it_late_cannot_fence_a_newer_leader(test: TestDb) {
    let (redis, takes, go_on) = (PrivateRedis::start(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let mut connection = look(&redis.url()).await;
    let before =
        lease::ActiveModel { name: Set("controller".into()), epoch: Set(7), holder: Set(None), renewed_at: Set(None) };
    lease::Entity::insert(before).exec_without_returning(&test.db).await.unwrap();
    let url = proxy(redis.port(), takes.clone(), Fate::Late(go_on.clone())).await;
    let mut late = Candidate::start(&test, &url, patient()).await;
    wait_for("the candidate to hold the lock", async || holder(&mut connection).await.is_some()).await;

    connection.set_ex::<_, _, ()>(KEY, "newer", NEVER.as_secs()).await.unwrap();
    let newer = "UPDATE leases SET epoch = 8, holder = 'newer', renewed_at = 1";
    test.db.execute_unprepared(newer).await.unwrap();
    go_on.notify_one();
    wait_for("another attempt", async || takes.load(Ordering::SeqCst) > 1).await;

    assert!(!late.was_elected());
    assert_eq!((row(&test).await.epoch, row(&test).await.holder.as_deref()), (8, Some("newer")));
    assert_eq!(holder(&mut connection).await.as_deref(), Some("newer"));
}
