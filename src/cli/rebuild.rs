//! `carom rebuild`: the store anew, from the newest snapshot and the log.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::open::{self, DEFAULT_DATA};
use super::{Exit, text};
use crate::engine::{self, EngineConfig, Rebuilt, SnapshotError};
use crate::store::StoreKind;

/// Build the store anew from the newest snapshot and the log, or change its kind
///
/// The old store is set aside, compared with the new one, and removed if they hold the same. There must be room for
/// both. No server may run on the data directory.
#[derive(Args)]
pub(super) struct Arguments {
    /// Where the links are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// What is to hold the links [default: what holds them now]
    #[arg(long, value_enum)]
    store: Option<StoreKind>,
    /// Keep the old store, too
    #[arg(long)]
    keep: bool,
}

/// Builds it, and says what is in it.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { data, store, keep } = arguments;
    let started = Instant::now();
    open::check_is_data(data)?;
    let config = EngineConfig { cache_bytes: 0, store: *store, ..EngineConfig::new(data.clone()) };
    let kind = config.store_kind();
    let rebuilt = engine::rebuild(&config, *keep)?;
    let Rebuilt { state, before, kept, report, .. } = &rebuilt;
    let snapshot_errors: Vec<String> = report.unreadable.iter().map(SnapshotError::to_string).collect();
    for error in snapshot_errors {
        text::tell!("carom: WARNING: a snapshot could not be read: {error}");
    }
    text::say!(
        "Built:    {kind} in {:.1} s, from {} of a snapshot and {} of the log\n\
         Holds:    {} of links\n\
         Digest:   {}",
        started.elapsed().as_secs_f64(),
        text::count_of(report.loaded_entries, "entry", "entries"),
        text::count(report.applied_records, "record"),
        text::count_of(state.entries, "entry", "entries"),
        text::hex(&state.hash)
    );
    match before {
        Ok(_) if rebuilt.agrees() => text::say!("Before:   the same"),
        Ok(other) => text::tell!(
            "carom: the store before held something else: {} of links, with the digest {}",
            text::count_of(other.entries, "entry", "entries"),
            text::hex(&other.hash)
        ),
        Err(reason) => text::say!("Before:   not compared: {reason}"),
    }
    if let Some(kept) = kept {
        text::say!("Kept:     {}; delete it when nobody wants to look into it", kept.display());
    }
    Ok(if rebuilt.agrees() { Exit::Done } else { Exit::Failed })
}
