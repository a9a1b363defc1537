//! `zpack completions`: the completion script of a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::output;
use crate::cli::Cli;

/// Prints the script for `shell`.
pub fn run(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "zpack", &mut script);
    output::raw(&script)
}
