//! `carom import`: the links of a file.
//!
//! A CSV file is read twice. The first pass judges every row (`survey`), by what is set for hosts (`rules`) and by where
//! it leads (`onward`), and compares it with what is stored; only if that leaves something to be done does the second
//! write the rows that differ. Into a data directory that no server runs on, that is one set, all or nothing (`here`); a
//! running server gets them as lines, over its API (`send`). Lines of JSON go there as they are, server or not.

mod here;
mod input;
mod onward;
mod report;
mod rules;
mod send;
mod survey;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum, ValueHint};
use indicatif::ProgressBar;

use super::client::PlaceArguments;
use super::open::{self, StoreArguments};
use super::{Exit, misused};
use crate::engine::EngineConfig;
use crate::transfer::CsvReader;
pub(super) use here::import_file;
use input::{Input, not_imported};

/// Import links from a file, while they are being served or not
///
/// The first line of a CSV file names the columns: `source`, `target` and, if there is one, `status`; other usual
/// names are known too. A row without status is a 301. A link that exists already takes the destination of its row,
/// and keeps what else it says; links that the file does not name stay as they are. If any row is invalid, nothing is
/// changed. Into a data directory that no server runs on, all rows are imported or none; a running server takes them
/// one after the other, and those that it refuses all the same are listed.
///
/// A file of JSON lines, as `carom export` writes them, has links with all that they say, and replaces those that are
/// there. Each line takes effect by itself, with a server or without: those that are refused are listed, and all others
/// are imported.
#[derive(Args)]
pub(super) struct Arguments {
    /// The file; `-` is stdin, for JSON lines
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// What is in it [default: ndjson if its name ends in .ndjson or .jsonl, else csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What is done with a target that leads to another link: take it, or refuse it; of JSON lines also to take the
    /// target at the end instead [default: allow]
    #[arg(long, value_enum)]
    chains: Option<ImportChains>,
    /// What is done with a link that is there already: replace it; refuse the line; or change target and status alone.
    /// Only for JSON lines [default: upsert]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Change nothing; say what would be done. Only for CSV
    #[arg(long)]
    dry_run: bool,
    /// Leave invalid rows out and import the rest. Only for CSV; JSON lines always do so
    #[arg(long)]
    keep_going: bool,
    /// Print the sums, and the first 100 lines that failed, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    place: PlaceArguments,
}

/// What is done with a target that leads to another link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ImportChains {
    /// It is taken as it is
    Allow,
    /// The row or line is refused
    Refuse,
    /// The target at the end of the chain is taken; only for JSON lines
    Flatten,
}

impl ImportChains {
    /// Its name, as the API has it.
    fn name(self) -> &'static str {
        match self {
            ImportChains::Allow => "allow",
            ImportChains::Refuse => "refuse",
            ImportChains::Flatten => "flatten",
        }
    }
}

/// What is done with links that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// They are replaced
    Upsert,
    /// They stay, and the line is refused
    Create,
    /// Their target and status are changed, and nothing else; lines say no more than these
    Destination,
}

impl Mode {
    /// Its name, as the API has it.
    fn name(self) -> &'static str {
        match self {
            Mode::Upsert => "upsert",
            Mode::Create => "create",
            Mode::Destination => "destination",
        }
    }
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

/// How to import rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImportOptions {
    /// Leave invalid rows out and import the rest.
    pub(super) keep_going: bool,
    /// Say what was done as JSON.
    pub(super) json: bool,
    /// What is done with rows that lead to other links.
    pub(super) chains: RowChains,
}

/// What is done with rows that lead to other links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowChains {
    /// They are counted.
    Allow,
    /// They are invalid.
    Refuse,
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

/// Imports the file, or says what that would do.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { file, format, chains, mode, dry_run, keep_going, json, store, place } = arguments;
    if format.unwrap_or_else(|| Format::of(file)) == Format::Ndjson {
        if *dry_run || *keep_going {
            return Ok(misused(&"--dry-run and --keep-going are for CSV files; this is one of JSON lines"));
        }
        if store.store.is_some() {
            return Ok(misused(
                &"--store is for CSV files; to have JSON lines in that store, begin the data directory with `carom serve --store`",
            ));
        }
        if let (Some(chains), Some(Mode::Destination)) = (chains, mode) {
            let chains = chains.name();
            return Ok(misused(&format!("--chains {chains} can't be said together with --mode destination")));
        }
        return send::lines(file, place, *mode, *chains, *json);
    }
    if mode.is_some() {
        return Ok(misused(&"--mode is for JSON lines; a row of CSV changes target and status of a link"));
    }
    let chains = match chains {
        None | Some(ImportChains::Allow) => RowChains::Allow,
        Some(ImportChains::Refuse) => RowChains::Refuse,
        Some(ImportChains::Flatten) => {
            return Ok(misused(
                &"--chains flatten is for JSON lines; --chains refuse lists the rows of a CSV file that lead to others",
            ));
        }
    };
    let options = ImportOptions { keep_going: *keep_going, json: *json, chains };
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
    // A server that has begun to answer meanwhile is asked.
    let Some(engine) = open::unless_served(&config)? else { return run(arguments) };
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
    CsvReader::new(Input::twice(file, &ProgressBar::hidden())?).with_context(|| not_imported(file))?;
    Ok(())
}
