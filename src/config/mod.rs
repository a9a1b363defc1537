//! Settings: one struct for each concern, read once from an injectable source. All problems are reported together, by
//! name.
//!
//! A section declares its keys beside its struct and reads them in [`Settings::read`]; a [`Key`] has a name, a default,
//! documentation and a safe example. A role is a struct of sections and therefore requires exactly what it uses:
//! `ServeConfig::load(&source)?`. `.env.example` is generated from the same keys.
//!
//! Elsewhere: what the settings are used for. Nothing outside this module reads an environment variable.

mod agent;
mod auth;
mod catalog;
mod database;
mod dns;
mod env_file;
mod environment;
mod example;
mod groups;
mod http;
mod jobs;
mod key;
mod lease;
mod limits;
mod log;
mod metrics;
mod parse;
mod poller;
mod problem;
mod provision;
mod proxmox;
mod reader;
mod redis;
mod retention;
mod role;
mod source;
mod tokens;
mod velocity;
mod zone;

pub use agent::AgentConfig;
pub use auth::AuthConfig;
pub use catalog::CatalogConfig;
pub use database::{DatabaseConfig, DatabaseKind};
pub use dns::{CloudflareConfig, DnsConfig, TechnitiumConfig};
pub use env_file::{EnvFile, EnvFileError, env_line};
pub use environment::{Environment, EnvironmentConfig};
pub use example::env_example;
pub use groups::groups;
pub use http::HttpConfig;
pub use jobs::JobsConfig;
pub use key::{Expects, Group, Key, Presence};
pub use lease::LeaseConfig;
pub use limits::LimitsConfig;
pub use log::LogConfig;
pub use metrics::MetricsConfig;
pub use poller::PollerConfig;
pub use problem::{ConfigProblems, SettingProblem};
pub use provision::ProvisionConfig;
pub use proxmox::{ProxmoxConfig, TlsTrust};
pub use reader::{Reader, Reported, Settings};
pub use redis::{RedisConfig, RedisTarget};
pub use retention::RetentionConfig;
pub use role::{CandidateConfig, DoctorConfig, OperatorConfig, Role, ServeConfig, StoreConfig, WorkerConfig};
pub use source::{Layers, MapSource, ProcessEnv, Source, SourceError};
pub use tokens::TokensConfig;
pub use velocity::{VelocityBridge, VelocityConfig};
pub use zone::ZoneConfig;
