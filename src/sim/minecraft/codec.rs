//! Packets and the older pings, read from a stream as a server reads them.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest packet that a server reads before login.
const MAX_PACKET: usize = 4096;
/// How long a server waits after `FE 01` for the rest of the newer of the old pings.
const LEGACY_PAUSE: Duration = Duration::from_millis(100);
/// How long it waits after a lone `FE`.
const OLDEST_PAUSE: Duration = Duration::from_secs(1);

/// How a client introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The handshake of 1.7 and later.
    Modern {
        /// The protocol of the client, -1 when it does not say.
        protocol: i32,
        /// The address that the client connects to, as it was entered.
        host: String,
        /// 1 for a status, 2 for a login, 3 for a transfer.
        next: i32,
    },
    /// `FE 01` of 1.4 and 1.5, and the ping of 1.6, which also names the host.
    Legacy {
        /// The host, when it is named.
        host: Option<String>,
    },
    /// A lone `FE`, older than 1.4.
    Oldest,
}

impl Hello {
    /// The virtual host as Velocity reads it: up to the first NUL, without a final dot, in lower case.
    pub fn virtual_host(&self) -> Option<String> {
        let host = match self {
            Self::Modern { host, .. } | Self::Legacy { host: Some(host) } => host,
            Self::Legacy { host: None } | Self::Oldest => return None,
        };
        let host = host.split('\0').next().unwrap_or_default();
        Some(host.strip_suffix('.').unwrap_or(host).to_lowercase())
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads the first packet of a connection.
pub async fn read_hello<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Hello> {
    let first = stream.read_u8().await?;
    if first == 0xfe {
        return read_legacy(stream).await;
    }
    let packet = read_body(stream, first, MAX_PACKET).await?;
    let mut rest = packet.as_slice();
    if take_var_int(&mut rest)? != 0 {
        return Err(malformed("the first packet is no handshake"));
    }
    let protocol = take_var_int(&mut rest)?;
    let length = usize::try_from(take_var_int(&mut rest)?).map_err(|_| malformed("a negative length"))?;
    let host = rest.get(..length).ok_or_else(|| malformed("the host is cut off"))?;
    let host = String::from_utf8(host.to_vec()).map_err(|_| malformed("the host is no text"))?;
    // The port follows in two bytes; it is not used for routing.
    let mut rest = rest.get(length + 2..).ok_or_else(|| malformed("the port is cut off"))?;
    Ok(Hello::Modern { protocol, host, next: take_var_int(&mut rest)? })
}

async fn read_legacy<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Hello> {
    match tokio::time::timeout(OLDEST_PAUSE, stream.read_u8()).await {
        Err(_) => return Ok(Hello::Oldest),
        Ok(Ok(1)) => {}
        Ok(Ok(_)) => return Err(malformed("no ping of any age")),
        Ok(Err(error)) => return Err(error),
    }
    let named = tokio::time::timeout(LEGACY_PAUSE, read_ping_host(stream)).await;
    Ok(Hello::Legacy { host: named.unwrap_or(Ok(None))? })
}

/// The plugin message `MC|PingHost` of 1.6: protocol, host and port.
async fn read_ping_host<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Option<String>> {
    match stream.read_u8().await {
        Ok(0xfa) => {}
        Ok(_) => return Err(malformed("no plugin message")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    if read_utf16(stream).await? != "MC|PingHost" {
        return Err(malformed("another plugin message"));
    }
    let _length = stream.read_u16().await?;
    let _protocol = stream.read_u8().await?;
    let host = read_utf16(stream).await?;
    let _port = stream.read_i32().await?;
    Ok(Some(host))
}

async fn read_utf16<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<String> {
    let mut units = Vec::new();
    for _ in 0..stream.read_u16().await?.min(255) {
        units.push(stream.read_u16().await?);
    }
    String::from_utf16(&units).map_err(|_| malformed("no UTF-16"))
}

/// Reads one packet of at most `limit` bytes: its id and what follows.
pub async fn read_packet<R: AsyncRead + Unpin>(stream: &mut R, limit: usize) -> io::Result<(i32, Vec<u8>)> {
    let first = stream.read_u8().await?;
    let packet = read_body(stream, first, limit).await?;
    let mut rest = packet.as_slice();
    let id = take_var_int(&mut rest)?;
    Ok((id, rest.to_vec()))
}

/// Reads the packet whose length begins with the byte `first`.
async fn read_body<R: AsyncRead + Unpin>(stream: &mut R, first: u8, limit: usize) -> io::Result<Vec<u8>> {
    let length = read_var_int_from(stream, first).await?;
    let length = usize::try_from(length).ok().filter(|length| (1..=limit).contains(length));
    let mut packet = vec![0; length.ok_or_else(|| malformed("a packet of an impossible length"))?];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

async fn read_var_int_from<R: AsyncRead + Unpin>(stream: &mut R, first: u8) -> io::Result<i32> {
    let mut bytes = vec![first];
    while bytes.last().is_some_and(|byte| byte & 0x80 != 0) && bytes.len() < 5 {
        bytes.push(stream.read_u8().await?);
    }
    take_var_int(&mut bytes.as_slice())
}

/// Removes a VarInt from the front: groups of seven bits, the least significant first, at most five.
pub fn take_var_int(bytes: &mut &[u8]) -> io::Result<i32> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| malformed("a VarInt is cut off"))?;
        *bytes = rest;
        if shift == 28 && byte > 0x0f {
            break;
        }
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value.cast_signed());
        }
    }
    Err(malformed("a VarInt is longer than 32 bits"))
}

