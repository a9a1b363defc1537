//! Where a command reads its settings from, and the logging they configure.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::{
    EnvFile, Environment, EnvironmentConfig, Layers, LogConfig, MapSource, ProcessEnv, Settings, Source,
};
use crate::telemetry;

/// The settings file that is read if none is named.
const DOT_ENV: &str = ".env";

/// The settings from the command line, which override the environment, which overrides the files of `--env-file` (later
/// files override earlier ones). If no file is named, a development machine reads `.env`.
pub fn source(env_files: &[PathBuf], log_level: Option<&str>) -> anyhow::Result<Layers> {
    let flags = log_level.map(|level| MapSource::default().with("LOG_LEVEL", level).with("RUST_LOG", level));
    let mut layers = Layers::default().over(flags.unwrap_or_default()).over(ProcessEnv);
    for path in env_files.iter().rev() {
        layers = layers.over(EnvFile::read(path)?);
    }
    let dot_env = Path::new(DOT_ENV);
    if env_files.is_empty() && dot_env.is_file() && !is_production(&ProcessEnv) {
        layers = layers.over(EnvFile::read(dot_env)?);
    }
    Ok(layers)
}

/// Whether the settings select production. A malformed value counts as production, to be safe.
pub fn is_production(source: &dyn Source) -> bool {
    EnvironmentConfig::load(source).map_or(true, |config| config.environment == Environment::Production)
}

/// Starts logging as configured.
pub fn start_logging(source: &dyn Source) -> anyhow::Result<()> {
    let config = LogConfig::load(source)?;
    telemetry::init(&config.filter, config.format, colours(source)).context("cannot start logging")
}

/// Whether terminal output may be coloured: not if `NO_COLOR` is set (no-color.org) or the terminal is dumb.
pub fn colours(source: &dyn Source) -> bool {
    let set = |name: &str| source.var(name).ok().flatten().filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|terminal| terminal != "dumb")
}
