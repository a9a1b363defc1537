//! The command line: every subcommand, argument and help text.
//!
//! The first sentence of a doc comment is the short help (`-h`, and the list of commands); what follows is only in the long
//! one (`--help`).

mod dev;
mod operator;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

pub use self::dev::{DevArgs, DevRole, SimArgs};
pub use self::operator::{LeaseCommand, MigrateCommand, OpsCommand, QueueCommand, UserCommand};

const EXAMPLES: &str = "\
Examples:
  zpack dev                                   run everything on this machine
  zpack --env-file .zpack/zpack.env ops list  inspect what `zpack dev` runs
  zpack migrate up                            create or update the tables
  zpack doctor                                check every setting and peer
  zpack worker provision                      run jobs until SIGTERM";

const EXIT_STATUS: &str = "\
Exit status:
  0   success
  1   failure; `doctor` and `migrate check`: something is wrong
  2   the command line is wrong
  70  a part of a role panicked or ended; a restart brings it back
  75  the database or Redis did not answer, or a leader could not end its
      tasks; the same command may succeed later";

/// The heading of the arguments that every command has.
const GLOBAL: &str = "Global options";

/// Control plane of a hosting company: game servers and dev containers on Proxmox VE.
#[derive(Debug, Parser)]
#[command(
    name = "zpack",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_STATUS}")
)]
pub struct Cli {
    /// Read settings from this file of NAME=value lines; may be repeated, the last one has priority.
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub env_file: Vec<PathBuf>,

    /// Print JSON instead of text.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,

    /// Log level (error, warn, info, debug, trace), or directives such as `info,zpack::jobs=debug`.
    #[arg(long, global = true, value_name = "LEVEL", help_heading = GLOBAL)]
    pub log_level: Option<String>,

    /// Print help; `--help` prints more than `-h`.
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = GLOBAL)]
    help: Option<bool>,

    /// Print the version.
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = GLOBAL)]
    version: Option<bool>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the HTTP API and the agent poller.
    ///
    /// Runs until SIGTERM or Ctrl-C, then finishes the requests under way. The tables must be current: see `zpack migrate`.
    Serve,
    /// Run the worker of a queue.
    Worker {
        /// The queue to work on.
        #[command(subcommand)]
        queue: WorkerCommand,
    },
    /// Run the whole company on this machine, with simulated peers.
    ///
    /// Starts a private Redis, SQLite, the simulated peers, the API and a worker. Needs no settings, and nothing it starts can
    /// be reached from another machine. It prints where everything is; a second terminal joins with
    /// `--env-file DIR/zpack.env`.
    #[command(after_help = dev::DEV_EXAMPLES)]
    Dev(DevArgs),
    /// Run the simulated peers alone.
    ///
    /// Prints the addresses and tokens of all of them. For clients that are developed elsewhere.
    Sim(SimArgs),
    /// Create or update the tables of the database.
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Check every setting and every peer.
    ///
    /// Prints a line for each check, and what to do about those that failed. Exits with 1 when something is wrong.
    Doctor,
    /// Inspect or abandon operations; list or release debts.
    #[command(subcommand, after_help = operator::OPS_EXAMPLES)]
    Ops(OpsCommand),
    /// Inspect queues; pause, resume and requeue.
    #[command(subcommand, after_help = operator::QUEUE_EXAMPLES)]
    Queue(QueueCommand),
    /// Show the leader of each lease.
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Create users and change their roles.
    #[command(subcommand, after_help = operator::USER_EXAMPLES)]
    User(UserCommand),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page for each command.
    Man {
        /// Write the pages into this directory.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

impl Command {
    /// Whether it writes log lines; the others only print their answer, even when the log settings are wrong.
    pub const fn keeps_a_log(&self) -> bool {
        match self {
            Self::Serve | Self::Worker { .. } | Self::Dev(_) | Self::Sim(_) => true,
            Self::Migrate(_) | Self::Ops(_) | Self::Queue(_) | Self::Lease(_) | Self::User(_) => true,
            Self::Doctor | Self::Openapi | Self::Completions { .. } | Self::Man { .. } => false,
        }
    }
}

/// The workers there are.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum WorkerCommand {
    /// Create servers, and change, publish and delete them.
    ///
    /// Works on the queues `provision` and `host`, finishes publications, settles debts and removes orphans. Runs until
    /// SIGTERM or Ctrl-C, then finishes or hands back what is running; a second signal ends it at once.
    Provision,
}
