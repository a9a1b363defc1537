//! What all HTTP routes share: problem documents, request ids, strict bodies and queries, pagination, client addresses,
//! CORS.
//!
//! The `http.rs` of a feature takes [`Json<T>`](Json) with `T: FromFields` and [`Query`], and returns [`ApiResult`].
//! Routes and features are not here but in `router` and the modules above.

pub mod answer;
pub mod body;
mod client_address;
mod client_request_id;
mod code;
mod cors;
mod error;
mod fields;
mod idempotency;
mod logged_path;
mod query;
mod rate_class;
mod rate_limit;
pub mod readers;
mod sentence;
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
pub use rate_class::{Allowance, MatchedRoute, RateClass};
pub use rate_limit::{RateLimiter, Remaining, address_key};
pub use sentence::sentence;
