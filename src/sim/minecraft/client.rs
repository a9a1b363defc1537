//! The ping that the proxy itself sends to the servers behind it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::codec::{packet, put_text, put_var_int, read_packet, take_var_int};

/// The longest status: the most characters, with three bytes each.
const MAX_STATUS: usize = 3 * 32_767 + 8;

/// Asks the server at `address` for its status, with `host` as the virtual host, within `timeout`.
pub async fn ask(address: SocketAddr, host: &str, protocol: i32, timeout: Duration) -> io::Result<Value> {
    let asked = tokio::time::timeout(timeout, exchange(address, host, protocol)).await;
    asked.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the read timed out")))
}

async fn exchange(address: SocketAddr, host: &str, protocol: i32) -> io::Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    let mut handshake = Vec::new();
    put_var_int(&mut handshake, protocol);
    put_text(&mut handshake, host);
    handshake.extend(address.port().to_be_bytes());
    put_var_int(&mut handshake, 1);
    let mut request = packet(0, &handshake);
    request.extend(packet(0, &[]));
    stream.write_all(&request).await?;
    let (id, body) = read_packet(&mut stream, MAX_STATUS).await?;
    let mut rest = body.as_slice();
    let _length = take_var_int(&mut rest)?;
    if id != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is no status"));
    }
    serde_json::from_slice(rest).map_err(io::Error::from)
}
