//! The socket of a connection with its deadlines.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::deadlines::ConnectionDeadlines;
use super::exchange::Exchange;
use super::places::Place;

/// A socket that reads as closed when the next request head is late, and fails when a write makes no progress.
pub struct Timed<S> {
    socket: S,
    limits: ConnectionDeadlines,
    exchange: Exchange,
    /// Its place among the connections of its address.
    _place: Option<Place>,
    /// When the next head is late.
    head: Pin<Box<Sleep>>,
    /// The requests that had ended when `head` was set, and whether bytes have arrived since.
    silent_since: Option<u64>,
    head_begun: bool,
    /// When the pending write is late.
    write: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    /// `socket`, accepted now.
    pub fn new(socket: S, limits: ConnectionDeadlines, place: Option<Place>) -> Self {
        Self {
            socket,
            limits,
            exchange: Exchange::default(),
            _place: place,
            head: Box::pin(sleep_until(Instant::now() + limits.idle)),
            silent_since: None,
            head_begun: false,
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
            self.exchange.wake_later(cx.waker());
            return false;
        }
        if self.silent_since != ended {
            self.silent_since = ended;
            self.head_begun = false;
            self.head.as_mut().reset(Instant::now() + self.limits.idle);
        }
        self.head.as_mut().poll(cx).is_ready()
    }

    /// Sets the deadline of a head whose first bytes have arrived.
    fn begin_head(&mut self) {
        if self.exchange.ended().is_some() && !std::mem::replace(&mut self.head_begun, true) {
            let deadline = self.head.deadline().min(Instant::now() + self.limits.head);
            self.head.as_mut().reset(deadline);
        }
    }

    /// `outcome` of a write, or a failure when it has been pending for too long.
    fn in_time<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write = None;
            return outcome;
        }
        let limit = self.limits.write;
        let deadline = self.write.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes in nothing more")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.head_is_late(cx) {
            return Poll::Ready(Ok(()));
        }
        let outcome = ready!(Pin::new(&mut this.socket).poll_read(cx, buffer));
        this.begin_head();
        Poll::Ready(outcome)
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
