//! The reply to the command that took the lock is lost on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::candidate::{Candidate, holder, look, patient, row, wait_for};
use crate::support::{PrivateRedis, TestDb};
use zpack::config::DatabaseKind;

/// Passes everything on to Redis on `port` but the first reply to a `SET … NX`: when Redis has carried it out, the
/// connection ends.
async fn proxy(port: u16, lost: Arc<AtomicU32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/0", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(pass(client, server, lost.clone()));
        }
    });
    url
}

async fn pass(mut client: TcpStream, mut server: TcpStream, lost: Arc<AtomicU32>) {
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let request = &asked[..length];
                server.write_all(request).await.unwrap();
                let takes = request.windows(4).any(|word| word == b"\r\nNX");
                if takes && lost.fetch_add(1, Ordering::SeqCst) == 0 {
                    let _ = server.read(&mut answered).await;
                    return;
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
async fn a_lock_taken_without_knowing_is_found_out() {
    let test = TestDb::migrated(DatabaseKind::Sqlite).await;
    let (redis, lost) = (PrivateRedis::start(), Arc::new(AtomicU32::new(0)));
    let url = proxy(redis.port(), lost.clone()).await;
    // Somebody leads by the stamp, or silence would be enough to take over.
    let mut connection = look(&redis.url()).await;
    let mut other = Candidate::start(&test, &redis.url(), patient()).await;
    other.leads().await;
    other.crash().await;
    let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();

    let mut candidate = Candidate::start(&test, &url, patient()).await;
    wait_for("a reply to be lost", async || lost.load(Ordering::SeqCst) > 0).await;
    // The lock lives for hours: only its holder can be elected now.
    assert_eq!(candidate.leads().await.epoch(), 2);
    assert!(candidate.asked("failed") > 0);
    assert_eq!(row(&test).await.holder, holder(&mut connection).await);
}
