//! An open entry point: TCP connections and UDP sessions to the server behind it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::sim::wire::{Spawner, Tasks};

/// How long a UDP session stays without an answer: Traefik's default.
const SESSION: Duration = Duration::from_secs(3);
/// The most TCP connections, and the most UDP sessions, of an entry point.
const MAX_SESSIONS: usize = 1024;
const MAX_DATAGRAM: usize = 65_535;

/// A forwarding entry point. Dropping it closes the port and its connections.
#[derive(Debug)]
pub struct Forward(Tasks);

impl Forward {
    /// Accepts connections on `address` and forwards them to `backend`.
    pub async fn tcp(address: SocketAddr, backend: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self(Tasks::accepting(listener, MAX_SESSIONS, move |client| async move {
            // An error here is one side that disconnected.
            let _ = connect(client, backend).await;
        })))
    }

    /// Receives datagrams on `address`, forwards them to `backend`, and returns its answers to the sender.
    pub async fn udp(address: SocketAddr, backend: SocketAddr) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(address).await?);
        Ok(Self(Tasks::running(move |spawner| sessions(socket, backend, spawner))))
    }

    /// Closes the port and its connections; afterwards the port is free.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

async fn connect(mut client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(backend).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

async fn sessions(socket: Arc<UdpSocket>, backend: SocketAddr, spawner: Spawner) {
    let mut open: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        // Only this map holds a session that has ended.
        open.retain(|_, session| Arc::strong_count(session) > 1);
        let session = match open.get(&client) {
            Some(session) => session.clone(),
            None if open.len() >= MAX_SESSIONS => continue,
            None => {
                let Ok(session) = session(backend).await else { continue };
                let session = Arc::new(session);
                open.insert(client, session.clone());
                let (back, towards) = (socket.clone(), session.clone());
                spawner.spawn(async move { answer(&back, &towards, client).await });
                session
            }
        };
        // A lost datagram is lost, as on any network.
        let _ = session.send(buffer.get(..length).unwrap_or_default()).await;
    }
}

async fn session(backend: SocketAddr) -> io::Result<UdpSocket> {
    let session = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    session.connect(backend).await?;
    Ok(session)
}

async fn answer(back: &UdpSocket, session: &UdpSocket, client: SocketAddr) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    while let Ok(Ok(length)) = tokio::time::timeout(SESSION, session.recv(&mut buffer)).await {
        let _ = back.send_to(buffer.get(..length).unwrap_or_default(), client).await;
    }
}
