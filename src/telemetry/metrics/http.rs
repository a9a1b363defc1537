//! Answered HTTP requests.

use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::book::{Book, Buckets};

const BUCKETS: Buckets = Buckets(&[0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);

const METHODS: &[&str] = &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// The metrics of requests.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<[(&'static str, String); 3], Histogram, Buckets>,
}

impl HttpMetrics {
    pub(super) fn register(book: &mut Book) -> Self {
        let requests = Family::new_with_constructor(BUCKETS);
        let help = "Time until the head of the answer, by the pattern of the route and the class of the status";
        Self { requests: book.seconds("http_request", &["method", "route", "status"], help, requests) }
    }

    /// Records an answered request; `route` is the pattern, such as `/api/servers/{id}`, never the path itself, and
    /// missing when no route matched.
    pub fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        let method = METHODS.iter().find(|known| **known == method).unwrap_or(&"other");
        let class = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        let labels = [
            ("method", (*method).to_owned()),
            ("route", route.unwrap_or("none").to_owned()),
            ("status", class.to_owned()),
        ];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }
}
