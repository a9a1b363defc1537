//! What a connection has to know about each of its requests.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use bytes::Bytes;
use futures_util::Stream;

use super::exchange::{Exchange, Running};

/// Reports to the connection that a request runs, until its response is sent.
pub async fn attend(mut request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let received = Received::of(&mut request);
    let body = received.as_ref().map_or(0, |_| announced_length(request.headers()));
    let running = request.conn_data::<Exchange>().map(|exchange| exchange.begin(body));
    let answer = next.call(request).await?;
    Ok(answer.map_body(|_, body| BoxBody::new(Attended { body, _running: running, _received: received })))
}

/// The length of a body. That of a chunked one, which marks its own end, is not known.
fn announced_length(headers: &HeaderMap) -> u64 {
    if headers.contains_key(TRANSFER_ENCODING) {
        return u64::MAX;
    }
    headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok()).unwrap_or(u64::MAX)
}

/// The body of a request, shared by its reader and the response. It holds nothing once it was read to its end.
#[derive(Clone)]
struct Received(Rc<RefCell<Option<Payload>>>);

impl Received {
    /// The body of `request`, if it has one.
    fn of(request: &mut ServiceRequest) -> Option<Self> {
        match request.take_payload() {
            Payload::None => None,
            payload => {
                let received = Self(Rc::new(RefCell::new(Some(payload))));
                request.set_payload(Payload::Stream { payload: Box::pin(received.clone()) });
                Some(received)
            }
        }
    }
}

impl Stream for Received {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut place = self.0.borrow_mut();
        let Some(payload) = place.as_mut() else { return Poll::Ready(None) };
        let item = ready!(Pin::new(payload).poll_next(cx));
        if item.is_none() {
            *place = None;
        }
        Poll::Ready(item)
    }
}

/// The body of a response, with what has to end when it is sent.
struct Attended {
    body: BoxBody,
    _running: Option<Running>,
    _received: Option<Received>,
}

impl MessageBody for Attended {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
