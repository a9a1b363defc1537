//! The destination and format of log lines: standard error, formatted for people on a terminal and as JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use super::human::HumanLines;
use super::panics;
use crate::kernel::{Clock, text_enum};

text_enum! {
    /// The format of log lines.
    pub enum LogFormat {
        /// For people on a terminal, as JSON elsewhere.
        Auto = "auto",
        /// For people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter directives are wrong.
    #[error("`{directives}` is not a log filter")]
    Filter {
        /// The directives.
        directives: String,
        /// The error.
        source: tracing_subscriber::filter::ParseError,
    },
    /// It was set up before.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
}

/// Libraries that log at `info` what zpack logs itself, and at `error` what any client can cause: a malformed request head.
/// They are limited unless a directive names them.
const QUIET: &str = "actix_http::h1=off,actix_server=warn,sea_orm_migration=warn";

/// Sends the log lines of this process that pass `directives` to standard error, including panics. `colours` allows
/// colours on a terminal.
pub fn init(directives: &str, format: LogFormat, colours: bool) -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::try_new(format!("{QUIET},{directives}"))
        .map_err(|source| LoggingError::Filter { directives: directives.to_owned(), source })?;
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let begun = if human {
        let lines = lines.with_ansi(terminal && colours).event_format(HumanLines { clock: Clock::System });
        lines.finish().try_init().map_err(LoggingError::Twice)
    } else {
        // A line is in at most one span, that of its request.
        lines.json().flatten_event(true).with_span_list(false).finish().try_init().map_err(LoggingError::Twice)
    };
    begun.map(|()| panics::install_hook())
}
