//! One listener: accepts connections, reads requests, delivers the answers of its handler.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::options::ServerOptions;
use super::reply::{Delivery, Reply};
use super::request::SimRequest;
use super::tasks::Tasks;
use super::tls::Identity;

/// The longest request head that is read.
const MAX_HEAD: usize = 64 * 1024;

/// Answers the requests of one listener.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Executes the request and answers it. Runs to its end even when the client disconnects.
    async fn answer(&self, request: SimRequest) -> Reply;
}

/// A running listener. Dropping it closes the listener and breaks its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tasks: Tasks,
}

impl Server {
    /// Listens on `address`; `handler` answers.
    pub async fn bind(address: SocketAddr, options: ServerOptions, handler: Arc<dyn Handler>) -> io::Result<Self> {
        Self::bind_with(address, options, None, handler).await
    }

    /// Listens on `address` for TLS connections with the certificate of `identity`.
    pub async fn bind_tls(
        address: SocketAddr,
        options: ServerOptions,
        identity: &Identity,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Self> {
        Self::bind_with(address, options, Some(identity.acceptor()), handler).await
    }

    async fn bind_with(
        address: SocketAddr,
        options: ServerOptions,
        tls: Option<TlsAcceptor>,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let site = Arc::new(Site { options, tls, handler });
        let tasks = Tasks::accepting(listener, options.max_connections, move |stream| serve(stream, site.clone()));
        Ok(Self { address, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and its connections; afterwards the port is free.
    pub async fn stop(self) {
        self.tasks.stop().await;
    }
}

struct Site {
    options: ServerOptions,
    tls: Option<TlsAcceptor>,
    handler: Arc<dyn Handler>,
}

async fn serve(stream: TcpStream, site: Arc<Site>) {
    let Ok(local) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection { local, reset: AtomicBool::new(false), served: AtomicUsize::new(0) });
    let stream = SimStream { stream, connection: connection.clone() };
    let idle = site.options.idle;
    match site.tls.clone() {
        None => serve_http(stream, site, connection).await,
        // A client that does not speak TLS, or does not accept the certificate, is not served.
        Some(acceptor) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(idle, acceptor.accept(stream)).await {
                serve_http(stream, site, connection).await;
            }
        }
    }
}

async fn serve_http<S>(stream: S, site: Arc<Site>, connection: Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle = site.options.idle;
    let service = service_fn(move |request| exchange(request, site.clone(), connection.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(idle).max_headers(64).max_buf_size(MAX_HEAD);
    // An error here is a client that disconnected, or a planned fault.
    let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

struct Connection {
    local: SocketAddr,
    reset: AtomicBool,
    served: AtomicUsize,
}

/// Why an exchange ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the connection is reset by a planned fault")]
    Reset,
    #[error("the request could not be read")]
    Unread(#[source] hyper::Error),
}

async fn exchange(
    request: Request<Incoming>,
    site: Arc<Site>,
    connection: Arc<Connection>,
) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, Unanswered> {
    let options = site.options;
    let request = SimRequest::read(options, connection.local, request).await.map_err(Unanswered::Unread)?;
    let oversized = request.oversized;
    let work = tokio::spawn(async move { site.handler.answer(request).await });
    let mut reply = work.await.unwrap_or_else(|_| Reply::text(500, "the simulated peer panicked").closing());
    tokio::time::sleep(reply.delay).await;
    let served = connection.served.fetch_add(1, Ordering::Relaxed) + 1;
    reply.close |= oversized || served >= options.requests_per_connection;
    match reply.delivery {
        Delivery::Whole | Delivery::Truncated => Ok(reply.into_response()),
        Delivery::Reset => {
            connection.reset.store(true, Ordering::Relaxed);
            Err(Unanswered::Reset)
        }
        Delivery::NoAnswer => std::future::pending().await,
    }
}

/// A TCP stream that can end in a reset instead of an orderly close.
struct SimStream {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if self.connection.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
