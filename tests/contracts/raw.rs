//! HTTP over a plain socket: shows what a client library hides, such as reason phrases, resets and closed connections.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Connection {
    stream: TcpStream,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON in {self:?}"))
    }

    pub fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{} {}", self.reason, String::from_utf8_lossy(&self.body));
        self.json()["data"].clone()
    }
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// Sends the request text unchanged and reads one answer.
    pub async fn exchange(&mut self, request: &str) -> io::Result<Answer> {
        tokio::time::timeout(DEADLINE, async {
            self.stream.write_all(request.as_bytes()).await?;
            self.read_answer().await
        })
        .await
        .expect("no answer in time")
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut status_line = lines.next().unwrap().splitn(3, ' ').skip(1);
        let status = status_line.next().unwrap().parse().unwrap();
        let reason = status_line.next().unwrap_or_default().to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Answer { status, reason, headers, body })
    }

    /// Waits until the server closes the connection.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        tokio::time::timeout(DEADLINE, self.stream.read_to_end(&mut rest)).await.expect("it stays open").unwrap();
        assert!(rest.is_empty());
    }
}
