//! The command line: one file a subcommand. Raw arguments in, exit code out.
//!
//! clap reads the raw arguments; each subcommand checks them into what it works with. Results go to stdout;
//! errors, bad rows and warnings to stderr, where every message begins with `carom:`, but for the bad rows.

mod backup;
mod changes;
mod client;
mod completions;
mod counting;
mod exit;
mod export;
mod host;
mod import;
mod link;
mod man;
mod open;
mod output;
mod rebuild;
mod report;
mod resolve;
mod restore;
mod serve;
mod stats;
mod status;
mod table;
mod text;
mod token;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub use exit::Exit;

#[derive(Parser)]
#[command(name = "carom", version, about, max_term_width = 100, after_help = exit::HELP, subcommand_required = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(after_help = exit::HELP)]
    Serve(serve::RawArguments),
    #[command(after_help = exit::HELP)]
    Link(link::Arguments),
    #[command(after_help = exit::HELP)]
    Host(host::Arguments),
    #[command(after_help = exit::HELP)]
    Token(token::Arguments),
    #[command(after_help = exit::HELP)]
    Changes(changes::Arguments),
    #[command(after_help = exit::HELP)]
    Stats(Box<stats::Arguments>),
    #[command(after_help = exit::HELP)]
    Import(import::Arguments),
    #[command(after_help = exit::HELP)]
    Export(export::Arguments),
    #[command(after_help = exit::HELP)]
    Resolve(resolve::Arguments),
    #[command(after_help = exit::HELP)]
    Status(status::Arguments),
    #[command(after_help = exit::HELP)]
    Backup(backup::Arguments),
    #[command(after_help = exit::HELP)]
    Restore(restore::Arguments),
    #[command(after_help = exit::HELP)]
    Verify(verify::Arguments),
    #[command(after_help = exit::HELP)]
    Rebuild(rebuild::Arguments),
    #[command(after_help = exit::HELP)]
    Completions(completions::Arguments),
    #[command(after_help = exit::HELP)]
    Man(man::Arguments),
}

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command,
        Err(error) => return explain(&error).into(),
    };
    let result = match command {
        Command::Serve(raw) => match raw.check() {
            Ok(arguments) => serve::run(arguments),
            Err(error) => return misused(&error).into(),
        },
        Command::Link(arguments) => link::run(&arguments),
        Command::Host(arguments) => host::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Changes(arguments) => changes::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Resolve(raw) => match raw.check() {
            Ok(arguments) => resolve::run(arguments),
            Err(error) => return misused(&error).into(),
        },
        Command::Status(arguments) => status::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Rebuild(arguments) => rebuild::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    };
    let exit = result.unwrap_or_else(|error| {
        if error.is::<text::Unread>() {
            return Exit::Done;
        }
        text::tell!("carom: {}", text::with_causes(&error));
        Exit::Failed
    });
    exit.into()
}

/// Says what is wrong with the arguments.
fn misused(error: &dyn std::fmt::Display) -> Exit {
    text::tell!("carom: {error}");
    Exit::Usage
}

/// Prints what clap has to say: help, the version, or what is wrong with the arguments.
fn explain(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // Nobody reads it any more if this fails.
        let _ = error.print();
        return Exit::Done;
    }
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        text::tell!("{}", text.trim_end());
        return Exit::Usage;
    }
    text::tell!("carom: {}", text.strip_prefix("error: ").unwrap_or(&text).trim_end());
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }
}
