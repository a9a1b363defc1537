//! Tracing setup and the metric registry of a process.

mod logging;
mod metrics;

pub use logging::{LogFormat, LoggingError, init};
pub use metrics::{MEDIA_TYPE, Metrics, Outcome};
