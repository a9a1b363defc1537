//! Reads of many peers over plain HTTP, each on a connection that is kept between calls.
//!
//! For peers that are asked again and again, such as the agents: an idle connection is a socket without buffers, so that
//! ten thousand of them take a few megabytes. Every call has a deadline and a bounded answer. A kept connection that
//! breaks before the answer begins was closed by the peer while it was idle; the call is then repeated once on a new
//! connection, which a read allows.
//!
//! Elsewhere: changes, encrypted connections, and what an error means ([`super::http`]).

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::incoming::IncomingAnswer;
use super::transport::TransportError;
use crate::kernel::{Reach, Secret};

/// The largest head of an answer, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// How connections to the peers are made and kept.
#[derive(Clone, Copy, Debug)]
pub struct KeptSettings {
    /// The peers' name in log events.
    pub peer: &'static str,
    /// The longest wait for a connection. Shorter than every deadline.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub keep_idle: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

/// A client that keeps one connection to each peer. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct KeptClient {
    settings: KeptSettings,
    idle: Arc<Idle>,
}

/// One read.
pub struct Get<'a> {
    /// Its name in log events.
    pub operation: &'a str,
    /// The peer.
    pub at: SocketAddr,
    /// The path.
    pub path: &'static str,
    /// The whole value of the `Authorization` header.
    pub authorization: Option<Secret>,
    /// When the answer has to be complete, from now on.
    pub deadline: Duration,
    /// The largest body of an answer, in bytes.
    pub max_body: usize,
}

/// Why a conversation has no complete answer.
enum Lost {
    /// The connection broke before the answer began.
    BeforeAnswer(TransportError),
    /// The answer is incomplete or late, or the request cannot be made.
    Other(TransportError),
}

impl Lost {
    fn into_error(self) -> TransportError {
        match self {
            Self::BeforeAnswer(error) | Self::Other(error) => error,
        }
    }
}

impl KeptClient {
    /// A client that has no connection yet.
    pub fn new(settings: KeptSettings) -> Self {
        Self { settings, idle: Arc::new(Idle::new(settings.keep_idle)) }
    }

    /// The same client with connections of its own, which it keeps for `keep_idle`.
    pub fn keeping(&self, keep_idle: Duration) -> Self {
        Self::new(KeptSettings { keep_idle, ..self.settings })
    }

    /// Makes one read and reads the whole answer.
    pub async fn get(&self, get: Get<'_>) -> Result<Answer, TransportError> {
        let begun = Instant::now();
        let result = self.exchange(&get, begun + get.deadline).await;
        let (peer, operation) = (self.settings.peer, get.operation);
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(Answer { status, .. }) => tracing::debug!(peer, operation, status, duration_ms, "called {peer}"),
            Err(error) => tracing::debug!(peer, operation, %error, duration_ms, "call to {peer} failed"),
        }
        result
    }

    async fn exchange(&self, get: &Get<'_>, deadline: Instant) -> Result<Answer, TransportError> {
        if let Some(stream) = self.idle.take(get.at) {
            match self.converse(stream, get, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Lost::Other(error)) => return Err(error),
                Err(Lost::BeforeAnswer(error)) => {
                    tracing::trace!(%error, "the kept connection to {} was closed", get.at);
                }
            }
        }
        let stream = self.connect(get.at, deadline).await?;
        self.converse(stream, get, deadline).await.map_err(Lost::into_error)
    }

    async fn connect(&self, at: SocketAddr, deadline: Instant) -> Result<TcpStream, TransportError> {
        let not_sent = |detail| TransportError::NotSent { detail };
        self.settings.reach.check(at.ip()).map_err(|refused| not_sent(refused.to_string()))?;
        let latest = deadline.min(Instant::now() + self.settings.connect_timeout);
        let connected = timeout_at(latest, TcpStream::connect(at)).await;
        let stream = connected.map_err(|_| not_sent("timed out".to_owned()))?;
        let prepared = stream.and_then(|stream: TcpStream| stream.set_nodelay(true).map(|()| stream));
        prepared.map_err(|error| not_sent(error.to_string()))
    }

    /// Sends the request on `stream` and reads the answer; keeps the connection if the peer keeps it too.
    async fn converse(&self, stream: TcpStream, get: &Get<'_>, deadline: Instant) -> Result<Answer, Lost> {
        let request = request(get).map_err(|detail| Lost::Other(TransportError::NotSent { detail }))?;
        let lost = |error: hyper::Error| TransportError::NoAnswer { detail: causes(&error) };
        let late = |_| Lost::Other(TransportError::NoAnswer { detail: "timed out".to_owned() });
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|error| Lost::BeforeAnswer(lost(error)))?;
        let reading = async move {
            let response = sender.send_request(request).await.map_err(|error| Lost::BeforeAnswer(lost(error)))?;
            let keeps = keeps_connection(&response);
            // The sender is dropped at the end: without it the connection ends and yields its socket.
            read(response, get.max_body).await.map_err(Lost::Other).map(|answer| (answer, keeps))
        };
        let connection = pin!(connection.without_shutdown());
        let exchange = async {
            match select(pin!(reading), connection).await {
                Either::Left((Ok((answer, keeps)), connection)) => Ok((answer, keeps, connection.await.ok())),
                Either::Left((Err(lost), _)) => Err(lost),
                Either::Right((parts, reading)) => reading.await.map(|(answer, keeps)| (answer, keeps, parts.ok())),
            }
        };
        let (answer, keeps, parts) = timeout_at(deadline, exchange).await.map_err(late)??;
        if let Some(parts) = parts.filter(|parts| keeps && parts.read_buf.is_empty()) {
            self.idle.put(get.at, parts.io.into_inner());
        }
        Ok(answer)
    }
}