/// Appends a VarInt.
pub fn put_var_int(bytes: &mut Vec<u8>, value: i32) {
    let mut rest = value.cast_unsigned();
    loop {
        let group = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        bytes.push(if rest == 0 { group } else { group | 0x80 });
        if rest == 0 {
            return;
        }
    }
}

/// A whole packet.
pub fn packet(id: i32, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(body.len() + 1);
    put_var_int(&mut content, id);
    content.extend_from_slice(body);
    let mut packet = Vec::with_capacity(content.len() + 5);
    put_var_int(&mut packet, i32::try_from(content.len()).unwrap_or(i32::MAX));
    packet.extend_from_slice(&content);
    packet
}

/// Appends a text with its length in bytes.
pub fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_var_int(bytes, i32::try_from(text.len()).unwrap_or(i32::MAX));
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn the_virtual_host_is_the_one_velocity_takes() {
        let of = |host: &str| Hello::Modern { protocol: 767, host: host.to_owned(), next: 1 }.virtual_host();
        for host in ["mc-1.zone.tld", "MC-1.Zone.TLD.", "mc-1.zone.tld\0FML2\0", "mc-1.zone.tld.\0x"] {
            assert_eq!(of(host).as_deref(), Some("mc-1.zone.tld"), "{host}");
        }
        assert_eq!(Hello::Oldest.virtual_host(), None);
    }

    #[test]
    fn a_handshake_is_read_as_it_was_sent() {
        let mut body = Vec::new();
        put_var_int(&mut body, -1);
        put_text(&mut body, "a.b");
        body.extend([0x63, 0xdd, 1]);
        let hello = run(async { read_hello(&mut packet(0, &body).as_slice()).await });
        assert_eq!(hello.unwrap(), Hello::Modern { protocol: -1, host: "a.b".to_owned(), next: 1 });
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_server_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), form in 0..3usize) {
            let beginning: &[u8] = [&[][..], &[0xfe, 1, 0xfa, 0, 11][..], &[20, 0, 47][..]][form];
            let bytes = [beginning, &bytes].concat();
            let _ = run(async { read_hello(&mut bytes.as_slice()).await });
            let _ = run(async { read_packet(&mut bytes.as_slice(), 100).await });
        }
    }
}
