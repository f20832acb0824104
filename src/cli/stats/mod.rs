//! `carom stats`: what was clicked.
//!
//! - `overview`: the usual answer: counts, people, a chart, and by what clicks differ. `chart`: draws it. `views`: answers
//!   of the API for people. `live`: clicks as they come. `export`: the counts of links, as a file.

mod chart;
mod export;
mod live;
mod overview;
mod views;

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::TypedValueParser;
use clap::{Args, ValueHint};

use super::client::{Client, PlaceArguments, Purpose, Request};
use super::{Exit, text};
use views::{BreakdownView, TopView, UniquesView};

/// What is shown where nothing else is asked for.
const OVERVIEW: &str = "the overview";

/// By what clicks are told apart.
const DIMENSIONS: [&str; 4] = ["referrer", "country", "device", "language"];

/// How long a step may be.
const STEPS: [&str; 5] = ["minute", "hour", "day", "week", "month"];

/// Show what was clicked: how often, when, by how many people, and from where
///
/// Of a link, of the links on a host or with a tag, or of all; of the last 30 days, unless told otherwise. Counts are exact;
/// numbers of people are estimates, and what clicks differ by may be a sample.
#[derive(Args)]
pub(super) struct Arguments {
    /// The link, such as `go.example/sale`, or `/sale` for any host
    #[arg(conflicts_with_all = ["host", "tag", "all"])]
    key: Option<String>,
    /// Of the links on this host; `*` for those of any host
    #[arg(long, conflicts_with_all = ["tag", "all"], help_heading = "Of what")]
    host: Option<String>,
    /// Of the links that had this tag when they were clicked
    #[arg(long, conflicts_with = "all", help_heading = "Of what")]
    tag: Option<String>,
    /// Of all links
    #[arg(long, help_heading = "Of what")]
    all: bool,

    /// From this day or time on, such as 2030-01-31 or 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", help_heading = "When")]
    from: Option<String>,
    /// Up to this day or time, which is not in it any more
    #[arg(long, value_name = "TIME", help_heading = "When")]
    to: Option<String>,
    /// The time zone of days, such as Europe/Berlin [default: UTC]
    #[arg(long, help_heading = "When")]
    zone: Option<String>,
    /// How long each step of the chart is [default: what fits]
    #[arg(long, value_parser = STEPS, help_heading = "When")]
    step: Option<String>,

    /// Show only by what clicks of people differ
    #[arg(long, value_name = "DIMENSION", value_parser = DIMENSIONS, group = "what", help_heading = "What")]
    by: Option<String>,
    /// Show only so many links that were clicked most
    #[arg(long, value_name = "N", value_parser = entries(), group = "what", conflicts_with = "key", help_heading = "What")]
    top: Option<u64>,
    /// Show only how many people clicked
    #[arg(long, group = "what", help_heading = "What")]
    uniques: bool,
    /// Show each click as it comes, until it is stopped
    #[arg(long, group = "what", conflicts_with_all = ["tag", "from", "to"], help_heading = "What")]
    live: bool,
    /// Write the counts of each link
    #[arg(long, value_name = "FORMAT", value_parser = ["csv", "ndjson"], group = "what", conflicts_with = "json", help_heading = "What")]
    export: Option<String>,
    /// The file for --export, which is replaced if it is there [default: stdout]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "export", help_heading = "What")]
    output: Option<PathBuf>,
    /// How fine the counts of --export are [default: day]
    #[arg(long, value_parser = ["quarter", "day", "month"], requires = "export", help_heading = "What")]
    granularity: Option<String>,
    /// Delete all that was counted of the link
    #[arg(long, group = "what", requires = "key", conflicts_with_all = ["from", "to", "json"], help_heading = "What")]
    delete: bool,
    /// Do not ask before --delete
    #[arg(long, requires = "delete", help_heading = "What")]
    yes: bool,

