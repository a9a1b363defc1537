//! The socket of a connection, with deadlines.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::deadlines::ConnectionDeadlines;
use super::exchange::Exchange;
use super::head_end::HeadEnd;
use super::places::Place;

/// The maximum number of bytes that are read ahead of their turn.
const READ_AHEAD: usize = 4096;

/// A socket that reads as closed when the next request head is late, and fails when a write makes no progress.
///
/// It passes on one request at a time. Bytes that follow a request are held, and beyond [`READ_AHEAD`] they stay in the
/// socket. The deadline of the next head therefore begins when it is its turn, and actix, which spins while its own
/// buffer is full, never has a full one.
pub struct Timed<S> {
    socket: S,
    deadlines: ConnectionDeadlines,
    exchange: Exchange,
    /// Its place among the connections of its address.
    _place: Option<Place>,
    /// The deadline of the next head.
    head: Pin<Box<Sleep>>,
    /// How many requests had ended when `head` was set; and whether bytes of the head have arrived since, and all of
    /// them.
    silent_since: Option<u64>,
    head_begun: bool,
    head_complete: bool,
    head_end: HeadEnd,
    /// Bytes that were read ahead of their turn.
    held: BytesMut,
    /// The deadline of the pending write.
    write: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    /// A connection on `socket`, accepted now.
    pub fn new(socket: S, deadlines: ConnectionDeadlines, place: Option<Place>) -> Self {
        Self {
            socket,
            deadlines,
            exchange: Exchange::default(),
            _place: place,
            head: Box::pin(sleep_until(Instant::now() + deadlines.idle)),
            silent_since: None,
            head_begun: false,
            head_complete: false,
            head_end: HeadEnd::default(),
            held: BytesMut::new(),
            write: None,
        }
    }

    /// The requests of the connection.
    pub fn exchange(&self) -> Exchange {
        self.exchange.clone()
    }

    /// Whether no request is running and the next head is late.
    fn head_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let ended = self.exchange.ended();
        if ended.is_none() {
            return false;
        }
        if self.silent_since != ended {
            self.silent_since = ended;
            (self.head_begun, self.head_complete, self.head_end) = (false, false, HeadEnd::default());
            self.head.as_mut().reset(Instant::now() + self.deadlines.idle);
        }
        self.head.as_mut().poll(cx).is_ready()
    }

    /// Sets the deadline for the rest of a head whose first bytes have arrived.
    fn begin_head(&mut self) {
        if !std::mem::replace(&mut self.head_begun, true) {
            let deadline = self.head.deadline().min(Instant::now() + self.deadlines.head);
            self.head.as_mut().reset(deadline);
        }
    }

    /// The `outcome` of a write, or an error if the write has been pending for too long.
    fn in_time<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write = None;
            return outcome;
        }
        let limit = self.deadlines.write;
        let deadline = self.write.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> Timed<S> {
    /// Reads at most `most` bytes, from the held ones or else from the socket. Returns how many.
    fn poll_some(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>, most: usize) -> Poll<io::Result<usize>> {
        let most = most.min(buffer.remaining());
        if !self.held.is_empty() {
            let count = most.min(self.held.len());
            buffer.put_slice(&self.held.split_to(count));
            return Poll::Ready(Ok(count));
        }
        if most == buffer.remaining() {
            ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
            return Poll::Ready(Ok(most - buffer.remaining()));
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        Poll::Ready(Ok(count))
    }

    /// Reads more of the head, and holds the bytes that follow it.
    fn poll_head(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let count = ready!(self.poll_some(cx, buffer, usize::MAX))?;
        if count > 0 {
            self.begin_head();
        }
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        if let Some(end) = self.head_end.find(arrived) {
            self.head_complete = true;
            let after = arrived.get(end..).unwrap_or_default();
            let mut held = BytesMut::with_capacity(after.len() + self.held.len());
            held.extend_from_slice(after);
            held.extend_from_slice(&self.held);
            self.held = held;
            buffer.set_filled(before + end);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads ahead only to detect that the client hangs up.
    fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 1024];
        while self.held.len() < READ_AHEAD {
            let mut part = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.held.extend_from_slice(part.filled());
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.head_is_late(cx) {
            return Poll::Ready(Ok(()));
        }
        let is_running = this.exchange.ended().is_none();
        if !is_running && !this.head_complete {
            return this.poll_head(cx, buffer);
        }
        this.exchange.wake_later(cx.waker());
        let body = usize::try_from(this.exchange.body()).unwrap_or(usize::MAX);
        if body == 0 {
            return this.poll_hang_up(cx);
        }
        let count = ready!(this.poll_some(cx, buffer, body))?;
        this.exchange.read(count);
        Poll::Ready(Ok(()))
    }
}
impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.in_time(outcome, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    fn connection(room: usize) -> (DuplexStream, Timed<DuplexStream>) {
        let (client, socket) = duplex(room);
        (client, Timed::new(socket, ConnectionDeadlines::default(), None))
    }

    /// What can be read without waiting, if anything.
    async fn read(connection: &mut Timed<DuplexStream>) -> Option<Vec<u8>> {
        let mut space = vec![0; 64 * 1024];
        poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut *connection).poll_read(cx, &mut buffer) {
                Poll::Ready(outcome) => Poll::Ready(outcome.map(|()| Some(buffer.filled().to_vec())).unwrap()),
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }

    #[tokio::test]
    async fn requests_are_passed_on_one_at_a_time() {
        let (mut client, mut connection) = connection(64 * 1024);
        let exchange = connection.exchange();
        client.write_all(&[HEAD, HEAD, b"four", HEAD].concat()).await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), HEAD);
        assert_eq!(read(&mut connection).await, None);
        let running = exchange.begin(0);
        assert_eq!(read(&mut connection).await, None);
        drop(running);
        assert_eq!(read(&mut connection).await.unwrap(), HEAD);
        let running = exchange.begin(4);
        assert_eq!(read(&mut connection).await.unwrap(), b"four");
        assert_eq!(read(&mut connection).await, None);
        drop(running);
        assert_eq!(read(&mut connection).await.unwrap(), HEAD);
    }

    #[tokio::test]
    async fn bytes_beyond_the_read_ahead_stay_in_the_socket_while_a_request_runs() {
        let (mut client, mut connection) = connection(1024);
        let _running = connection.exchange().begin(0);
        let mut sent = 0;
        while let Some(written) = client.write(HEAD).now_or_never() {
            sent += written.unwrap();
            assert_eq!(read(&mut connection).await, None);
            assert!(sent < 64 * 1024, "no bound");
        }
        assert!(sent <= READ_AHEAD + 2048, "{sent}");
    }

    #[tokio::test]
    async fn a_hang_up_while_a_request_runs_is_noticed() {
        let (mut client, mut connection) = connection(1024);
        let _running = connection.exchange().begin(0);
        client.write_all(HEAD).await.unwrap();
        assert_eq!(read(&mut connection).await, None);
        drop(client);
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
