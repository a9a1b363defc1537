//! `zpack dev` and `zpack sim`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::time_scale;

/// The examples of `zpack dev`.
pub(super) const DEV_EXAMPLES: &str = "\
Examples:
  zpack dev                               API on port 4000, simulator on 4001
  zpack dev --port 0 --sim-port 0         on free ports, beside another one
  zpack dev --time-scale 1                as slowly as the real peers
  zpack dev --roles serve                 the API alone, without a worker
  zpack dev --roles                       neither; only Redis and the peers
  zpack --env-file .zpack/zpack.env worker provision
                                          in a second terminal: the worker";

/// The roles `zpack dev` can run inside its own process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DevRole {
    /// The HTTP API and the agent poller.
    Serve,
    /// The provisioning worker.
    Provision,
}

/// Arguments of `zpack dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Port of the API; 0 picks a free one.
    #[arg(long, default_value_t = 4000)]
    pub port: u16,
    /// Port of the simulator's control API; 0 picks a free one.
    #[arg(long, value_name = "PORT", default_value_t = 4001)]
    pub sim_port: u16,
    /// Directory that keeps the state between runs.
    #[arg(long, value_name = "DIR", default_value = ".zpack")]
    pub data_dir: PathBuf,
    /// Multiply the seconds of simulated work by this factor, from 0 to 100.
    #[arg(long, value_name = "FACTOR", default_value_t = 0.1, value_parser = time_scale)]
    pub time_scale: f64,
    /// Roles to run in this process, separated by commas; none without a value. The others join from a second terminal.
    #[arg(long, value_name = "ROLE,...", value_delimiter = ',', num_args = 0..=1, default_value = "serve,provision")]
    pub roles: Vec<DevRole>,
}

/// Arguments of `zpack sim`.
#[derive(Clone, Debug, Args)]
pub struct SimArgs {
    /// Port of the control API; 0 picks a free one.
    #[arg(long, default_value_t = 4001)]
    pub port: u16,
    /// File that keeps the state between runs; without it nothing is kept.
    #[arg(long, value_name = "FILE")]
    pub state_file: Option<PathBuf>,
    /// Multiply the seconds of simulated work by this factor, from 0 to 100.
    #[arg(long, value_name = "FACTOR", default_value_t = 0.1, value_parser = time_scale)]
    pub time_scale: f64,
    /// Port of every agent, on the address of its container.
    #[arg(long, value_name = "PORT", default_value_t = 18_888)]
    pub agent_port: u16,
}
