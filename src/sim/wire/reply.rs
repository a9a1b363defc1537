//! One answer, and how it is delivered, or not.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

/// Time for the first half of a truncated body to reach the client before the connection breaks.
const TRUNCATION_FLUSH: Duration = Duration::from_millis(50);

/// What happens on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The whole answer is sent.
    Whole,
    /// The head announces the whole body, half of it is sent, then the connection breaks.
    Truncated,
    /// The connection is reset without an answer.
    Reset,
    /// Nothing is sent; the connection stays open until the client closes it.
    NoAnswer,
}

/// The body of an answer.
pub enum ReplyBody {
    /// Complete; sent with its length.
    Full(Bytes),
    /// Produced while it is sent; an error breaks the connection.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

/// An answer of a peer.
pub struct Reply {
    /// The status, 100 to 999.
    pub status: u16,
    /// The reason phrase; the usual one when absent. Bytes that HTTP forbids there become spaces.
    pub reason: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
    /// Close the connection afterwards.
    pub close: bool,
    /// How long to wait before anything is sent.
    pub delay: Duration,
    /// How it is sent.
    pub delivery: Delivery,
}

impl Reply {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: None,
            headers: HeaderMap::new(),
            body: ReplyBody::Full(Bytes::new()),
            close: false,
            delay: Duration::ZERO,
            delivery: Delivery::Whole,
        }
    }

    /// A JSON answer.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status).with_body("application/json", value.to_string())
    }

    /// A plain text answer.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status).with_body("text/plain; charset=utf-8", text.into())
    }

    /// Sets the body and its content type.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = ReplyBody::Full(body.into());
        self.with_header(CONTENT_TYPE, content_type)
    }

    /// Sets a header; a value that HTTP forbids is left out.
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets the reason phrase.
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sends the answer after `delay`.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection after the answer.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Chooses how it is sent.
    pub fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// The answer as a response of hyper.
    pub(super) fn into_response(self) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
        let truncated = self.delivery == Delivery::Truncated;
        let mut headers = self.headers;
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = match self.body {
            ReplyBody::Full(bytes) if truncated => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                let half = bytes.slice(..bytes.len() / 2);
                chunks(stream::iter([Ok(half)]).chain(stream::once(cut())).boxed())
            }
            ReplyBody::Full(bytes) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
            ReplyBody::Stream(stream) => chunks(stream),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = headers;
        if let Some(reason) = self.reason.and_then(|text| ReasonPhrase::try_from(printable(&text)).ok()) {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:?})", self.status, self.reason.as_deref().unwrap_or_default(), self.delivery)
    }
}

fn chunks(stream: BoxStream<'static, io::Result<Bytes>>) -> UnsyncBoxBody<Bytes, io::Error> {
    StreamBody::new(stream.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}

async fn cut() -> io::Result<Bytes> {
    tokio::time::sleep(TRUNCATION_FLUSH).await;
    Err(io::Error::other("the answer is cut off on purpose"))
}

fn printable(reason: &str) -> String {
    reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Adds a field to a JSON object; any other value stays as it is.
pub fn put(document: &mut Value, key: &str, value: Value) {
    if let Some(fields) = document.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}
