//! Rate limits: a number of requests at once, refilled evenly (the generic cell rate algorithm).
//!
//! The state of an allowance is one timestamp a key: the time at which it will be full again. Redis holds those that
//! all API processes share. Reads are always counted per process, and so is everything while Redis does not answer.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::code::Code;
use super::error::{ApiError, ApiResult};
use super::rate_class::{Allowance, RateClass};
use crate::db::RedisPool;
use crate::kernel::{Clock, Timestamp};
use crate::telemetry::Outage;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// So that a slow Redis does not slow down every request.
const REDIS_TIME: Duration = Duration::from_millis(150);
/// How long Redis is not used after it did not answer.
const REDIS_REST: Duration = Duration::from_secs(5);
const MOST_LOCAL_KEYS: usize = 65_536;
const LONGEST_LOCAL_KEY: usize = 64;

/// Limits requests. Cheap to clone.
#[derive(Clone)]
pub struct RateLimiter(Arc<Inner>);

struct Inner {
    clock: Clock,
    redis: Option<RedisPool>,
    redis_rests_until: AtomicI64,
    outage: Outage,
    local: Mutex<HashMap<String, i64>>,
}

/// What remains of an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    class: RateClass,
    allowance: Allowance,
    requests: u32,
    /// Time until the next request is allowed; zero if it is allowed now.
    pub wait: Duration,
}

impl RateLimiter {
    /// Counts in `redis`, or without it in this process alone.
    pub fn new(clock: Clock, redis: Option<RedisPool>) -> Self {
        let local = Mutex::new(HashMap::new());
        let outage = Outage::of("counting requests in Redis");
        Self(Arc::new(Inner { clock, redis, redis_rests_until: AtomicI64::new(0), outage, local }))
    }

    /// Takes one request of `class` from the allowance of `key`; `None` for the free class.
    pub async fn take(&self, class: RateClass, key: &str) -> ApiResult<Option<Remaining>> {
        let Some(allowance) = class.allowance() else { return Ok(None) };
        let now = self.0.clock.now();
        let full_at = match self.0.take_in_redis(class, allowance, key, now).await {
            Some(full_at) => full_at,
            None => self.0.take_here(allowance, local_key(class, key), now),
        };
        let left = Remaining::of(class, allowance, full_at, now);
        if left.wait.is_zero() { Ok(Some(left)) } else { Err(left.refusal()) }
    }
}

impl Inner {
    /// The time at which the allowance will be full again, with this request counted; `None` when Redis is not used.
    async fn take_in_redis(&self, class: RateClass, allowance: Allowance, key: &str, now: Timestamp) -> Option<i64> {
        let mut redis = self.redis.clone().filter(|_| class.counts_together())?;
        if now.millis() < self.redis_rests_until.load(Ordering::Relaxed) {
            return None;
        }
        let key = format!("zpack:rate:{class}:{}", digest(key));
        let script = redis::Script::new(include_str!("take.lua"));
        let mut call = script.key(key);
        call.arg(now.millis()).arg(allowance.interval_ms()).arg(allowance.window_ms());
        match tokio::time::timeout(REDIS_TIME, call.invoke_async::<i64>(&mut redis)).await {
            Ok(Ok(full_at)) => {
                self.outage.works();
                return Some(full_at);
            }
            Ok(Err(error)) => self.outage.failed(error),
            Err(late) => self.outage.failed(late),
        }
        self.redis_rests_until.store(now.after(REDIS_REST).millis(), Ordering::Relaxed);
        None
    }

    fn take_here(&self, allowance: Allowance, key: String, now: Timestamp) -> i64 {
        // Not held across an await. After a panic elsewhere the counts are still valid.
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        if local.len() >= MOST_LOCAL_KEYS && !local.contains_key(&key) {
            local.retain(|_, full_at| *full_at > now.millis());
            if local.len() >= MOST_LOCAL_KEYS {
                // Bounded memory matters more than exact counts during an attack from so many addresses.
                local.clear();
            }
        }
        let full_at = local.entry(key).or_insert(0);
        let taken = (*full_at).max(now.millis()).saturating_add(allowance.interval_ms());
        if taken - now.millis() <= allowance.window_ms() {
            *full_at = taken;
        }
        taken
    }
}

/// The key of an allowance in this process, short whatever the client sent.
fn local_key(class: RateClass, key: &str) -> String {
    if key.len() <= LONGEST_LOCAL_KEY { format!("{class}:{key}") } else { format!("{class}:{}", digest(key)) }
}

fn digest(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}

impl Remaining {
    fn of(class: RateClass, allowance: Allowance, full_at: i64, now: Timestamp) -> Self {
        let (interval, window) = (allowance.interval_ms(), allowance.window_ms());
        let used = full_at.saturating_sub(now.millis());
        let wait = u64::try_from(used.saturating_sub(window)).unwrap_or(0);
        let requests = u32::try_from(window.saturating_sub(used).max(0) / interval).unwrap_or(0);
        Self { class, allowance, requests, wait: Duration::from_millis(wait) }
    }

    fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.class, self.allowance.requests, self.allowance.window.as_secs())
    }

    fn state(&self) -> String {
        let one_more = self.allowance.interval_ms().unsigned_abs().div_ceil(1000);
        let reset = if self.wait.is_zero() { one_more } else { self.wait.as_secs() + 1 };
        format!("\"{}\";r={};t={reset}", self.class, self.requests)
    }

    fn refusal(self) -> ApiError {
        let detail = format!("Too many requests of the class `{}`. Please slow down.", self.class);
        ApiError::new(Code::RateLimited, detail)
            .retry_after(self.wait)
            .header(RATE_LIMIT_POLICY, &self.policy())
            .header(RATE_LIMIT, &self.state())
    }

    /// Adds the headers of the rate limit to the answer.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in [(RATE_LIMIT_POLICY, self.policy()), (RATE_LIMIT, self.state())] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

/// The key of an address: the address itself, or for IPv6 its /64 network, which providers assign to one customer.
pub fn address_key(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:016x}/64", address.to_bits() >> 64),
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("shared", &self.0.redis.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> (RateLimiter, Clock) {
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
        (RateLimiter::new(clock.clone(), None), clock)
    }

    #[tokio::test]
    async fn an_allowance_is_spent_and_refills() {
        let (limiter, clock) = limiter();
        let allowance = RateClass::Auth.allowance().unwrap();
        for left in (0..allowance.requests).rev() {
            assert_eq!(limiter.take(RateClass::Auth, "a").await.unwrap().unwrap().requests, left);
        }
        assert_eq!(limiter.take(RateClass::Auth, "a").await.unwrap_err().code(), Code::RateLimited);
        assert!(limiter.take(RateClass::Auth, "b").await.is_ok(), "keys do not share");
        clock.advance(Duration::from_millis(allowance.interval_ms().unsigned_abs()));
        assert!(limiter.take(RateClass::Auth, "a").await.is_ok());
        assert!(limiter.take(RateClass::Auth, "a").await.is_err());
        clock.advance(allowance.window);
        assert_eq!(limiter.take(RateClass::Auth, "a").await.unwrap().unwrap().requests, allowance.requests - 1);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_no_client_is_locked_out() {
        let (limiter, _) = limiter();
        for n in 0..MOST_LOCAL_KEYS + 10 {
            assert!(limiter.take(RateClass::Read, &n.to_string()).await.is_ok());
        }
        assert!(limiter.0.local.lock().unwrap().len() <= MOST_LOCAL_KEYS);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_an_allowance() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("192.0.2.1"), "192.0.2.1");
    }
}
