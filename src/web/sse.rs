//! Server-Sent Events: a bounded number of streams, kept alive through proxies, ended when the server stops.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderName};
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::code::Code;
use super::error::{ApiError, ApiResult};

const COMMENT_EVERY: Duration = Duration::from_secs(15);
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id that a client sends as `Last-Event-ID` to continue after this event.
    pub id: Option<i64>,
    /// Its kind.
    pub name: &'static str,
    /// Its data, usually JSON.
    pub data: String,
}

impl Event {
    fn to_bytes(&self) -> Bytes {
        let mut text = String::with_capacity(self.data.len() + 64);
        if let Some(id) = self.id {
            text.push_str(&format!("id: {id}\n"));
        }
        text.push_str(&format!("event: {}\n", self.name));
        // A line break in the data would end the field.
        for line in self.data.split(['\n', '\r']) {
            text.push_str(&format!("data: {line}\n"));
        }
        text.push('\n');
        text.into()
    }
}

/// How many streams may be open at one time.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Of all accounts.
    pub all: usize,
    /// Of one account.
    pub of_account: usize,
}

/// Bounds the number of open streams.
#[derive(Clone, Debug)]
pub struct Streams {
    limits: StreamLimits,
    open: Arc<Mutex<OpenStreams>>,
    stop: CancellationToken,
    comment_every: Duration,
}

#[derive(Debug, Default)]
struct OpenStreams {
    all: usize,
    of_account: HashMap<String, usize>,
}

/// The place of one stream, freed when dropped.
struct Place {
    account: String,
    open: Arc<Mutex<OpenStreams>>,
}

impl Streams {
    /// Streams within `limits`; all end when `stop` is cancelled.
    pub fn new(limits: StreamLimits, stop: CancellationToken) -> Self {
        Self { limits, open: Arc::default(), stop, comment_every: COMMENT_EVERY }
    }

    /// Answers `account` with `events` as they occur, and a comment every 15 seconds.
    pub fn open(&self, account: &str, events: impl Stream<Item = Event> + 'static) -> ApiResult<HttpResponse> {
        let place = self.take(account)?;
        let comments = interval_at(Instant::now() + self.comment_every, self.comment_every);
        let comments = stream::unfold(comments, |mut comments| async {
            comments.tick().await;
            Some((Bytes::from_static(b": still here\n\n"), comments))
        });
        let end = stream::once(async {}).map(|()| None);
        let events = events.map(|event| Some(event.to_bytes())).chain(end);
        let merged = stream::select(events, comments.map(Some));
        // When the events end the stream ends, although the comments would continue.
        let body = merged.take_while(|bytes| ready(bytes.is_some())).filter_map(ready);
        let body = body.take_until(self.stop.clone().cancelled_owned()).map(move |bytes| {
            let _held_while_streaming = &place;
            Ok::<_, Infallible>(bytes)
        });
        Ok(head().streaming(body))
    }

    fn take(&self, account: &str) -> ApiResult<Place> {
        let soon = Duration::from_secs(5);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.of_account.get(account).is_some_and(|count| *count >= self.limits.of_account) {
            let detail = "Too many event streams of your account are open.";
            return Err(ApiError::new(Code::RateLimited, detail).retry_after(soon));
        }
        if open.all >= self.limits.all {
            return Err(ApiError::new(Code::Overloaded, "Too many event streams are open.").retry_after(soon));
        }
        open.all += 1;
        *open.of_account.entry(account.to_owned()).or_default() += 1;
        Ok(Place { account: account.to_owned(), open: self.open.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Entry::Occupied(mut count) = open.of_account.entry(std::mem::take(&mut self.account)) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The head of a stream.
pub fn head() -> HttpResponseBuilder {
    let mut head = HttpResponse::Ok();
    head.content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((X_ACCEL_BUFFERING, "no"));
    head
}

/// The event after which a client continues: its `Last-Event-ID`, 0 at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEventId(pub i64);

impl FromRequest for LastEventId {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(line) = request.headers().get(LAST_EVENT_ID) else { return ready(Ok(Self(0))) };
        let id = line.to_str().ok().and_then(|text| text.parse().ok()).filter(|id| *id >= 0);
        ready(id.map(Self).ok_or_else(|| {
            ApiError::new(Code::InvalidHeader, "`Last-Event-ID` must be the id of an event of this stream.")
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use actix_web::body::{MessageBody, to_bytes};

    use super::*;

    fn event(id: i64, data: &str) -> Event {
        Event { id: Some(id), name: "step", data: data.to_owned() }
    }

    #[actix_web::test]
    async fn events_are_written_one_field_a_line() {
        let streams = streams(1, 1);
        let response = streams.open("ada", stream::iter([event(1, "a\nb"), event(2, "c")])).unwrap();
        assert_eq!(response.headers().get("x-accel-buffering").unwrap(), "no");
        let body = to_bytes(response.into_body()).await.unwrap();
        assert_eq!(body, "id: 1\nevent: step\ndata: a\ndata: b\n\nid: 2\nevent: step\ndata: c\n\n");
    }

    fn streams(all: usize, of_account: usize) -> Streams {
        Streams::new(StreamLimits { all, of_account }, CancellationToken::new())
    }

    #[actix_web::test]
    async fn a_closed_stream_frees_its_place() {
        let streams = streams(3, 2);
        let open = |account: &str| streams.open(account, stream::pending());
        let first = [open("ada").unwrap(), open("ada").unwrap()];
        assert_eq!(open("ada").unwrap_err().code(), Code::RateLimited);
        let other = open("bob").unwrap();
        assert_eq!(open("bob").unwrap_err().code(), Code::Overloaded);
        drop(first);
        assert!(open("ada").is_ok());
        drop(other);
        assert!(streams.open.lock().unwrap().of_account.is_empty());
    }

    #[actix_web::test]
    async fn a_stopping_server_ends_its_streams() {
        let stop = CancellationToken::new();
        let response =
            Streams::new(StreamLimits { all: 1, of_account: 1 }, stop.clone()).open("ada", stream::pending()).unwrap();
        stop.cancel();
        assert!(to_bytes(response.into_body()).await.unwrap().is_empty());
    }

    #[actix_web::test]
    async fn an_idle_stream_sends_comments() {
        let mut streams = streams(1, 1);
        streams.comment_every = Duration::from_millis(5);
        let mut body = Box::pin(streams.open("ada", stream::pending()).unwrap().into_body());
        for _ in 0..2 {
            let chunk = poll_fn(|context| body.as_mut().poll_next(context)).await.unwrap().unwrap();
            assert_eq!(chunk, ": still here\n\n");
        }
    }
}
