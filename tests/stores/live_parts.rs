//! Live state of many servers is read in parts, and a part that is late costs only itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zpack::db::entities::instance;
use zpack::kernel::Timestamp;
use zpack::observe::facts::{AgentHistory, Live};
use zpack::observe::live::LiveState;

use crate::support::servers::server;
use crate::support::{PrivateRedis, lists_at};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const SERVERS: i64 = 5000;

/// Leads to the Redis at `upstream`, and swallows everything of a connection from `needle` on.
async fn swallowing(upstream: String, needle: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let needle = needle.clone();
            tokio::spawn(async move {
                let (mut sent, mut buffer) = (Vec::new(), vec![0; 65_536]);
                while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                    sent.extend_from_slice(&buffer[..count]);
                    if sent.windows(needle.len()).any(|window| window == needle.as_bytes()) {
                        continue;
                    }
                    if to_server.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_part_is_unknown_and_all_others_are_known() {
    let redis = PrivateRedis::start();
    let rows: Vec<instance::Model> = (0..SERVERS).map(|number| server(100_000 + number, NOW)).collect();
    let history = serde_json::to_string(&AgentHistory::after(None, None, NOW)).unwrap();
    let mut connection = lists_at(redis.url()).connection();
    for page in rows.chunks(500) {
        let mut pipe = redis::pipe();
        for row in page {
            pipe.set(format!("agent:{}:history", row.id), &history).ignore();
        }
        let () = pipe.query_async(&mut connection).await.unwrap();
    }
    let late = format!("host:{}", rows[777].vmid);
    let upstream = format!("127.0.0.1:{}", redis.port());
    let live = LiveState::new(lists_at(&swallowing(upstream, late).await).connection(), Duration::from_secs(15));
    let all: Vec<&instance::Model> = rows.iter().collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let read = live.read(&all).await;
        assert_eq!(read.len(), rows.len());
        let unknown: BTreeSet<usize> = (0..rows.len()).filter(|at| matches!(read[*at], Live::Unreadable)).collect();
        assert!(unknown.contains(&777));
        // A busy machine may make another part late.
        if unknown.len() < 500 {
            let known = |live: &Live| matches!(live, Live::Facts(facts) if facts.history.is_some());
            assert!(read.iter().enumerate().all(|(at, live)| unknown.contains(&at) || known(live)));
            return;
        }
        assert!(Instant::now() < deadline, "{} of {} are unknown", unknown.len(), rows.len());
    }
}
