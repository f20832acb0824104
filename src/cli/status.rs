//! `carom status`: how a running server stands.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::client::{Request, ask_running};
use super::open::{DEFAULT_DATA, TAKES_NO_REQUESTS};
use super::{Exit, text};
use crate::control_plane::Connection;
use crate::engine::holder;

/// Say how the server of a data directory stands, and whether it accepts changes
///
/// Exit code 1 if none runs there.
#[derive(Args)]
pub(super) struct Arguments {
    /// Where the links are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
}

/// Asks the server.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { data, json } = arguments;
    let said = match json {
        true => ask_running(data, Request::get(&["status"]))?.map(|answer| answer.json()).transpose()?,
        false => Connection::open(data)?.map(Connection::status).transpose()?,
    };
    if let Some(said) = said {
        text::line(said.trim_end())?;
        return Ok(Exit::Done);
    }
    match holder(data)? {
        Some(holder) => {
            text::tell!("carom: no server answers for {}. {holder} uses it, and {TAKES_NO_REQUESTS}", data.display())
        }
        None => text::tell!("carom: no server runs on {}", data.display()),
    }
    Ok(Exit::Failed)
}
