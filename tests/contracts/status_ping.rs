//! The Server List Ping client against the simulated servers and against servers that violate the protocol.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use zpack::adapters::slp::{PingSettings, ServerListPing};
use zpack::kernel::Reach;
use zpack::ports::{Ping, PingTarget, StatusPing};

use super::scripted::{Crowded, unused_address};
use super::velocity_kit::{Rig, ping};

const LIMIT: Duration = Duration::from_secs(2);
/// Extra time for a loaded machine.
const SLACK: Duration = Duration::from_secs(5);

/// A server that runs `act` for every connection.
struct Odd {
    address: SocketAddr,
    task: AbortHandle,
}

impl Odd {
    async fn start<F: Future<Output = ()> + Send + 'static>(act: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(act(stream));
            }
        });
        Self { address, task: task.abort_handle() }
    }

    /// A server that reads the first bytes and answers with `bytes`.
    async fn answers(bytes: Vec<u8>) -> Self {
        Self::start(move |mut stream| {
            let bytes = bytes.clone();
            async move {
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream.write_all(&bytes).await;
                let _ = stream.read(&mut [0; 64]).await;
            }
        })
        .await
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bounded(address: SocketAddr) -> Ping {
    let begun = Instant::now();
    let target = PingTarget { address, host: "mc-1.play.test".to_owned() };
    let found = ServerListPing::new(PingSettings { reach: Reach::Loopback, limit: LIMIT }).ping(&target).await;
    assert!(begun.elapsed() < LIMIT + SLACK, "it took {:?}", begun.elapsed());
    found
}

#[tokio::test]
async fn a_running_server_answers_as_itself() {
    let rig = Rig::new().await;
    let game = rig.minecraft(5001).await;
    let Ping::Answered(report) = ping(game, "mc-1.play.test").await else { panic!("no status") };
    assert!(!report.is_from_proxy() && !report.legacy && report.latency < SLACK);
    let Ping::Answered(report) = ping(rig.world.velocity().game_address(), "x").await else { panic!("no status") };
    assert!(report.is_from_proxy());
}

#[tokio::test]
async fn the_simulated_server_answers_modern_and_legacy_pings() {
    let rig = Rig::new().await;
    let game = rig.minecraft(5001).await;
    let mut named = vec![0xfe, 1, 0xfa, 0, 11];
    named.extend("MC|PingHost".encode_utf16().flat_map(u16::to_be_bytes));
    named.extend([0, 9, 78, 0, 1, 0, b'x', 0, 0, 0x63, 0xdd]);
    for (request, expected) in [
        (vec![0xfe, 1], "§1\u{0}767\u{0}paper 1.21.1\u{0}A Minecraft Server\u{0}0\u{0}20"),
        (named, "§1\u{0}767\u{0}paper 1.21.1\u{0}A Minecraft Server\u{0}0\u{0}20"),
        (vec![0xfe], "A Minecraft Server§0§20"),
    ] {
        let mut stream = TcpStream::connect(game).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let units: Vec<u16> = answer[3..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        assert_eq!((answer[0], String::from_utf16(&units).unwrap().as_str()), (0xff, expected));
        assert_eq!(usize::from(u16::from_be_bytes([answer[1], answer[2]])), units.len());
    }
}

#[tokio::test]
async fn the_payload_of_a_ping_packet_is_returned() {
    let rig = Rig::new().await;
    let game = rig.minecraft(5001).await;
    let mut stream = TcpStream::connect(game).await.unwrap();
    // Handshake for a status, status request, ping.
    stream.write_all(&[7, 0, 47, 1, b'x', 0x63, 0xdd, 1, 1, 0, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8]).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with(&[9, 1, 1, 2, 3, 4, 5, 6, 7, 8]), "{answer:?}");
}

#[tokio::test]
async fn a_server_before_1_7_gets_the_legacy_ping() {
    let server = Odd::start(|mut stream| async move {
        // It treats the first byte of the handshake as an unknown packet, and closes the connection.
        if stream.read_u8().await.ok() == Some(0xfe) {
            let text: Vec<u16> = "§1\u{0}61\u{0}1.5.2\u{0}Old\u{0}1\u{0}8".encode_utf16().collect();
            let mut answer = vec![0xff, 0, u8::try_from(text.len()).unwrap()];
            answer.extend(text.into_iter().flat_map(u16::to_be_bytes));
            let _ = stream.write_all(&answer).await;
        }
    })
    .await;
    let Ping::Answered(report) = bounded(server.address).await else { panic!("no status") };
    assert_eq!((report.legacy, report.version.as_deref(), report.online), (true, Some("1.5.2"), Some(1)));
}

#[tokio::test]
async fn silent_unreachable_and_unusable_servers_are_distinguished() {
    let silent =
        Odd::start(|mut stream| async move { while stream.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {} }).await;
    assert_eq!(bounded(silent.address).await, Ping::Silent);
    assert!(matches!(bounded(unused_address().await).await, Ping::Unreachable { .. }));
    let closing = Odd::start(|stream| async move { drop(stream) }).await;
    assert!(matches!(bounded(closing.address).await, Ping::Unusable { .. }));
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        vec![0xff; 64],
        vec![0x80; 64],
        vec![0],
        vec![5, 0, 3, b'[', b']', b' '],
        vec![3, 1, 1, b'x'],
    ] {
        let server = Odd::answers(bytes.clone()).await;
        let found = bounded(server.address).await;
        assert!(matches!(found, Ping::Unusable { .. }), "{bytes:?}: {found:?}");
    }
}

