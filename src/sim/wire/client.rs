//! The requests that peers send: callbacks of the proxy, polls of Traefik. Plain HTTP, one connection each.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

/// The longest answer that is read.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Sends one request and returns the status and the body, within `timeout`.
pub async fn exchange(
    method: Method,
    url: &Url,
    headers: &[(&str, String)],
    body: Bytes,
    timeout: Duration,
) -> io::Result<(u16, Bytes)> {
    let done = tokio::time::timeout(timeout, send(method, url, headers, body)).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
}

async fn send(method: Method, url: &Url, headers: &[(&str, String)], body: Bytes) -> io::Result<(u16, Bytes)> {
    let refused = |what: &'static str| io::Error::new(io::ErrorKind::InvalidInput, what);
    if url.scheme() != "http" {
        return Err(refused("only plain HTTP is supported"));
    }
    let host = url.host_str().ok_or_else(|| refused("the address has no host"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let mut request = Request::builder().method(method).uri(target).header(HOST, format!("{host}:{port}"));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(body)).map_err(io::Error::other)?;
    // It owns the sender; the connection ends once that is dropped.
    let exchange = async move {
        let mut response = sender.send_request(request).await.map_err(io::Error::other)?;
        let mut answer = BytesMut::new();
        while let Some(frame) = response.frame().await {
            let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
            if answer.len() + data.len() > MAX_ANSWER {
                return Err(io::Error::other("the answer is too long"));
            }
            answer.extend_from_slice(&data);
        }
        Ok((response.status().as_u16(), answer.freeze()))
    };
    let (answer, _) = tokio::join!(exchange, async {
        let _ = connection.await;
    });
    answer
}
