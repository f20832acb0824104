//! `carom token`: who may ask what of the API.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand, ValueHint};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::{List, PlaceArguments, Problem, Purpose, Request};
use super::table::PagedTable;
use super::{Exit, exit, text};
use crate::link::Scope;

/// Create, list and revoke the tokens of the API
#[derive(Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(after_help = exit::HELP)]
    Add(AddArguments),
    #[command(after_help = exit::HELP)]
    List(ListArguments),
    #[command(after_help = exit::HELP)]
    Rm(RemoveArguments),
}

/// Create a token, which is shown once and never again
#[derive(Args)]
struct AddArguments {
    /// What it is for, such as `deploy`
    #[arg(long, value_parser = name)]
    name: String,
    /// What it allows; each includes the one before
    #[arg(long, value_parser = Scope::ALL.map(Scope::name))]
    scope: String,
    /// Only for this host; may be given several times [default: for all]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Until when, such as 2030-12-31T23:59:59Z [default: until it is revoked]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Write it to this new file, which only its owner may read, instead of stdout
    #[arg(long, value_name = "FILE", conflicts_with = "json", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// List the tokens, without what is secret of them
#[derive(Args)]
struct ListArguments {
    /// Print the API's JSON, a line for each token
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Revoke tokens: they allow nothing any more
#[derive(Args)]
struct RemoveArguments {
    /// Which, as `carom token list` shows them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    place: PlaceArguments,
}

/// By which it is known what a token is for.
fn name(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("a token needs a name, such as `deploy`") } else { Ok(text.to_owned()) }
}

/// As much of the API's token as is shown.
#[derive(Deserialize)]
struct TokenView {
    id: String,
    name: String,
    scope: String,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    created_at: String,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    token: String,
}

/// Does what is asked.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    match &arguments.command {
        Command::Add(arguments) => add(arguments),
        Command::List(arguments) => list(arguments),
        Command::Rm(arguments) => remove(arguments),
    }
}

fn add(arguments: &AddArguments) -> Result<Exit> {
    let AddArguments { name, scope, hosts, expires_at, out, json, place } = arguments;
    let mut object = Map::new();
    object.insert("name".to_owned(), name.as_str().into());
    object.insert("scope".to_owned(), scope.as_str().into());
    if !hosts.is_empty() {
        object.insert("hosts".to_owned(), hosts.clone().into());
    }
    if let Some(time) = expires_at {
        object.insert("expires_at".to_owned(), Value::from(time.as_str()));
    }
    // The file comes first: a token that can't be kept is not made.
    let mut file = out.as_deref().map(create).transpose()?;
    let asked = place.with(Purpose::Write, |client| client.ask(Request::post(&["tokens"], object)));
    let answer = asked.inspect_err(|_| {
        if let Some(out) = out {
            // It is empty.
            let _ = std::fs::remove_file(out);
        }
    })?;
    let token: TokenView = answer.read()?;
    // It is shown only now: if nobody reads it, it is of use to nobody.
    let show = |text: &str| {
        text::line(text).map_err(|error| {
            anyhow!(
                "the token {id} was created, but can't be shown: {}; `carom token rm {id}` revokes it",
                text::with_causes(&error),
                id = token.id
            )
        })
    };
    if *json {
        show(&answer.json()?)?;
        return Ok(Exit::Done);
    }
    match (&mut file, out) {
        (Some(file), Some(out)) => {
            let written = writeln!(file, "{}", token.token).and_then(|()| file.sync_all());
            written.with_context(|| {
                format!("the token {} was created, but can't be written to {}; revoke it", token.id, out.display())
            })?;
            text::tell!("carom: created the token {}, {}, in {}", token.id, token.scope, out.display());
        }
        _ => {
            text::tell!("carom: created the token {}, {}; it is shown only now:", token.id, token.scope);
            show(&token.token)?;
        }
    }
    Ok(Exit::Done)
}

fn create(path: &Path) -> Result<std::fs::File> {
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    created.with_context(|| format!("{} can't be created, and no token was made", path.display()))
}

fn list(arguments: &ListArguments) -> Result<Exit> {
    let ListArguments { json, place } = arguments;
    let mut table = PagedTable::new(&["id", "name", "scope", "hosts", "created", "expires"]);
    place.with(Purpose::Read, |client| {
        client.pages(
            &List::new("tokens"),
            |_| Request::get(&["tokens"]),
            None,
            |page| {
                if *json {
                    return page.lines().try_for_each(text::line);
                }
                let rows = page.read::<TokenView>()?.into_iter().map(|token| {
                    let hosts = if token.hosts.is_empty() { "all".to_owned() } else { token.hosts.join(",") };
                    let until = token.expires_at.as_deref().map_or_else(|| "-".to_owned(), text::to_the_second);
                    vec![token.id, token.name, token.scope, hosts, text::to_the_second(&token.created_at), until]
                });
                table.print(rows.collect())
            },
        )
    })?;
    Ok(Exit::Done)
}

fn remove(arguments: &RemoveArguments) -> Result<Exit> {
    let RemoveArguments { ids, place } = arguments;
    place.with(Purpose::Read, |client| {
        let mut exit = Exit::Done;
        for id in ids {
            match client.ask(Request::delete(&["tokens", id])) {
                // The others are to be revoked also if nobody reads this.
                Ok(_) => text::say!("revoked {id}"),
                Err(error) if error.is::<Problem>() => {
                    text::tell!("carom: {error}");
                    exit = Exit::Failed;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(exit)
    })
}
