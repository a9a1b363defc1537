//! One TCP port that answers the Server List Ping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::codec::{Hello, packet, put_text, read_hello, read_packet};
use super::status::{StatusAnswer, legacy_answer, oldest_answer};
use crate::sim::wire::Tasks;

/// How long a connection may last: Minecraft closes one without a login after this time.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at one time; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 1024;
/// The longest packet that is read.
const MAX_PACKET: usize = 4096;

/// Decides the answers.
#[async_trait]
pub trait StatusSource: Send + Sync + 'static {
    /// The answer to `hello`, which came in at `local`.
    async fn status(&self, local: SocketAddr, hello: &Hello) -> StatusAnswer;
}

/// A running listener. Dropping it closes the port and breaks its connections.
#[derive(Debug)]
pub struct StatusListener {
    address: SocketAddr,
    tasks: Tasks,
}

impl StatusListener {
    /// Listens on `address`.
    pub async fn bind(address: SocketAddr, source: Arc<dyn StatusSource>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let tasks = Tasks::accepting(listener, MAX_CONNECTIONS, move |stream| serve(stream, source.clone()));
        Ok(Self { address, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and its connections; afterwards the port is free.
    pub async fn stop(self) {
        self.tasks.stop().await;
    }
}

async fn serve(stream: TcpStream, source: Arc<dyn StatusSource>) {
    // An error here is a client that disconnected or broke the protocol; a server closes the connection then.
    let _ = tokio::time::timeout(TIMEOUT, converse(stream, source)).await;
}

async fn converse(mut stream: TcpStream, source: Arc<dyn StatusSource>) -> io::Result<()> {
    let local = stream.local_addr()?;
    stream.set_nodelay(true)?;
    let hello = read_hello(&mut stream).await?;
    if matches!(hello, Hello::Modern { next, .. } if next != 1) {
        return Ok(());
    }
    let status = match source.status(local, &hello).await {
        StatusAnswer::Status(status) => status,
        StatusAnswer::Silent => return std::future::pending().await,
        StatusAnswer::Reset => return stream.set_zero_linger(),
    };
    match hello {
        Hello::Legacy { .. } => stream.write_all(&legacy_answer(&status)).await,
        Hello::Oldest => stream.write_all(&oldest_answer(&status)).await,
        Hello::Modern { .. } => {
            let mut body = Vec::new();
            put_text(&mut body, &status.to_string());
            loop {
                match read_packet(&mut stream, MAX_PACKET).await? {
                    (0, _) => stream.write_all(&packet(0, &body)).await?,
                    (1, payload) => return stream.write_all(&packet(1, &payload)).await,
                    _ => return Ok(()),
                }
            }
        }
    }
}
