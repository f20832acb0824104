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
use clap::Args;

use super::client::{Client, PlaceArguments, Purpose, Request};
use super::{Exit, text};
use views::{BreakdownView, TopView, UniquesView};

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
    #[arg(long, value_name = "N", group = "what", conflicts_with = "key", help_heading = "What")]
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
    #[arg(long, short, value_name = "FILE", requires = "export", help_heading = "What")]
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
    #[arg(long, value_name = "N", requires = "by")]
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

impl Arguments {
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
        return text::line(&answer.json());
    }
    let view: BreakdownView = answer.read()?;
    text::line(&format!("{}\nFrom {} to {}.", view.shown(arguments.is_plain(), 0), view.from, view.to))
}

fn top(client: &mut Client, arguments: &Arguments, links: u64) -> Result<()> {
    let answer = client.ask(arguments.ask("top").parameter("limit", &links.to_string()))?;
    if arguments.json {
        return text::line(&answer.json());
    }
    let view: TopView = answer.read()?;
    // Those of a tag are kept by day, so that the range may be another than was asked for.
    let range = arguments.tag.as_ref().map(|_| format!("\nFrom {} to {}.", view.from, view.to));
    text::line(&format!("{}{}", view.shown(), range.unwrap_or_default()))
}

fn uniques(client: &mut Client, arguments: &Arguments) -> Result<()> {
    let answer = client.ask(arguments.ask("uniques"))?;
    if arguments.json {
        return text::line(&answer.json());
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
