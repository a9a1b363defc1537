//! What is logged, and in which format.

use super::key::{Key, keys};
use super::parse::clip;
use super::reader::{Reader, Reported, Settings};
use crate::telemetry::LogFormat;

keys! { "Log";
    /// The lowest level that is logged, or filter directives such as `info,zpack::jobs=debug`.
    LOG_LEVEL = Key::default("LOG_LEVEL", "info").expects("error, warn, info, debug, trace, or directives");
    /// Overrides `LOG_LEVEL`, as in other Rust programs.
    RUST_LOG = Key::optional("RUST_LOG").expects("directives").example("zpack=debug");
    /// With `auto`, log lines are human-readable on a terminal and JSON elsewhere.
    LOG_FORMAT = Key::default("LOG_FORMAT", "auto").expects("auto, human or json");
}

/// What is logged, and in which format.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Filter directives.
    pub filter: String,
    /// The format of a line.
    pub format: LogFormat,
}

impl Settings for LogConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let level = env.get(&LOG_LEVEL, directives);
        let rust_log = env.optional(&RUST_LOG, directives);
        let format = env.get(&LOG_FORMAT, str::parse);
        Ok(Self { filter: rust_log?.unwrap_or(level?), format: format? })
    }
}

fn directives(text: &str) -> Result<String, String> {
    match text.parse::<tracing_subscriber::filter::Targets>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => text
            .parse::<tracing_subscriber::EnvFilter>()
            .map(|_| text.to_owned())
            .map_err(|_| format!("`{}` is not a log filter", clip(text))),
    }
}