fn request(get: &Get<'_>) -> Result<Request<String>, String> {
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
    headers.insert(HOST, value(&get.at.to_string())?);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("zpack/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(secret) = &get.authorization {
        let refused = |_| "the credentials are not valid in a header".to_owned();
        let mut value = HeaderValue::from_str(secret.expose()).map_err(refused)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut request = Request::new(String::new());
    *request.uri_mut() = hyper::Uri::from_static(get.path);
    *request.headers_mut() = headers;
    Ok(request)
}

/// Whether the peer keeps the connection open after `response`.
fn keeps_connection(response: &Response<Incoming>) -> bool {
    let closes = response.headers().get_all(CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|words| words.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")))
    });
    response.version() == Version::HTTP_11 && !closes
}

async fn read(response: Response<Incoming>, max_body: usize) -> Result<Answer, TransportError> {
    let mut incoming = IncomingAnswer::begin(response.status(), response.headers(), response.extensions(), max_body);
    let mut body = response.into_body();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| incoming.broken(causes(&error)))?;
        if let Ok(chunk) = frame.into_data() {
            incoming.add(&chunk)?;
        }
    }
    Ok(incoming.complete())
}

/// `error` and its causes, outermost first.
fn causes(error: &hyper::Error) -> String {
    let mut words = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        words.push(cause.to_string());
        next = cause.source();
    }
    words.join(": ")
}

/// The idle connections, at most one to each peer.
struct Idle {
    longest: Duration,
    /// How many are kept at most: half of the files that the process may open.
    most: usize,
    held: Mutex<Held>,
}

struct Held {
    connections: BTreeMap<SocketAddr, Since>,
    /// When the expired ones are closed next.
    sweep_at: Instant,
}

/// An idle connection.
struct Since {
    stream: TcpStream,
    at: Instant,
}

impl Idle {
    fn new(longest: Duration) -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(files / 2).unwrap_or(usize::MAX);
        Self { longest, most, held: Mutex::new(Held { connections: BTreeMap::new(), sweep_at: Instant::now() }) }
    }

    /// The connection to `peer`, if there is one that the peer has not closed.
    fn take(&self, peer: SocketAddr) -> Option<TcpStream> {
        let Since { stream, at } = self.lock().connections.remove(&peer)?;
        let is_fresh = at.elapsed() <= self.longest;
        // Data without a request is as unusable as the end.
        let is_quiet = matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        (is_fresh && is_quiet).then_some(stream)
    }

    fn put(&self, peer: SocketAddr, stream: TcpStream) {
        let (mut held, now) = (self.lock(), Instant::now());
        if held.sweep_at <= now {
            held.connections.retain(|_, Since { at, .. }| now.duration_since(*at) <= self.longest);
            held.sweep_at = now + self.longest / 2;
        }
        if held.connections.len() < self.most {
            held.connections.insert(peer, Since { stream, at: now });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("longest", &self.longest).finish_non_exhaustive()
    }
}
