//! `carom changes`: who changed what, and when.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Exit;
use super::client::{Client, List, PlaceArguments, Purpose, Request};
use super::text::{self, count};

/// How long is waited before it is looked for more.
const PAUSE: Duration = Duration::from_secs(1);

/// The list; records may be large, so its pages are short.
const CHANGES: List = List { name: "changes", page_entries: 100 };

/// Show what was changed, by whom and when, newest first
///
/// The log goes back to one of the snapshots that are kept.
#[derive(Args)]
pub(super) struct Arguments {
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only those after the one with this number, oldest first
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Show those that are made from now on, or after --after, until it is stopped
    #[arg(long, conflicts_with = "limit")]
    follow: bool,
    /// Print the API's JSON, a line for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// As much of the API's change as is shown.
#[derive(Deserialize)]
struct Record {
    sequence: u64,
    time: String,
    actor: String,
    kind: String,
    commands: Vec<Command>,
}

#[derive(Deserialize)]
struct Command {
    op: String,
    key: String,
    says: Option<Map<String, Value>>,
}

/// Prints them.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    arguments.place.with(Purpose::Read, |client| {
        let mut after = arguments.after;
        if !arguments.follow {
            print(client, arguments, after)?;
            return Ok(Exit::Done);
        }
        if after.is_none() {
            let newest: Newest = client.ask(Request::get(&["changes"]).parameter("limit", "1"))?.read()?;
            after = Some(newest.newest);
        }
        loop {
            after = print(client, arguments, after)?;
            std::thread::sleep(PAUSE);
        }
    })
}

#[derive(Deserialize)]
struct Newest {
    newest: u64,
}

/// Prints those after a record, or all; gives the number of the last one.
fn print(client: &mut Client, arguments: &Arguments, after: Option<u64>) -> Result<Option<u64>> {
    let mut last = after;
    let from = after.map(|after| after.to_string());
    // The cursor of a page says where it goes on, and in which direction.
    let request =
        |is_first: bool| Request::get(&["changes"]).parameter_if("after", from.as_deref().filter(|_| is_first));
    client.pages(&CHANGES, request, arguments.limit, |page| {
        for (line, record) in page.lines().zip(page.read::<Record>()?) {
            match arguments.json {
                true => text::line(line)?,
                false => text::line(&shown(&record))?,
            }
            last = Some(record.sequence);
        }
        Ok(())
    })?;
    Ok(last)
}

/// A record in one line.
fn shown(record: &Record) -> String {
    let Record { sequence, time, actor, kind, commands } = record;
    let what = match (kind.as_str(), commands.as_slice()) {
        ("links" | "host" | "token", [command]) => format!("{kind} {}", command_shown(command)),
        ("links", commands) => {
            let keys: Vec<String> = commands.iter().map(|command| format!("{} {}", command.op, command.key)).collect();
            format!("links {}", keys.join(", "))
        }
        ("import_part", commands) => format!("import part: {}", count(commands.len() as u64, "link")),
        (kind, _) => kind.replace('_', " "),
    };
    let actor = if actor.is_empty() { "-" } else { actor };
    format!("{sequence}  {}  {actor}  {what}", text::to_the_second(time))
}

fn command_shown(command: &Command) -> String {
    let Command { op, key, says } = command;
    // JSON has no line ends in it.
    // What a change of parts does not name stays, and what is new says nothing where it is empty.
    let is_said = |value: &Value| op == "patch" || !(value.is_null() || value.as_array().is_some_and(Vec::is_empty));
    let says =
        says.iter().flatten().filter(|(_, value)| is_said(value)).map(|(name, value)| format!(" {name}={value}"));
    format!("{op} {key}{}", says.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line() {
        let record = |kind: &str, commands: &str| -> String {
            let json = format!(
                r#"{{"sequence":7,"time":"2030-01-01T00:00:00.123Z","actor":"local","kind":"{kind}","import":null,
                "commands":{commands}}}"#
            );
            shown(&serde_json::from_str(&json).unwrap())
        };
        let one = r#"{"op":"patch","key":"*/a","precondition":null,"says":{"note":"a\nb","title":null}}"#;
        let two = r#"{"op":"delete","key":"*/b","precondition":null,"says":null}"#;
        let begin = "7  2030-01-01T00:00:00Z  local  ";
        assert_eq!(record("links", &format!("[{one}]")), format!(r#"{begin}links patch */a note="a\nb" title=null"#));
        assert_eq!(record("links", &format!("[{one},{two}]")), format!("{begin}links patch */a, delete */b"));
        assert_eq!(record("import_part", &format!("[{one}]")), format!("{begin}import part: 1 link"));
        assert_eq!(record("import_commit", "[]"), format!("{begin}import commit"));
    }
}
