//! `carom man`: the manual pages.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Arg, Args, Command, CommandFactory, ValueHint};
use clap_mangen::Man;

use super::client::TOKEN_FILE_VARIABLE;
use super::{Exit, exit, text};

/// Print the manual page of carom, or write all of them into a directory
///
/// Where `man carom` finds them: in `man1` below a directory of `manpath`, such as `/usr/local/share/man/man1`, or
/// `~/.local/share/man/man1` for one user.
#[derive(Args)]
pub(super) struct Arguments {
    /// Write the pages of carom and all its subcommands into this directory, which is created if it is missing
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// Prints or writes them.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    match &arguments.dir {
        Some(dir) => {
            let not_written = || format!("the pages can't be written to {}", dir.display());
            std::fs::create_dir_all(dir).with_context(not_written)?;
            write_all(&command, dir).with_context(not_written)?;
            text::line(&format!(
                "Wrote the pages to {}; read them with `man -l {}`",
                dir.display(),
                dir.join("carom.1").display()
            ))?;
        }
        None => {
            let page = page(&command)?;
            text::line(String::from_utf8_lossy(&page).trim_end())?;
        }
    }
    Ok(Exit::Done)
}

fn write_all(command: &Command, dir: &Path) -> io::Result<()> {
    std::fs::write(dir.join(format!("{}.1", name(command))), page(command)?)?;
    command.get_subcommands().try_for_each(|command| write_all(command, dir))
}

/// `carom-link-add`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    // Without one it would have no names of values.
    let man = Man::new(command.clone().override_usage(synopsis(command)))
        .title(name(command))
        .source(concat!("carom ", env!("CARGO_PKG_VERSION")))
        .manual("Carom");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    writeln!(page, ".SH \"EXIT STATUS\"")?;
    for (code, meaning) in exit::MEANINGS {
        writeln!(page, ".TP\n.B {}\n{meaning}", code as u8)?;
    }
    let has = |id: &str| command.get_arguments().any(|argument| argument.get_id() == id);
    let variables = [
        (
            has("token_file"),
            TOKEN_FILE_VARIABLE,
            "The file that holds the token for \\-\\-server, unless \\-\\-token\\-file names one.",
        ),
        (has("ascii"), "NO_COLOR", "If it is set and not empty, charts are drawn with plain characters."),
    ];
    if variables.iter().any(|(is_read, ..)| *is_read) {
        writeln!(page, ".SH ENVIRONMENT")?;
    }
    for (_, variable, meaning) in variables.into_iter().filter(|(is_read, ..)| *is_read) {
        writeln!(page, ".TP\n.B {variable}\n{meaning}")?;
    }
    Ok(page)
}

/// How it is called, with the names of values.
fn synopsis(command: &Command) -> String {
    let mut words = vec![command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned()];
    let (positional, options): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .partition(|argument| argument.is_positional());
    words.extend(options.into_iter().chain(positional).map(|argument| {
        let more = matches!(argument.get_action(), clap::ArgAction::Append).then_some("...").unwrap_or_default();
        let name = argument.get_long().map(|long| format!("--{long}"));
        let is_optional = argument.get_num_args().is_some_and(|values| values.min_values() == 0);
        let value = argument.get_value_names().filter(|_| argument.get_action().takes_values()).map(|names| {
            let names = names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ");
            // Such a value stands behind `=`.
            if is_optional { format!("[={names}]") } else { names }
        });
        let separator = if name.is_some() && value.is_some() && !is_optional { " " } else { "" };
        let word = format!("{}{separator}{}{more}", name.unwrap_or_default(), value.unwrap_or_default());
        if argument.is_required_set() { word } else { format!("[{word}]") }
    }));
    if command.has_subcommands() {
        words.push("<COMMAND>".to_owned());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synopsis_has_the_names_of_values() {
        let mut command = crate::cli::Arguments::command().disable_help_subcommand(true);
        command.build();
        let of = |name: &str, sub: &str| synopsis(command.find_subcommand(name).unwrap().find_subcommand(sub).unwrap());
        let add = of("link", "add");
        assert!(add.starts_with("carom link add [--host <HOST>] [--target <URL>] "), "{add}");
        assert!(add.contains(" [--tag <TAG>...] ") && add.contains(" [--disabled[=<BOOL>]] "), "{add}");
        assert!(add.contains(" [--json] ") && add.ends_with(" [<KEY>]"), "{add}");
        let add = of("token", "add");
        assert!(add.starts_with("carom token add --name <NAME> --scope <SCOPE> "), "{add}");
        assert!(of("link", "rm").ends_with(" <KEY>..."), "{add}");
        let all = synopsis(&command);
        assert!(all.starts_with("carom [") && all.ends_with(" <COMMAND>"), "{all}");
    }
}
