//! One request as a peer receives it.

use std::fmt;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request};

use super::options::ServerOptions;

/// A request with its body read, up to the listener's limit.
pub struct SimRequest {
    /// The name of the peer it was sent to.
    pub peer: &'static str,
    /// The address it was sent to; the agents share a port and differ by it.
    pub local: SocketAddr,
    /// Which of the peer's listeners it was sent to; empty for a peer with one.
    pub endpoint: &'static str,
    /// The method.
    pub method: Method,
    /// The path as sent, without the query.
    pub raw_path: String,
    /// The path, split at `/` and percent-decoded once.
    pub segments: Vec<String>,
    /// The query, decoded, in order, with repetitions.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or its first part when [`oversized`](Self::oversized).
    pub body: Bytes,
    /// Whether the body was longer than the listener reads.
    pub oversized: bool,
    /// The upgrade to a WebSocket: a handler that answers 101 takes it and awaits it in its own task.
    pub upgrade: Option<OnUpgrade>,
}

impl SimRequest {
    /// Reads the whole request, as much of its body as the listener reads.
    pub(super) async fn read(
        options: ServerOptions,
        local: SocketAddr,
        mut request: Request<Incoming>,
    ) -> Result<Self, hyper::Error> {
        let upgrade = request.headers().contains_key(hyper::header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let (parts, mut incoming) = request.into_parts();
        let mut body = BytesMut::new();
        let mut oversized = false;
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let room = options.max_body.saturating_sub(body.len());
            body.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
            if data.len() > room {
                oversized = true;
                break;
            }
        }
        let raw_path = parts.uri.path().to_owned();
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self {
            peer: options.peer,
            local,
            endpoint: options.endpoint,
            method: parts.method,
            segments: raw_path.split('/').filter(|segment| !segment.is_empty()).map(percent_decode).collect(),
            query: query.into_owned().collect(),
            raw_path,
            headers: parts.headers,
            body: body.freeze(),
            oversized,
            upgrade,
        })
    }

    /// The decoded path, with its leading slash.
    pub fn path(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// A header, when it is present and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first value of a query parameter.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for SimRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} to {} at {}", self.method, self.raw_path, self.peer, self.local)
    }
}

/// Decodes `%XX` once; a `%` without two digits stays as it is, bytes that are not UTF-8 become the replacement character.
pub fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten().and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(percent_decode("UPID%3Apve1%21"), "UPID:pve1!");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%2541"), "%41");
        assert_eq!(percent_decode("%zz"), "%zz");
    }
}
