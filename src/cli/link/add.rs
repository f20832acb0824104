//! `carom link add`.

use anyhow::Result;
use clap::Args;

use super::fields::Fields;
use super::view::{self, LinkView};
use crate::cli::client::{PlaceArguments, Purpose, Request};
use crate::cli::{Exit, text};

/// Create a link
///
/// Without a key, a code is generated, for --host or for any host. A link that is there already is left as it is, and
/// the exit code is 1, unless --upsert replaces it.
#[derive(Args)]
pub(super) struct Arguments {
    /// What the link is to be found by, such as `go.example/sale`, or `/sale` for any host
    #[arg(conflicts_with = "host")]
    key: Option<String>,
    /// The host for which a code is generated
    #[arg(long)]
    host: Option<String>,
    /// Where it redirects to: an absolute http(s) URL
    #[arg(long, value_name = "URL", required_unless_present = "status")]
    target: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Replace all that the link says if it is there already
    #[arg(long, requires = "key")]
    upsert: bool,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Creates the link, and shows it.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { key, host, target, fields, upsert, json, place } = arguments;
    let mut object = fields.object();
    for (name, value) in [("key", key), ("host", host), ("target", target)] {
        if let Some(value) = value {
            object.insert(name.to_owned(), value.as_str().into());
        }
    }
    let mut request = Request::post(&["links"], object).parameter_if("chains", fields.chains.as_deref());
    if *upsert {
        request = request.parameter("upsert", "true");
    }
    let answer = place.with(Purpose::Write, |client| client.ask(request))?;
    if *json {
        text::line(&answer.json())?;
        return Ok(Exit::Done);
    }
    let link: LinkView = answer.read()?;
    let done = if answer.status == 201 { "created" } else { "replaced" };
    text::line(&format!("{done} {}", view::short(&link)))?;
    Ok(Exit::Done)
}
