//! A network between a process and a store that a test can break: pass, reset, blackhole, or hold one reply.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where a proxy connects to.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A port of this machine.
    Port(u16),
    /// A Unix socket.
    Socket(PathBuf),
}

/// A listening proxy; its connections end with it.
pub struct Proxy {
    port: u16,
    network: Arc<Network>,
    accepting: JoinHandle<()>,
}

struct Network {
    standing: watch::Sender<bool>,
    resets: watch::Sender<u64>,
    catching: AtomicBool,
    caught: watch::Sender<bool>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Proxy {
    /// Starts a proxy in front of `upstream`.
    pub async fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let network = Arc::new(Network {
            standing: watch::Sender::new(false),
            resets: watch::Sender::new(0),
            catching: AtomicBool::new(false),
            caught: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, upstream, network.clone()));
        Self { port, network, accepting }
    }

    /// Where it listens, on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection with a TCP reset; new ones pass.
    pub fn reset(&self) {
        self.network.resets.send_modify(|count| *count += 1);
    }

    /// From now on nothing arrives on either side and no error occurs: connections stay open, new ones are accepted.
    pub fn blackhole(&self) {
        self.network.standing.send_replace(true);
    }

    /// The network works again, and delivers what was in transit.
    pub fn pass(&self) {
        self.network.standing.send_replace(false);
    }

    /// Holds the next answer to a `BLMOVE` that moved something.
    pub fn catch_move(&self) {
        self.network.catching.store(true, Ordering::SeqCst);
    }

    /// Whether such an answer is held.
    pub fn has_caught(&self) -> bool {
        *self.network.caught.borrow()
    }

    /// Delivers the held answer.
    pub fn release(&self) {
        self.network.caught.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

impl Network {
    async fn passes(&self) {
        // The sender lives as long as the proxy.
        let _ = self.standing.subscribe().wait_for(|standing| !standing).await;
    }

    async fn hold(&self) {
        self.caught.send_replace(true);
        let _ = self.caught.subscribe().wait_for(|caught| !caught).await;
    }
}

async fn accept(listener: TcpListener, upstream: Upstream, network: Arc<Network>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(carry(client, upstream.clone(), network.clone()));
    }
}

async fn carry(mut client: TcpStream, upstream: Upstream, network: Arc<Network>) {
    let _ = client.set_nodelay(true);
    let mut resets = network.resets.subscribe();
    let reset = tokio::select! {
        () = exchange(&mut client, upstream, &network) => false,
        _ = resets.changed() => true,
    };
    if reset {
        let _ = client.set_zero_linger();
    }
}

async fn exchange(client: &mut TcpStream, upstream: Upstream, network: &Network) {
    network.passes().await;
    let server: Box<dyn Stream> = match upstream {
        Upstream::Port(port) => match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
        Upstream::Socket(path) => match UnixStream::connect(path).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let (mut answers, mut questions) = tokio::io::split(server);
    let (mut reader, mut writer) = client.split();
    let moves = AtomicBool::new(false);
    let forth = pump(&mut reader, &mut questions, network, Way::Questions(&moves));
    let back = pump(&mut answers, &mut writer, network, Way::Answers(&moves));
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}

/// The direction of the bytes; the flag says that a `BLMOVE` was sent on this connection.
enum Way<'a> {
    Questions(&'a AtomicBool),
    Answers(&'a AtomicBool),
}

impl Way<'_> {
    /// Whether `chunk` is the answer of a `BLMOVE` that moved an element.
    fn is_moved(&self, chunk: &[u8]) -> bool {
        match self {
            Self::Questions(moves) => {
                if chunk.windows(6).any(|word| word == b"BLMOVE") {
                    moves.store(true, Ordering::SeqCst);
                }
                false
            }
            Self::Answers(moves) => {
                moves.load(Ordering::SeqCst) && chunk.starts_with(b"$") && !chunk.starts_with(b"$-1")
            }
        }
    }
}

/// Copies bytes until one side ends; the other side notices only through a network that passes.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    network: &Network,
    way: Way<'_>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let chunk = &buffer[..count];
        if way.is_moved(chunk) && network.catching.swap(false, Ordering::SeqCst) {
            network.hold().await;
        }
        network.passes().await;
        if to.write_all(chunk).await.is_err() {
            break;
        }
    }
    network.passes().await;
}
