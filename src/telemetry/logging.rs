//! Where log lines go and how they look: standard error, for people on a terminal and as JSON lines elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::kernel::text_enum;

text_enum! {
    /// How a log line looks.
    pub enum LogFormat {
        /// For people on a terminal, as JSON elsewhere.
        Auto = "auto",
        /// For people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter directives are wrong.
    #[error("`{directives}` is not a log filter")]
    Filter {
        /// What was given.
        directives: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody set it up before.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
}

/// Libraries that tell at `info` what we tell ourselves. They are heard from warnings on, unless a directive names them.
const QUIET: &str = "actix_server=warn,sea_orm_migration=warn";

/// Sends the log lines of this process that pass `directives` to standard error.
pub fn init(directives: &str, format: LogFormat) -> Result<(), LoggingError> {
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
    if human {
        lines.with_ansi(terminal).compact().finish().try_init().map_err(LoggingError::Twice)
    } else {
        lines.json().flatten_event(true).finish().try_init().map_err(LoggingError::Twice)
    }
}