#[tokio::test]
async fn time_and_memory_of_a_ping_are_bounded() {
    let dripping = Odd::start(|mut stream| async move {
        // A status of 90 kB, one byte at a time.
        let _ = stream.write_all(&[0x90, 0xbf, 5, 0, 0x8c, 0xbf, 5]).await;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"{").await.is_ok() {
            tick.tick().await;
        }
    })
    .await;
    assert!(matches!(bounded(dripping.address).await, Ping::Unusable { .. }));
    let crowded = Crowded::start().await;
    assert!(matches!(bounded(crowded.address).await, Ping::Unreachable { .. }), "no one accepted the connection");
    let endless = Odd::start(|mut stream| async move {
        let _ = stream.write_all(&[0xff, 0xff, 0xff, 0xff, 7]).await;
        while stream.write_all(&[b' '; 4096]).await.is_ok() {}
    })
    .await;
    assert!(matches!(bounded(endless.address).await, Ping::Unusable { .. }));
}

/// What clients of the game read, whether or not it is JSON: the parser of mcstatus takes the second and the third, the
/// game itself all of them.
#[tokio::test]
async fn a_status_is_read_as_loosely_as_by_clients() {
    let text = r#"{"version":{"name":"Paper 1.21","protocol":767},"players":{"max":20,"online":3}"#;
    let packet = |text: &[u8]| {
        let size = u8::try_from(text.len()).unwrap();
        assert!(size < 128);
        [&[size + 2, 0, size], text].concat()
    };
    for (before, after) in [
        (&b"\xef\xbb\xbf"[..], &b"}"[..]),
        (b"", br#","d":"\ud83d"}"#),
        (b"", br#","d":NaN}"#),
        (b"", b"}\0"),
        (b"", b",\"d\":\"a\nb\"}"),
        (b"", b",\"d\":\"\xed\xa0\xbd\"}"),
    ] {
        let bytes = [before, text.as_bytes(), after].concat();
        let server = Odd::answers(packet(&bytes)).await;
        let found = bounded(server.address).await;
        let Ping::Answered(report) = found else { panic!("{:?}: {found:?}", String::from_utf8_lossy(&bytes)) };
        assert_eq!((report.version.as_deref(), report.online), (Some("Paper 1.21"), Some(3)));
    }
}
