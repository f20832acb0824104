//! `carom link list`.

use anyhow::Result;
use clap::Args;

use super::view;
use crate::cli::client::{List, PlaceArguments, Purpose, Request};
use crate::cli::table::PagedTable;
use crate::cli::{Exit, text};
use crate::link::LinkState;

/// List links, in the order of their keys
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print the API's JSON, a line for each link
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Which links.
#[derive(Args)]
pub(in crate::cli) struct Filter {
    /// Those of this host; `*` for those of any host
    #[arg(long, help_heading = "Which")]
    host: Option<String>,
    /// Those whose path and query begin with this
    #[arg(long, value_name = "PATH", help_heading = "Which")]
    path_prefix: Option<String>,
    /// Those with this tag
    #[arg(long, help_heading = "Which")]
    tag: Option<String>,
    /// Those with this text in target or title; upper and lower case are the same
    #[arg(long, help_heading = "Which")]
    text: Option<String>,
    /// Those that stand so
    #[arg(long, value_parser = LinkState::ALL.map(LinkState::name), help_heading = "Which")]
    state: Option<String>,
    /// Those that were created then or later, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", help_heading = "Which")]
    created_from: Option<String>,
    /// Those that were created before
    #[arg(long, value_name = "TIME", help_heading = "Which")]
    created_to: Option<String>,
}

impl Filter {
    /// The request for these only.
    pub(in crate::cli) fn of(&self, request: Request) -> Request {
        let parameters = [
            ("host", &self.host),
            ("path_prefix", &self.path_prefix),
            ("tag", &self.tag),
            ("text", &self.text),
            ("state", &self.state),
            ("created_from", &self.created_from),
            ("created_to", &self.created_to),
        ];
        parameters.into_iter().fold(request, |request, (name, value)| request.parameter_if(name, value.as_deref()))
    }
}

/// Prints them, page by page.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { filter, limit, json, place } = arguments;
    // Each page is laid out by itself, so that millions of links need no memory.
    let mut table = PagedTable::narrowed(&view::COLUMNS, 3);
    place.with(Purpose::Read, |client| {
        let request = |_| filter.of(Request::get(&["links"]));
        client.pages(&List::new("links"), request, *limit, |page| match json {
            true => page.lines().try_for_each(text::line),
            false => table.print(view::rows(page.read()?)),
        })
    })?;
    Ok(Exit::Done)
}
