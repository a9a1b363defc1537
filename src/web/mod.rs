//! What every HTTP answer shares: problem documents, request names, strict bodies and queries, pagination, client
//! addresses, CORS.
//!
//! A feature's `http.rs` speaks in these words: it takes [`Json<T>`](Json) with `T: FromFields` and [`Query`], and
//! returns [`ApiResult`]. No routes and no features here; those are in `router` and above.

pub mod answer;
pub mod body;
mod client_address;
mod client_request_id;
mod code;
mod cors;
mod error;
mod fields;
mod idempotency;
mod query;
mod rate_class;
mod rate_limit;
pub mod readers;
pub mod sse;
mod strict_json;

pub use answer::{ClientAddress, ClientPolicy};
pub use body::{FromFields, JSON_LIMIT, Json, TakesJson, read_json};
pub use client_address::TrustedProxies;
pub use client_request_id::{ClientRequestId, X_REQUEST_ID};
pub use code::{Code, Retry};
pub use cors::AllowedOrigins;
pub use error::{ApiError, ApiResult, FieldError, PROBLEM, Problem};
pub use fields::{Checked, Complete, FieldUpdate, Fields};
pub use idempotency::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, IdempotencyKey};
pub use query::{Page, Query};
pub use rate_class::{Allowance, RateClass};
pub use rate_limit::{RateLimiter, Remaining, address_key};
