//! The records of a simulated DNS service over real DNS: authoritative answers on a loopback port, UDP and TCP.
//!
//! A peer provides a [`ZoneView`], which is read for every query, so a change is served at once. The answers are
//! decided in [`answer`], which is pure. Not here: recursion, DNSSEC, zone transfers.

mod answer;
mod zone;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub use self::zone::{Served, ServedData, ZoneView};
use super::wire::Tasks;

/// The longest a TCP connection may stay without a query.
const IDLE: Duration = Duration::from_secs(10);
const MAX_CONNECTIONS: usize = 64;
/// The longest datagram that is read.
const MAX_DATAGRAM: usize = 4096;
/// A free UDP port may be in use for TCP; then another one is tried.
const BIND_ATTEMPTS: usize = 20;

/// A running DNS server. Dropping it stops it.
pub struct DnsServer {
    address: SocketAddr,
    datagrams: Tasks,
    connections: Tasks,
}

impl DnsServer {
    /// Serves `view` on the loopback address and `port`, 0 for any that is free for both UDP and TCP.
    pub async fn bind(port: u16, view: Arc<dyn ZoneView>) -> io::Result<Self> {
        let (udp, tcp) = sockets(port).await?;
        let address = udp.local_addr()?;
        let datagrams = Tasks::running(|_| serve_udp(udp, view.clone()));
        let connections = Tasks::accepting(tcp, MAX_CONNECTIONS, move |stream| {
            let view = view.clone();
            // The client has disconnected, or was idle for too long.
            async move { drop(converse(stream, view).await) }
        });
        Ok(Self { address, datagrams, connections })
    }

    /// Where it listens, for UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes its sockets.
    pub async fn stop(self) {
        self.datagrams.stop().await;
        self.connections.stop().await;
    }
}

async fn sockets(port: u16) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..if port == 0 { BIND_ATTEMPTS } else { 1 } {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn serve_udp(socket: UdpSocket, view: Arc<dyn ZoneView>) {
    let mut datagram = vec![0; MAX_DATAGRAM];
    loop {
        // An error here is about an earlier client that has closed its socket.
        let Ok((size, client)) = socket.recv_from(&mut datagram).await else { continue };
        let query = datagram.get(..size).unwrap_or_default();
        if let Some(reply) = answer::answer(query, view.as_ref(), true) {
            let _ = socket.send_to(&reply, client).await;
        }
    }
}

async fn converse(mut stream: TcpStream, view: Arc<dyn ZoneView>) -> io::Result<()> {
    loop {
        let query = tokio::time::timeout(IDLE, async {
            let mut query = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut query).await?;
            Ok::<_, io::Error>(query)
        })
        .await??;
        let Some(reply) = answer::answer(&query, view.as_ref(), false) else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), reply.as_slice()].concat()).await?;
    }
}
