//! `carom man`: the manual pages.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};

use super::{Exit, text};

/// Print the manual page of carom, or write all of them into a directory
#[derive(Args)]
pub(super) struct Arguments {
    /// Write the pages of carom and all its subcommands into this directory, which is created if it is missing
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints or writes them.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let command = super::Arguments::command().disable_help_subcommand(true);
    match &arguments.dir {
        Some(dir) => {
            let not_written = || format!("the pages can't be written to {}", dir.display());
            std::fs::create_dir_all(dir).with_context(not_written)?;
            clap_mangen::generate_to(command, dir).with_context(not_written)?;
            text::line(&format!(
                "Wrote the pages to {}; read them with `man -l {}`",
                dir.display(),
                dir.join("carom.1").display()
            ))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            text::line(String::from_utf8_lossy(&page).trim_end())?;
        }
    }
    Ok(Exit::Done)
}
