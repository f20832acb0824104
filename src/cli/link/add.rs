//! `carom link add`.

use anyhow::{Result, anyhow};
use clap::{Args, ValueHint};

use super::fields::{CHAIN, Fields};
use super::view::{self, LinkView};
use crate::cli::client::{PlaceArguments, Problem, Purpose, Request};
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
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, required_unless_present = "status")]
    target: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Replace all that the link says if it is there already
    #[arg(long, requires = "key", conflicts_with = "host")]
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
    // A repeated request for a generated code would make another link; for a key, it would find the first one.
    let answer = match key {
        Some(_) => place.with(Purpose::Write, |client| client.ask(request)),
        None => place.ask_once(request),
    };
    let answer = answer.map_err(|error| {
        let exists = ("exists", "`--upsert` replaces it, and `carom link set` changes parts of it");
        Problem::with_way_out(error, &[exists, CHAIN])
    })?;
    let link: LinkView = answer.read()?;
    let done = if answer.status == 201 { "created" } else { "replaced" };
    let shown = if *json { answer.json()? } else { format!("{done} {}", view::short(&link)) };
    text::line(&shown).map_err(|error| match key {
        Some(_) => error,
        // Nobody could know its code otherwise.
        None => anyhow!("the link {} was {done}, but can't be shown: {}", link.key, text::with_causes(&error)),
    })?;
    Ok(Exit::Done)
}
