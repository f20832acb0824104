//! `carom completions`: what a shell needs to complete the command line.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Exit;

/// Print the completions for a shell
///
/// For bash: `mkdir -p ~/.local/share/bash-completion/completions && carom completions bash >
/// ~/.local/share/bash-completion/completions/carom`; for zsh, into a file `_carom` in a directory of `$fpath`; for fish:
/// `mkdir -p ~/.config/fish/completions && carom completions fish > ~/.config/fish/completions/carom.fish`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Which shell
    #[arg(value_parser = PossibleValuesParser::new(["bash", "zsh", "fish"]))]
    shell: String,
}

/// Prints them.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let shell = match arguments.shell.as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        _ => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::Arguments::command(), "carom", &mut script);
    super::text::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
