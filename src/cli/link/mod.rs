//! `carom link`: the links, one by one.

mod add;
mod fields;
mod list;
mod set;
mod view;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::client::{PlaceArguments, Problem, Purpose, Request};
use super::{Exit, exit, text};

use fields::VERSION;
pub(super) use fields::status_parser;
pub(super) use list::Filter;

/// Create, read, list, change and delete links, while they are being served or not
#[derive(Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(after_help = exit::HELP)]
    Add(Box<add::Arguments>),
    #[command(after_help = exit::HELP)]
    Get(GetArguments),
    #[command(after_help = exit::HELP)]
    List(list::Arguments),
    #[command(after_help = exit::HELP)]
    Set(Box<set::Arguments>),
    #[command(after_help = exit::HELP)]
    Rm(RemoveArguments),
}

/// Show all that a link says
#[derive(Args)]
struct GetArguments {
    /// What the link is found by, such as `go.example/sale`, or `/sale` for any host
    key: String,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Delete links
///
/// With several keys, each is a change of its own: those that can be deleted are.
#[derive(Args)]
struct RemoveArguments {
    /// What the links are found by
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// Only if the link has this version; for one key
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Does what is asked.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    match &arguments.command {
        Command::Add(arguments) => add::run(arguments),
        Command::Get(arguments) => get(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Set(arguments) => set::run(arguments),
        Command::Rm(arguments) => remove(arguments),
    }
}

fn get(arguments: &GetArguments) -> Result<Exit> {
    let answer = arguments.place.with(Purpose::Read, |client| client.ask(Request::get(&["links", &arguments.key])))?;
    if arguments.json {
        text::line(&answer.json()?)?;
    } else {
        text::line(&view::details(&answer.read()?))?;
    }
    Ok(Exit::Done)
}

fn remove(arguments: &RemoveArguments) -> Result<Exit> {
    let RemoveArguments { keys, if_version, place } = arguments;
    if keys.len() > 1 && if_version.is_some() {
        return Ok(super::misused(&"--if-version is for one key"));
    }
    place.with(Purpose::Read, |client| {
        let mut exit = Exit::Done;
        for key in keys {
            match client.ask(Request::delete(&["links", key]).if_version(*if_version)) {
                // The others are to be deleted also if nobody reads this.
                Ok(_) => text::say!("deleted {key}"),
                // The others would fare no better.
                Err(error) if error.downcast_ref().is_some_and(|problem: &Problem| problem.is("rate-limited")) => {
                    return Err(error.context(format!("{key} and what follows it were not deleted")));
                }
                Err(error) if error.is::<Problem>() => {
                    text::tell!("carom: {}", Problem::with_way_out(error, &[VERSION]));
                    exit = Exit::Failed;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(exit)
    })
}
