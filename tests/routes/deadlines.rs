//! Connections that say nothing, over bare sockets: each ends within its deadline, and one address has only so many.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use zpack::router::{ConnectionDeadlines, ServeOptions};

use crate::support::app::{AppOptions, TestApp};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: zpack\r\n";

/// An app whose deadlines are a second each, but the one on idle connections.
async fn app(connections: u32, trusted: &[&str]) -> TestApp {
    let second = Duration::from_secs(1);
    let deadlines = ConnectionDeadlines { head: second, write: second, close: second, idle: Duration::from_secs(60) };
    let serve = ServeOptions { deadlines, connections_per_address: connections, ..ServeOptions::default() };
    let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
    TestApp::start_with(AppOptions { serve, trusted_proxies, ..AppOptions::default() }).await
}

/// One connection.
struct Client(TcpStream);

impl Client {
    async fn connect(app: &TestApp) -> Self {
        Self(TcpStream::connect(app.address).await.unwrap())
    }

    /// Connects from one of many addresses of this machine.
    async fn connect_from(app: &TestApp, host: u8) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 1, host), 0).into()).unwrap();
        Self(socket.connect(app.address).await.unwrap())
    }

    async fn send(&mut self, text: &str) {
        self.try_send(text).await.unwrap();
    }

    /// Sends `text`; fails on a connection that the server has closed.
    async fn try_send(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    /// Reads one answer up to its body, and its body where its length is given.
    async fn answer(&mut self) -> String {
        self.try_answer().await.unwrap()
    }

    /// The same; fails on a connection that the server has closed.
    async fn try_answer(&mut self) -> std::io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        self.0.read_exact(&mut body).await?;
        Ok(head)
    }

    /// What the server sends until it closes the connection, which it does within half a minute.
    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        // A reset closes it, too.
        _ = tokio::time::timeout(Duration::from_secs(30), self.0.read_to_end(&mut rest)).await.expect("it stays open");
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[tokio::test]
async fn a_body_that_never_comes_costs_its_connection() {
    let app = app(64, &[]).await;
    for announced in ["transfer-encoding: chunked", "content-length: 100"] {
        for path in ["/healthz", "/api/no/such/route", "/api/auth/me"] {
            let mut client = Client::connect(&app).await;
            client.send(&format!("GET {path} HTTP/1.1\r\nhost: zpack\r\n{announced}\r\n\r\n")).await;
            let answer = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 ") && answer.contains("connection: close"), "{announced}: {answer}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_connection_is_kept_after_a_body_that_was_read() {
    let app = app(64, &[]).await;
    let mut client = Client::connect(&app).await;
    let logout = "POST /api/auth/logout HTTP/1.1\r\nhost: zpack\r\n";
    for _ in 0..3 {
        client.send(&format!("{logout}content-length: 2\r\n\r\n{{}}")).await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200"));
        client.send(&format!("{logout}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n")).await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    }
    app.stop().await;
}

#[tokio::test]
async fn thousands_of_silent_connections_do_not_stop_the_api() {
    // The server of a test has 512 places.
    let app = app(4096, &[]).await;
    let connections = (0..2000_u16).map(|n| {
        let app = &app;
        async move {
            let mut client = Client::connect_from(app, u8::try_from(n % 200).unwrap()).await;
            if n % 4 == 0 {
                client.try_send(&format!("{HEALTH}\r\n")).await?;
                client.try_answer().await?;
            }
            let silent = match n % 4 {
                1 => format!("{HEALTH}transfer-encoding: chunked\r\n\r\n"),
                2 => format!("{HEALTH}content-length: 100\r\n\r\n"),
                _ => "GET /heal".to_owned(),
            };
            client.try_send(&silent).await?;
            std::io::Result::Ok(client.rest().await)
        }
    });
    let mut late = 0;
    for (n, answer) in join_all(connections).await.into_iter().enumerate() {
        let expected = ["", "HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 408"][n % 4];
        match answer {
            Ok(answer) if answer.starts_with(expected) && answer.is_empty() == expected.is_empty() => {}
            // On a busy machine a client may speak only after its deadline.
            Ok(answer) if answer.is_empty() || answer.starts_with("HTTP/1.1 408") => late += 1,
            Err(_) => late += 1,
            Ok(answer) => panic!("{n}: {answer}"),
        }
    }
    assert!(late < 1000, "{late} of 2000 clients spoke after their deadline");
    assert!(app.get("/healthz").send().await.unwrap().status().is_success());
    app.stop().await;
}

#[tokio::test]
async fn every_head_has_a_deadline() {
    let app = app(64, &[]).await;
    let mut client = Client::connect(&app).await;
    client.send("GET /heal").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 408"));
    for kept in 1..4 {
        let mut client = Client::connect(&app).await;
        for _ in 0..kept {
            client.send(&format!("{HEALTH}\r\n")).await;
            assert!(client.answer().await.starts_with("HTTP/1.1 200"));
        }
        client.send("GET /heal").await;
        let begun = Instant::now();
        assert_eq!(client.rest().await, "");
        assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    }
    // A head that begins in the packet of the one before has the same deadline.
    for before in ["\r\n", "content-length: 4\r\n\r\nbody"] {
        let mut client = Client::connect(&app).await;
        client.send(&format!("{HEALTH}\r\n{HEALTH}{before}GET /heal")).await;
        let answers = client.rest().await;
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    }
    app.stop().await;
}

#[tokio::test]
async fn bytes_that_trickle_do_not_move_the_deadline_of_a_head() {
    let app = app(64, &[]).await;
    let mut client = Client::connect(&app).await;
    client.send(&format!("{HEALTH}\r\n")).await;
    client.answer().await;
    let (mut reader, mut writer) = client.0.into_split();
    let trickle = async {
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut rest));
    tokio::select! {
        outcome = closed => assert!(outcome.is_ok(), "it stays open"),
        () = trickle => {}
    }
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_in_nothing_is_cut_off() {
    let app = app(64, &[]).await;
    let client = Client::connect(&app).await;
    // Many answers that are asked for and never read fill every buffer between.
    let (_reader, mut writer) = client.0.into_split();
    let ask = b"GET /openapi.json HTTP/1.1\r\nhost: zpack\r\n\r\n".repeat(64);
    let cut_off = async { while writer.write_all(&ask).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), cut_off).await.expect("the connection stays open");
    app.stop().await;
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let app = app(4, &[]).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(&app).await;
        client.send(&format!("{HEALTH}\r\n")).await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200"));
        open.push(client);
    }
    assert_eq!(Client::connect(&app).await.rest().await, "");
    drop(open);
    // The server sees that they are closed after a moment.
    let deadline = Instant::now() + Duration::from_secs(10);
    while app.get("/healthz").send().await.is_err() {
        assert!(Instant::now() < deadline, "the places are not freed");
        tokio::task::yield_now().await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_connections_as_it_opens() {
    let app = app(2, &["127.0.0.0/8"]).await;
    let mut open = Vec::new();
    for _ in 0..12 {
        let mut client = Client::connect(&app).await;
        client.send(&format!("{HEALTH}\r\n")).await;
        assert!(client.answer().await.starts_with("HTTP/1.1 200"));
        open.push(client);
    }
    app.stop().await;
}
