//! `zpack man`: manual pages, generated from the command line definitions.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use super::output;
use crate::cli::Cli;

/// Prints the page of `zpack`, or writes the pages of all subcommands to `dir`.
pub fn run(dir: Option<&Path>) -> anyhow::Result<()> {
    let command = Cli::command();
    if let Some(dir) = dir {
        let what = || format!("cannot write the manual pages to {}", dir.display());
        std::fs::create_dir_all(dir).with_context(what)?;
        return clap_mangen::generate_to(command, dir).with_context(what);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).context("cannot render the manual page")?;
    output::raw(&page)
}