    /// Most values for --by [default: 10]
    #[arg(long, value_name = "N", value_parser = entries(), requires = "by")]
    limit: Option<u64>,
    /// Draw the chart with plain characters, as where stdout is no terminal or NO_COLOR is set
    #[arg(long)]
    ascii: bool,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Does what is asked.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    if arguments.key.is_none() && arguments.host.is_none() && arguments.tag.is_none() && !arguments.all {
        return Ok(super::misused(
            &"say of what: of a link, such as go.example/sale, or --host HOST, --tag TAG or --all",
        ));
    }
    if let Some(error) = arguments.idle() {
        return Ok(super::misused(&error));
    }
    if arguments.delete {
        return delete(arguments);
    }
    if arguments.live && !arguments.place.is_served()? {
        return Ok(super::misused(&format!(
            "no server runs on {}, so nothing is clicked; --live shows the clicks of a running server",
            arguments.place.data().display()
        )));
    }
    arguments.place.with(Purpose::AskClicks, |client| {
        if let Some(dimension) = &arguments.by {
            by(client, arguments, dimension)?;
        } else if let Some(links) = arguments.top {
            top(client, arguments, links)?;
        } else if arguments.uniques {
            uniques(client, arguments)?;
        } else if arguments.live {
            live::follow(client, arguments)?;
        } else if let Some(format) = &arguments.export {
            export::write(client, arguments, format)?;
        } else {
            overview::show(client, arguments)?;
        }
        Ok(Exit::Done)
    })
}

/// How many entries of a list can be asked for.
fn entries() -> impl TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=100)
}

impl Arguments {
    /// What is asked for, as its argument.
    fn what(&self) -> &'static str {
        let what = [
            (self.by.is_some(), "--by"),
            (self.top.is_some(), "--top"),
            (self.uniques, "--uniques"),
            (self.live, "--live"),
            (self.export.is_some(), "--export"),
            (self.delete, "--delete"),
        ];
        what.into_iter().find_map(|(is_given, name)| is_given.then_some(name)).unwrap_or(OVERVIEW)
    }

    /// Refuses what would do nothing. clap itself lets an argument pass that needs another one, where that conflicts with
    /// a third one that is there.
    fn idle(&self) -> Option<String> {
        let what = self.what();
        let only = [
            (self.step.is_some(), "--step", &[OVERVIEW][..]),
            (self.ascii, "--ascii", &[OVERVIEW, "--by"]),
            (self.limit.is_some(), "--limit", &["--by"]),
            (self.output.is_some(), "--output", &["--export"]),
            (self.granularity.is_some(), "--granularity", &["--export"]),
            (self.yes, "--yes", &["--delete"]),
            (self.zone.is_some(), "--zone", &[OVERVIEW, "--by", "--top", "--uniques", "--export"]),
        ];
        only.into_iter()
            .find(|(is_given, _, whats)| *is_given && !whats.contains(&what))
            .map(|(_, name, whats)| format!("{name} does nothing with {what}; it is for {}", whats.join(", ")))
    }

    /// A question about what was asked for.
    fn of(&self, question: &str) -> Request {
        Request::get(&["stats", question])
            .parameter_if("key", self.key.as_deref())
            .parameter_if("host", self.host.as_deref())
            .parameter_if("tag", self.tag.as_deref())
    }

    /// The same about the time that was asked for.
    fn ask(&self, question: &str) -> Request {
        self.of(question)
            .parameter_if("from", self.from.as_deref())
            .parameter_if("to", self.to.as_deref())
            .parameter_if("zone", self.zone.as_deref())
    }

    /// What was asked for, for people.
    fn subject(&self) -> String {
        let Arguments { key, host, tag, .. } = self;
        match (key, host, tag) {
            (Some(key), _, _) => key.clone(),
            (_, Some(host), _) => format!("the links on {host}"),
            (_, _, Some(tag)) => format!("the links with the tag {tag}"),
            _ => "all links".to_owned(),
        }
    }

    /// Whether only plain characters are drawn with.
    fn is_plain(&self) -> bool {
        let has_no_color = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.ascii || has_no_color() || !std::io::stdout().is_terminal()
    }
}

