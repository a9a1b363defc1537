//! Rate limits that all API processes share through Redis, and what happens without it.

use std::time::Duration;

use zpack::kernel::{Clock, Timestamp};
use zpack::web::{Code, RateClass, RateLimiter};

use crate::support::{PrivateRedis, lists_at};

fn limiter(url: String, clock: &Clock) -> RateLimiter {
    let lists = lists_at(url);
    RateLimiter::new(clock.clone(), Some(lists.connection()))
}

async fn allowed(limiter: &RateLimiter, class: RateClass, times: u32) -> u32 {
    let mut allowed = 0;
    for _ in 0..times {
        match limiter.take(class, "key").await {
            Ok(_) => allowed += 1,
            Err(error) => assert_eq!(error.code(), Code::RateLimited),
        }
    }
    allowed
}

#[tokio::test]
async fn two_processes_count_together_and_an_allowance_refills() {
    let redis = PrivateRedis::start();
    let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
    let (one, two) = (limiter(redis.url(), &clock), limiter(redis.url(), &clock));
    let allowance = RateClass::Auth.allowance().unwrap();
    let most = allowance.requests;
    // The first connection may take longer than a limiter waits; then it counts alone for a while.
    for limiter in [&one, &two] {
        limiter.take(RateClass::Auth, "another key").await.unwrap();
    }
    clock.advance(Duration::from_secs(10));
    let both = allowed(&one, RateClass::Auth, most).await + allowed(&two, RateClass::Auth, most).await;
    assert_eq!(both, most);
    clock.advance(allowance.window);
    assert_eq!(allowed(&two, RateClass::Auth, most + 5).await, most);
}

#[tokio::test]
async fn without_redis_each_process_counts_for_itself() {
    let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
    let alone = limiter("redis://127.0.0.1:1/".to_owned(), &clock);
    let most = RateClass::Write.allowance().unwrap().requests;
    assert_eq!(allowed(&alone, RateClass::Write, most + 5).await, most);
}
