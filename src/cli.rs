//! The command line: every subcommand and flag.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::db::entities::debt::DebtState;
use crate::db::entities::operation::OperationState;
use crate::db::entities::user::Role;
use crate::jobs::Queue;
use crate::kernel::{DebtId, OperationId};

const EXAMPLES: &str = "\
Examples:
  zpack dev                                           run the whole company on this machine
  zpack migrate up                                    create or update the tables
  zpack doctor                                        see what is wrong with settings and peers
  zpack --env-file .zpack/zpack.env ops list --json   look at the company that `zpack dev` runs
  zpack worker provision                              work on provisioning jobs until SIGTERM";

/// Control plane of a hosting company: game servers and dev containers on Proxmox VE.
#[derive(Debug, Parser)]
#[command(name = "zpack", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Read settings from this file of NAME=value lines; the last of several wins, the environment wins over all.
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,

    /// Print JSON instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,

    /// Log from this level on: error, warn, info, debug, trace, or directives such as `info,zpack::jobs=debug`.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the HTTP API and the agent poller.
    Serve,
    /// Run a worker of one queue.
    Worker {
        /// The queue to work on.
        #[command(subcommand)]
        queue: WorkerCommand,
    },
    /// Run everything on this machine against a simulated world; nothing needs configuration.
    Dev(DevArgs),
    /// Run the simulated world alone.
    Sim(SimArgs),
    /// Create and update the tables of the database.
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Check every setting and every peer; exit 1 when something is wrong.
    Doctor,
    /// Look at operations, or give one up.
    #[command(subcommand)]
    Ops(OpsCommand),
    /// Look at queues, stop and start them.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// See who leads where only one process may.
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Create accounts and change what they may do.
    #[command(subcommand)]
    User(UserCommand),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all subcommands.
    Man {
        /// Write one page per subcommand into this directory.
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
    /// Make servers.
    Provision,
}

/// The roles `zpack dev` can run inside its own process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DevRole {
    /// The HTTP API and the agent poller.
    Serve,
    /// The provisioning worker.
    Provision,
}

/// Flags of `zpack dev`.
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Port of the API; 0 picks a free one.
    #[arg(long, default_value_t = 4000)]
    pub port: u16,
    /// Port of the simulator's control; 0 picks a free one.
    #[arg(long, default_value_t = 4001)]
    pub sim_port: u16,
    /// Where everything is kept over a restart.
    #[arg(long, value_name = "DIR", default_value = ".zpack")]
    pub data_dir: PathBuf,
    /// Seconds of simulated work are multiplied by this.
    #[arg(long, value_name = "FACTOR", default_value_t = 0.1, value_parser = time_scale)]
    pub time_scale: f64,
    /// Run only these roles in this process; others can join by `--env-file <DIR>/zpack.env`. Empty for none.
    #[arg(long, value_name = "ROLES", value_delimiter = ',', num_args = 0.., default_value = "serve,provision")]
    pub roles: Vec<DevRole>,
}

/// Flags of `zpack sim`.
#[derive(Clone, Debug, Args)]
pub struct SimArgs {
    /// Port of the control listener; 0 picks a free one.
    #[arg(long, default_value_t = 4001)]
    pub port: u16,
    /// Where the world is kept over a restart; without it the world forgets.
    #[arg(long, value_name = "FILE")]
    pub state_file: Option<PathBuf>,
    /// Seconds of simulated work are multiplied by this.
    #[arg(long, value_name = "FACTOR", default_value_t = 0.1, value_parser = time_scale)]
    pub time_scale: f64,
    /// Port of every agent, on its container's own address.
    #[arg(long, default_value_t = 18_888)]
    pub agent_port: u16,
}

/// What to do with the schema of the database.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum MigrateCommand {
    /// Run the migrations that were not run yet; processes that do so at once take turns.
    Up,
    /// List the migrations and when they were run.
    Status,
    /// Compare the tables with what this zpack expects; exit 1 when it cannot work with them.
    Check,
}

/// What to do with operations.
#[derive(Debug, Subcommand)]
pub enum OpsCommand {
    /// List operations, the newest first.
    List {
        /// Only those in this state.
        #[arg(long)]
        state: Option<OperationState>,
        /// Only those that wait for an operator or are still being undone.
        #[arg(long)]
        unsettled: bool,
        /// How many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
    },
    /// Show one operation with its steps and what it left behind.
    Show {
        /// Its id.
        id: OperationId,
    },
    /// Give up an operation that is queued, or whose leftovers nobody can remove; what it left stays listed.
    Abandon {
        /// Its id.
        id: OperationId,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List what operations left outside, the oldest first.
    Debts {
        /// Those in this state.
        #[arg(long, default_value_t = DebtState::Open)]
        state: DebtState,
        /// How many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
    },
    /// Take debts off the books: what is left is gone by hand, or stays. With the last debt of a server its VMID, host name
    /// and port are free again.
    Release {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<DebtId>,
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
}

/// What to do with queues.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List the queues: how much waits, since when, who works on it.
    List,
    /// Show one queue and the operations that wait or run in it.
    Show {
        /// Its name.
        queue: Queue,
    },
    /// List operations that no worker will touch again by itself.
    Dead {
        /// Only those of this queue.
        queue: Option<Queue>,
    },
    /// Offer a queued operation again at once, or let workers try once more to undo one that is held.
    Requeue {
        /// Its id.
        id: OperationId,
    },
    /// Stop handing out work; what runs goes on.
    Pause {
        /// Its name.
        queue: Queue,
    },
    /// Hand out work again.
    Resume {
        /// Its name.
        queue: Queue,
    },
}

/// What to do with leases.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum LeaseCommand {
    /// Show who leads, how fresh its last sign of life is, and whether Redis agrees.
    Show,
    /// Stand for election and write a line to the audit log at every tick; for tests of failover, not in production.
    #[command(hide = true)]
    Campaign {
        /// Milliseconds from one tick to the next.
        #[arg(long, default_value_t = 1000)]
        tick_ms: u64,
        /// Let every term have a task that blocks its thread for ever.
        #[arg(long)]
        stuck: bool,
    },
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create an account. Without `--password-stdin` a password is made and printed once.
    Create {
        /// Address.
        #[arg(long)]
        email: String,
        /// Name; the part of the address before the @ when not given.
        #[arg(long)]
        username: Option<String>,
        /// What the account may do.
        #[arg(long, default_value_t = Role::Customer)]
        role: Role,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List accounts.
    List,
    /// Change what an account may do, from its next request on.
    SetRole {
        /// Address or name of the account.
        user: String,
        /// What it may do from now on.
        role: Role,
    },
}

fn time_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if (0.0..=100.0).contains(&scale) => Ok(scale),
        _ => Err("expected a number from 0 to 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_runs_every_role_unless_told_otherwise() {
        let dev = |line: &[&str]| match Cli::try_parse_from(line).unwrap().command {
            Command::Dev(args) => args,
            other => panic!("{other:?}"),
        };
        assert_eq!(dev(&["zpack", "dev"]).roles, [DevRole::Serve, DevRole::Provision]);
        assert_eq!(dev(&["zpack", "dev", "--roles", "serve"]).roles, [DevRole::Serve]);
        assert_eq!(dev(&["zpack", "dev", "--roles=serve,provision"]).roles.len(), 2);
        assert!(dev(&["zpack", "dev", "--roles"]).roles.is_empty());
        assert!(Cli::try_parse_from(["zpack", "dev", "--time-scale", "-1"]).is_err());
    }
}
