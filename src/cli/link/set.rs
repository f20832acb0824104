//! `carom link set`.

use anyhow::Result;
use clap::{Args, ValueHint};
use serde_json::Value;

use super::fields::{CHAIN, CLEARED, Fields, VERSION};
use super::view;
use crate::cli::client::{PlaceArguments, Problem, Purpose, Request};
use crate::cli::{Exit, misused, text};

/// Change parts of a link; what is not named stays as it is
#[derive(Args)]
pub(super) struct Arguments {
    /// What the link is found by, such as `go.example/sale`, or `/sale` for any host
    key: String,
    /// Where it redirects to: an absolute http(s) URL
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    target: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Say no more about this; may be given several times
    #[arg(long, value_name = "FIELD", value_parser = CLEARED)]
    clear: Vec<String>,
    /// Only if the link has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// Changes the link, and shows it.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { key, target, fields, clear, if_version, json, place } = arguments;
    let mut object = fields.object();
    if let Some(target) = target {
        object.insert("target".to_owned(), target.as_str().into());
    }
    for field in clear {
        let name = field.replace('-', "_");
        let cleared = if name == "tags" { Value::Array(Vec::new()) } else { Value::Null };
        if object.insert(name, cleared).is_some() {
            return Ok(misused(&format!("--clear {field} and a value for it can't both be meant")));
        }
    }
    if object.is_empty() {
        return Ok(misused(&"there is nothing to change; name what is to be set or cleared"));
    }
    let request = Request::patch(&["links", key], object)
        .parameter_if("chains", fields.chains.as_deref())
        .if_version(*if_version);
    let answer = place.with(Purpose::Read, |client| client.ask(request));
    let answer = answer.map_err(|error| Problem::with_way_out(error, &[VERSION, CHAIN]))?;
    if *json {
        text::line(&answer.json()?)?;
    } else {
        text::line(&view::details(&answer.read()?))?;
    }
    Ok(Exit::Done)
}