fn by(client: &mut Client, arguments: &Arguments, dimension: &str) -> Result<()> {
    let limit = arguments.limit.map(|limit| limit.to_string());
    let request = arguments.ask("breakdown").parameter("by", dimension).parameter_if("limit", limit.as_deref());
    let answer = client.ask(request)?;
    if arguments.json {
        return text::line(&answer.json()?);
    }
    let view: BreakdownView = answer.read()?;
    text::line(&format!("{}\nFrom {} to {}.", view.shown(arguments.is_plain(), 0), view.from, view.to))
}

fn top(client: &mut Client, arguments: &Arguments, links: u64) -> Result<()> {
    let answer = client.ask(arguments.ask("top").parameter("limit", &links.to_string()))?;
    if arguments.json {
        return text::line(&answer.json()?);
    }
    let view: TopView = answer.read()?;
    // Those of a tag are kept by day, so that the range may be another than was asked for.
    let range = arguments.tag.as_ref().map(|_| format!("\nFrom {} to {}.", view.from, view.to));
    text::line(&format!("{}{}", view.shown(), range.unwrap_or_default()))
}

fn uniques(client: &mut Client, arguments: &Arguments) -> Result<()> {
    let answer = client.ask(arguments.ask("uniques"))?;
    if arguments.json {
        return text::line(&answer.json()?);
    }
    let view: UniquesView = answer.read()?;
    text::line(&format!("{}, from {} to {}", view.shown(), view.from, view.to))
}

fn delete(arguments: &Arguments) -> Result<Exit> {
    let Some(key) = &arguments.key else { return Ok(super::misused(&"--delete needs the key of a link")) };
    if !arguments.yes {
        if !std::io::stdin().is_terminal() {
            return Ok(super::misused(&"nobody can be asked whether the clicks are to be deleted; give --yes"));
        }
        text::tell!("All that was counted of {key} will be deleted, for good. Type `yes` to go on:");
        let mut said = String::new();
        std::io::stdin().lock().read_line(&mut said)?;
        if said.trim() != "yes" {
            text::tell!("carom: nothing was deleted");
            return Ok(Exit::Failed);
        }
    }
    arguments.place.with(Purpose::AskClicks, |client| {
        client.ask(Request::delete(&["stats"]).parameter("key", key))?;
        text::say!("deleted the clicks of {key}");
        Ok(Exit::Done)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::{Arguments as All, Command};

    /// What is said of arguments, by clap or by the check after it; nothing of those that go together.
    fn said(words: &str) -> Option<String> {
        match All::try_parse_from(format!("carom stats {words}").split_whitespace()) {
            Ok(All { command: Command::Stats(arguments) }) => arguments.idle(),
            Ok(_) => panic!("not stats"),
            Err(error) => Some(error.to_string()),
        }
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        let whats = ["", "--by country", "--top 3", "--uniques", "--live", "--export csv", "--delete --yes"];
        // Each with those that it goes with, by their places.
        let table: [(&str, &[usize]); 8] = [
            ("--step day", &[0]),
            ("--ascii", &[0, 1]),
            ("--limit 1", &[1]),
            ("-o a.csv", &[5]),
            ("--granularity month", &[5]),
            ("--yes", &[]),
            ("--zone UTC", &[0, 1, 2, 3, 5]),
            ("--json", &[0, 1, 2, 3, 4]),
        ];
        for (argument, fitting) in table {
            for (place, what) in whats.into_iter().enumerate() {
                for subject in ["--all", "go.example/sale"] {
                    let fits_subject = !(subject == "--all" && place == 6 || subject != "--all" && place == 2);
                    let refused = said(&format!("{subject} {what} {argument}"));
                    let expected = fitting.contains(&place) && fits_subject;
                    assert_eq!(refused.is_none(), expected, "{subject} {what} {argument}: {refused:?}");
                }
            }
        }
        let error = said("--all --top 3 --limit 1").unwrap();
        assert!(error.contains("--limit does nothing with --top; it is for --by"), "{error}");
        assert!(said("--all --top 0").unwrap().contains("1..=100"));
    }
}
