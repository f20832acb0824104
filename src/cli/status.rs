//! `carom status`: how a running server stands.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::open::DEFAULT_DATA;
use super::{Exit, text};
use crate::control_plane::Connection;
use crate::engine::holder;

/// Say how the server of a data directory stands, and whether it accepts changes
///
/// Exit code 1 if none runs there.
#[derive(Args)]
pub(super) struct Arguments {
    /// Where the links are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

/// Asks the server.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let data = &arguments.data;
    if let Some(server) = Connection::open(data)? {
        text::say!("{}", server.status()?.trim_end());
        return Ok(Exit::Done);
    }
    match holder(data)? {
        Some(holder) => text::tell!(
            "carom: no server answers for {}. {holder} uses it, and takes no requests: it is another command, or a \
             server that has not finished starting, or one without control socket",
            data.display()
        ),
        None => text::tell!("carom: no server runs on {}", data.display()),
    }
    Ok(Exit::Failed)
}
