//! The `Idempotency-Key` of a request (pure). `operations::idempotency` stores the answers.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest};
use sha2::{Digest, Sha256};

use super::code::Code;
use super::error::{ApiError, ApiResult};

/// The header that carries the key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that marks a replayed answer.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The client's key for a request that must take effect once: 1 to 255 visible ASCII characters, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdempotencyKey(Option<String>);

impl IdempotencyKey {
    /// The id under which the first answer to `principal` on `route` is stored; `None` if the client sent no key.
    pub fn row_id(&self, principal: &str, route: &str) -> Option<String> {
        let key = self.0.as_ref()?;
        let mut hash = Sha256::new();
        for part in [principal, route, key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(hex::encode(hash.finalize()))
    }
}

impl FromRequest for IdempotencyKey {
    type Error = ApiError;
    type Future = Ready<ApiResult<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut lines = request.headers().get_all(IDEMPOTENCY_KEY);
        let Some(line) = lines.next() else { return ready(Ok(Self(None))) };
        let text = line.to_str().unwrap_or_default();
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        ready(if fits && lines.next().is_none() {
            Ok(Self(Some(text.to_owned())))
        } else {
            let detail = "Send one `Idempotency-Key` of 1 to 255 visible ASCII characters.";
            Err(ApiError::new(Code::InvalidHeader, detail))
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    async fn sent(lines: &[&str]) -> ApiResult<IdempotencyKey> {
        let mut request = TestRequest::default();
        for line in lines {
            request = request.append_header((IDEMPOTENCY_KEY, *line));
        }
        IdempotencyKey::extract(&request.to_http_request()).await
    }

    #[actix_web::test]
    async fn a_key_is_one_header_of_visible_ascii() {
        assert_eq!(sent(&[]).await.unwrap(), IdempotencyKey(None));
        assert!(sent(&["a-key"]).await.is_ok());
        for bad in [&["a b"][..], &[""], &["a", "a"], &["ä"], &[&"k".repeat(256)]] {
            assert_eq!(sent(bad).await.unwrap_err().code(), Code::InvalidHeader, "{bad:?}");
        }
    }

    #[actix_web::test]
    async fn principals_routes_and_keys_do_not_mix() {
        let key = sent(&["k"]).await.unwrap();
        let ids = [key.row_id("ab", "c"), key.row_id("a", "bc"), key.row_id("ab", "d")];
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
        assert_eq!(key.row_id("ab", "c"), ids[0]);
        assert_eq!(sent(&[]).await.unwrap().row_id("a", "b"), None);
    }
}
