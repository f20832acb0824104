//! `carom import`: the links of a file.
//!
//! The file is read twice. The first pass judges every row and compares it with what is stored; only if that
//! leaves something to be done does the second write the rows that differ. Into a data directory that no server runs
//! on, that is one set, all or nothing (`here`); a running server gets them as lines, over its API (`send`).

mod here;
mod input;
mod send;
mod survey;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;

use super::client::PlaceArguments;
use super::open::{self, StoreArguments};
use super::{Exit, misused, text};
use crate::engine::EngineConfig;
use crate::transfer::CsvReader;
pub(super) use here::import_file;
use input::{Input, not_imported};

/// Import links from a file, while they are being served or not
///
/// The first line of a CSV file names the columns: `source`, `target` and, if there is one, `status`; other usual
/// names are known too. A row without status is a 301. A link that exists already takes the destination of its row,
/// and keeps what else it says; links that the file does not name stay as they are. If any row is invalid, nothing is
/// changed. Into a data directory that no server runs on, all links are imported or none; a running server takes them
/// one after the other, and those that it refuses are listed.
///
/// A file of JSON lines, as `carom export` writes them, has links with all that they say, and replaces those that are
/// there.
#[derive(Args)]
pub(super) struct Arguments {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What is in it [default: ndjson if its name ends in .ndjson or .jsonl, else csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Change nothing; say what would be done. Only for CSV
    #[arg(long)]
    dry_run: bool,
    /// Leave invalid rows out and import the rest
    #[arg(long)]
    keep_going: bool,
    /// Print the sums as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    place: PlaceArguments,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Rows with source, target and status
    Csv,
    /// A line of JSON for each link, with all that it says
    Ndjson,
}

impl Format {
    /// What a file holds by its name.
    pub(super) fn of(file: &Path) -> Self {
        let extension = file.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("ndjson" | "jsonl") => Format::Ndjson,
            _ => Format::Csv,
        }
    }
}

/// How to import.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImportOptions {
    /// Leave invalid rows out and import the rest.
    pub(super) keep_going: bool,
    /// Say what was done as JSON.
    pub(super) json: bool,
}

/// How an import ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImportOutcome {
    /// All that is valid in the file, or all of it, is there now.
    Done,
    /// Nothing was changed, since the file has invalid rows.
    InvalidRows,
}

impl From<ImportOutcome> for Exit {
    fn from(outcome: ImportOutcome) -> Self {
        match outcome {
            ImportOutcome::Done => Exit::Done,
            ImportOutcome::InvalidRows => Exit::InvalidRows,
        }
    }
}

/// What an import did, or would do.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    created: u64,
    replaced: u64,
    unchanged: u64,
    failed: u64,
}

impl Sums {
    /// For `--json`.
    fn print(self) -> Result<()> {
        let Sums { created, replaced, unchanged, failed } = self;
        let sums = json!({"created": created, "replaced": replaced, "unchanged": unchanged, "failed": failed});
        text::line(&sums.to_string())
    }
}

/// Imports the file, or says what that would do.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { file, format, dry_run, keep_going, json, store, place } = arguments;
    let options = ImportOptions { keep_going: *keep_going, json: *json };
    if format.unwrap_or_else(|| Format::of(file)) == Format::Ndjson {
        if *dry_run || *keep_going {
            return Ok(misused(&"--dry-run and --keep-going are for CSV files; this is one of JSON lines"));
        }
        return send::lines(file, place, options);
    }
    check_header(file)?;
    if place.is_served()? {
        if store.store.is_some() {
            bail!("a running server has its store already; leave --store out, or stop the server");
        }
        return match dry_run {
            true => send::dry_run(file, place, options),
            false => send::rows(file, place, options),
        };
    }
    let data = place.data();
    if *dry_run && !data.join("log").is_dir() {
        return Ok(here::dry_run(None, file, options)?.into());
    }
    // The caches are for those who serve.
    let config = EngineConfig { cache_bytes: 0, store: store.store, ..EngineConfig::new(data.to_owned()) };
    let engine = open::engine(&config)?;
    let outcome = match dry_run {
        true => here::dry_run(Some(engine.engine()), file, options),
        false => import_file(engine.engine(), file, options),
    };
    let closed = engine.close();
    let outcome = outcome?;
    closed?;
    Ok(outcome.into())
}

/// Looks whether the file is there and names its columns. To be called before a data directory is created: a file
/// that can't be imported should leave nothing behind.
pub(super) fn check_header(file: &Path) -> Result<()> {
    CsvReader::new(Input::open(file, &ProgressBar::hidden())?).with_context(|| not_imported(file))?;
    Ok(())
}
