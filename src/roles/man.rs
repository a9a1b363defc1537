//! `zpack man`: manual pages, made from the command line itself.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use super::output;
use crate::cli::Cli;

/// Prints the page of `zpack`, or writes those of all subcommands into `dir`.
pub fn run(dir: Option<&Path>) -> anyhow::Result<()> {
    let command = Cli::command();
    if let Some(dir) = dir {
        let what = || format!("cannot write the manual pages into {}", dir.display());
        std::fs::create_dir_all(dir).with_context(what)?;
        return clap_mangen::generate_to(command, dir).with_context(what);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).context("cannot render the manual page")?;
    output::raw(&page)
}
