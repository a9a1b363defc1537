//! How many round trips to the database an operation without steps costs, from its claim to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::db::entities::operation::OperationState;
use zpack::jobs::{JobEnd, JobSettings, ensure_slots};
use zpack::kernel::Secret;

use crate::support::TestDb;
use crate::support::runtime::{QUEUE, Runtime, Script};

/// The byte with which a server of PostgreSQL says that it waits for the next request, and its length.
const READY_FOR_QUERY: [u8; 5] = [b'Z', 0, 0, 0, 5];

/// Leads to the server of `test` and counts its answers.
async fn counting(test: &TestDb) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = test.url_at(listener.local_addr().unwrap().port());
    let (socket, answers) = (test.socket.clone().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = answers.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&socket).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let counted = counted.clone();
            tokio::spawn(async move {
                let (mut pending, mut buffer) = (Vec::new(), vec![0; 65_536]);
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    pending.extend_from_slice(&buffer[..count]);
                    // Each message is a byte, and a length that includes itself.
                    while let [kind, a, b, c, d, ..] = pending[..] {
                        let length = 1 + u32::from_be_bytes([a, b, c, d]) as usize;
                        if pending.len() < length {
                            break;
                        }
                        counted.fetch_add(usize::from([kind, a, b, c, d] == READY_FOR_QUERY), Ordering::SeqCst);
                        pending.drain(..length);
                    }
                    if to_client.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_without_steps_costs_four_round_trips_at_most() {
    const JOBS: usize = 60;
    let test = TestDb::migrated(DatabaseKind::Postgres).await;
    let (url, answers) = counting(&test).await;
    let direct = test.db.clone();
    ensure_slots(&direct, QUEUE, 2).await.unwrap();
    let mut runtime = Runtime::over(test);
    runtime.test.db = db::connect(&Secret::new(&url), 1).await.unwrap();
    let quiet = Duration::from_secs(3600);
    let settings =
        JobSettings { sweep: quiet, renew: quiet, lease: quiet, reap: quiet, slots: Some(2), ..Runtime::settings() };
    let worker = runtime.worker([Script::new("nothing", |_| async { JobEnd::Succeeded })], settings);
    runtime.test.db = direct;
    let run = async || {
        let id = runtime.begin("nothing").await;
        runtime.lists.offer_new(QUEUE, id).await.unwrap();
        runtime.until(id, |row| row.state.is_ended()).await
    };
    // Statements are prepared.
    for _ in 0..5 {
        run().await;
    }
    let before = answers.load(Ordering::SeqCst);
    for _ in 0..JOBS {
        let row = run().await;
        assert_eq!((row.state, row.starts, row.fence), (OperationState::Succeeded, 1, 1));
    }
    let each = (answers.load(Ordering::SeqCst) - before) as f64 / JOBS as f64;
    // Two statements, and a ping of the pool after each; now and then a connection was idle for long enough to be probed.
    assert!((2.0..4.5).contains(&each), "{each} round trips");
    assert_eq!(runtime.slots_taken().await, 0);
    worker.stop().await;
}
