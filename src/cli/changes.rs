//! `carom changes`: who changed what, and when.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::{Client, List, Lost, Page, PlaceArguments, Purpose, Request};
use super::text::{self, count};
use super::{Exit, misused};

/// How long is waited before it is looked for more.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest time that is waited before a server that is gone is looked for again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

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
    /// Show those that are made from now on, or after --after, until it is stopped; also when the server is started again
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
    #[serde(default)]
    refused: bool,
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
    if arguments.follow {
        return follow(arguments);
    }
    arguments.place.with(Purpose::Read, |client| match arguments.after {
        Some(mut after) => print_after(client, arguments, &mut after),
        None => print_newest(client, arguments),
    })?;
    Ok(Exit::Done)
}

/// Prints what is changed until it is stopped, also over restarts of the server.
fn follow(arguments: &Arguments) -> Result<Exit> {
    let Arguments { place, after, .. } = arguments;
    let mut after = *after;
    let mut has_answered = false;
    let mut outage: Option<Duration> = None;
    loop {
        let followed = place.with_running(|client| -> Result<Infallible> {
            let mut last = match after {
                Some(after) => after,
                None => {
                    let newest: Newest = client.ask(Request::get(&["changes"]).parameter("limit", "1"))?.read()?;
                    newest.newest
                }
            };
            loop {
                let printed = print_after(client, arguments, &mut last);
                after = Some(last);
                printed?;
                has_answered = true;
                outage = None;
                std::thread::sleep(PAUSE);
            }
        });
        let reason = match followed {
            Ok(Some(never)) => match never {},
            Err(error) if has_answered && Lost::may_pass(&error) => text::with_causes(&error),
            Err(error) => return Err(error),
            Ok(None) if has_answered => format!("no server runs on {}", place.data().display()),
            Ok(None) => {
                return Ok(misused(&format!(
                    "no server runs on {}, so nothing is changed; --follow shows the changes that a running server makes",
                    place.data().display()
                )));
            }
        };
        let pause = outage.map_or(PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        if outage.is_none() {
            text::tell!("carom: {reason}. Waiting until it answers again; ctrl-C ends that");
        }
        outage = Some(pause);
        std::thread::sleep(pause);
    }
}

#[derive(Deserialize)]
struct Newest {
    newest: u64,
}

/// Prints those after a record, oldest first, and takes note of the last one.
fn print_after(client: &mut Client, arguments: &Arguments, last: &mut u64) -> Result<()> {
    let from = last.to_string();
    // The cursor of a page says where it goes on, and in which direction.
    let request =
        |is_first: bool| Request::get(&["changes"]).parameter_if("after", Some(from.as_str()).filter(|_| is_first));
    client.pages(&CHANGES, request, arguments.limit, |page| {
        let oldest = page.number("oldest").unwrap_or(0);
        if let Some(newest) = page.number("newest").filter(|newest| arguments.follow && newest < last) {
            text::tell!(
                "carom: WARNING: the log ends with the record {newest} now, before the record {last}: an older state was restored, or \
                 it is another log. What comes after {newest} is shown"
            );
            *last = newest;
            return Ok(());
        }
        if oldest > last.saturating_add(1) {
            tell_gone(*last + 1, oldest - 1);
            *last = oldest - 1;
        }
        print(page, arguments.json, last)
    })
}

/// Prints all, newest first.
fn print_newest(client: &mut Client, arguments: &Arguments) -> Result<()> {
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let (mut oldest, mut last) = (None, 0);
    client.pages(
        &CHANGES,
        |_| Request::get(&["changes"]),
        arguments.limit,
        |page| {
            oldest = oldest.or_else(|| page.number("oldest"));
            left -= page.lines().count() as u64;
            print(page, arguments.json, &mut last)
        },
    )?;
    // What was there when it began.
    match oldest {
        Some(oldest) if left > 0 && last > oldest => tell_gone(oldest, last - 1),
        _ => {}
    }
    Ok(())
}

fn print(page: &Page, is_json: bool, last: &mut u64) -> Result<()> {
    for (line, record) in page.lines().zip(page.read::<Record>()?) {
        match is_json {
            true => text::line(line)?,
            false => text::line(&shown(&record))?,
        }
        *last = record.sequence;
    }
    Ok(())
}

fn tell_gone(first: u64, last: u64) {
    text::tell!(
        "carom: WARNING: the records {first} to {last} are gone: the log was cut below the snapshots that are kept; `carom \
         serve --snapshots-kept` keeps more"
    );
}

/// A record in one line.
fn shown(record: &Record) -> String {
    let Record { sequence, time, actor, refused, kind, commands } = record;
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
    let refused = if *refused { "refused: " } else { "" };
    format!("{sequence}  {}  {actor}  {refused}{what}", text::to_the_second(time))
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
        let refused =
            r#"{"sequence":7,"time":"2030-01-01T00:00:00Z","actor":"","refused":true,"kind":"links","commands":[]}"#;
        assert_eq!(shown(&serde_json::from_str(refused).unwrap()), "7  2030-01-01T00:00:00Z  -  refused: links ");
    }
}
