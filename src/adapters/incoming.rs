//! An answer that is being received: its head, and the body so far.

use hyper::StatusCode;
use hyper::ext::ReasonPhrase;
use hyper::header::{ETAG, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::http::Extensions;

use super::answer::{Answer, is_page};
use super::transport::TransportError;
use crate::kernel::text::clean;

/// The longest reason phrase that is read, in characters.
const LONGEST_REASON: usize = 1000;

/// An answer of which the body is still to come, or a part of it.
pub(super) struct IncomingAnswer {
    answer: Answer,
    max_body: usize,
}

impl IncomingAnswer {
    /// An answer with this head, whose body may have at most `max_body` bytes.
    pub(super) fn begin(status: StatusCode, headers: &HeaderMap, extensions: &Extensions, max_body: usize) -> Self {
        let reason = extensions.get::<ReasonPhrase>();
        let reason = reason.map(|phrase| clean(String::from_utf8_lossy(phrase.as_bytes()).trim(), LONGEST_REASON));
        let header = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
        let answer = Answer {
            status: status.as_u16(),
            reason: reason.filter(|words| !words.is_empty()),
            etag: header(ETAG),
            retry_after: header(RETRY_AFTER),
            body: Vec::new(),
        };
        Self { answer, max_body }
    }

    /// Adds a part of the body.
    pub(super) fn add(&mut self, chunk: &[u8]) -> Result<(), TransportError> {
        if self.answer.body.len().saturating_add(chunk.len()) > self.max_body {
            return Err(self.incomplete(true, format!("more than {} bytes", self.max_body)));
        }
        self.answer.body.extend_from_slice(chunk);
        Ok(())
    }

    /// The error of an answer that broke off.
    pub(super) fn broken(&self, detail: String) -> TransportError {
        self.incomplete(false, detail)
    }

    /// The whole answer.
    pub(super) fn complete(self) -> Answer {
        self.answer
    }

    fn incomplete(&self, too_large: bool, detail: String) -> TransportError {
        let Answer { status, reason, retry_after, body, .. } = &self.answer;
        TransportError::Incomplete {
            status: *status,
            reason: reason.clone(),
            retry_after: retry_after.clone(),
            too_large,
            is_page: is_page(body),
            detail,
        }
    }
}
