//! The `zpack` executable: parse the command line and call one role.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use zpack::cli::{Cli, Command};
use zpack::roles::output::Output;
use zpack::roles::{self, settings};

/// Returns memory to the system soon after it was freed, whichever thread it was allocated by (docs/operations.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(status) => status,
        Err(error) => roles::exit::report(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let source = settings::source(&cli.env_file, cli.log_level.as_deref())?;
    let output = Output { json: cli.json };
    if cli.command.keeps_a_log() {
        settings::start_logging(&source)?;
    }
    // The long-lived roles are boxed: nested in one future, they are deeper than an optimising compiler looks.
    match cli.command {
        Command::Serve => Box::pin(roles::serve::run(&source)).await?,
        Command::Worker { queue } => Box::pin(roles::worker::run(&source, queue)).await?,
        Command::Dev(args) => Box::pin(roles::dev::run(&source, args, output)).await?,
        Command::Sim(args) => roles::sim::run(&source, args, output).await?,
        Command::Migrate(command) => return roles::migrate::run(&source, command, output).await,
        Command::Doctor => return roles::doctor::run(&source, output).await,
        Command::Ops(command) => roles::ops::run(&source, command, output).await?,
        Command::Queue(command) => roles::queue::run(&source, command, output).await?,
        Command::Lease(command) => return roles::lease::run(&source, command, output).await,
        Command::User(command) => roles::user::run(&source, command, output).await?,
        Command::Openapi => roles::openapi::run()?,
        Command::Completions { shell } => roles::completions::run(shell)?,
        Command::Man { dir } => roles::man::run(dir.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}
