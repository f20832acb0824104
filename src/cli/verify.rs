//! `carom verify`: whether a backup or a data directory is sound.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueHint};

use super::open::{self, DEFAULT_DATA};
use super::text::{count, count_of, grouped, hex, line_if_read};
use super::{Exit, report, text};
use crate::engine::{DirectoryReport, EngineConfig, SnapshotReport, StoreReport, verify_directory, verify_file};

/// Read all of a backup or of a data directory, and list what is damaged
///
/// Log and snapshots are only read. Exit code 1 if anything is damaged.
#[derive(Args)]
pub(super) struct Arguments {
    /// A backup, or a snapshot of a data directory; without it, the data directory is verified
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The data directory. No server may run on it; verify a backup instead, or stop it
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// Also build the state anew from the newest snapshot and the log, and compare the store with it
    #[arg(long, conflicts_with = "file")]
    deep: bool,
}

/// Verifies, and says what was found.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    match &arguments.file {
        Some(file) => {
            // What is not there is not damaged.
            File::open(file).with_context(|| format!("{} can't be opened", file.display()))?;
            of_file(&verify_file(file))
        }
        None => of_directory(&arguments.data, arguments.deep),
    }
}

fn of_file(found: &SnapshotReport) -> Result<Exit> {
    let SnapshotReport { path, bytes, survey, .. } = found;
    let damages: Vec<String> = survey.damages.iter().map(ToString::to_string).collect();
    if let Some(manifest) = &survey.manifest {
        let size = count(*bytes, "byte");
        line_if_read(&format!("Snapshot: {}, {size}\n{}", path.display(), report::snapshot(manifest)))?;
    }
    verdict(&damages)
}

/// Lists the damages, and says how it ends.
fn verdict(damages: &[String]) -> Result<Exit> {
    for damage in damages {
        text::tell!("carom: {damage}");
    }
    match damages.len() {
        0 => {
            line_if_read("All of it is sound.")?;
            Ok(Exit::Done)
        }
        number => {
            text::tell!("carom: {} found", count(number as u64, "damage"));
            Ok(Exit::Failed)
        }
    }
}

fn of_directory(data: &Path, deep: bool) -> Result<Exit> {
    open::check_is_data(data)?;
    if let Some(holder) = open::wait_until_free(data)? {
        bail!(
            "the data directory {} is in use by {holder}, which serves it. Take a backup with `carom backup` and verify that, or \
             stop that process first",
            data.display()
        );
    }
    let config = EngineConfig { cache_bytes: 0, ..EngineConfig::new(data.to_owned()) };
    let DirectoryReport { log, snapshots, store, rebuilt, damages } = verify_directory(&config, deep)?;
    line_if_read(&format!("Log:      {}, {}", count(log.segments, "segment"), count(log.records, "record")))?;
    if let (Some(first), Some(end)) = (log.first, &log.end) {
        line_if_read(&format!("          {first} to {} of the log {}, epoch {}", end.sequence, end.log_id, end.epoch))?;
        line_if_read(&format!("Chain:    {}", hex(&end.chain.0)))?;
        if let Some(torn) = &end.torn {
            line_if_read(&format!(
                "Torn:     {} ends with an unfinished record at offset {} ({}). No change that was acknowledged is lost; \
                 the next start cuts it off",
                torn.path.display(),
                torn.offset,
                torn.reason
            ))?;
        }
    }
    for snapshot in &snapshots {
        let holds = match &snapshot.survey.manifest {
            Some(manifest) => format!(
                "record {}, {}, digest {}",
                manifest.header.sequence,
                count_of(manifest.entries, "entry", "entries"),
                hex(&manifest.digest)
            ),
            None => "damaged".to_owned(),
        };
        let continues = match snapshot.continues {
            Some(true) => "; the log goes on from it",
            Some(false) => "; the log does not go on from it",
            None => "",
        };
        line_if_read(&format!("Snapshot: {}: {holds}{continues}", snapshot.path.display()))?;
    }
    match &store {
        Some(store) => print_store(store)?,
        None => line_if_read("Store:    none that can be used; the next start builds it")?,
    }
    if deep {
        match &rebuilt {
            Some(state) => {
                line_if_read(&format!("Rebuilt:  {} of links, digest {}", grouped(state.entries), hex(&state.hash)))?
            }
            None => {
                line_if_read("Rebuilt:  no, since that makes sense only where all else is sound and there is a store")?
            }
        }
    }
    verdict(&damages)
}

fn print_store(store: &StoreReport) -> Result<()> {
    let StoreReport { path, kind, position, state, operations, hosts, tokens, behind } = store;
    let at = position.as_ref().map_or("no record".to_owned(), |position| format!("record {}", position.sequence));
    let behind = match behind {
        0 => String::new(),
        behind => format!("; the next start applies {}", count(*behind, "record")),
    };
    line_if_read(&format!("Store:    {}, {kind}, at {at}{behind}", path.display()))?;
    if let Some(state) = state {
        line_if_read(&format!(
            "          {} of links, {} with settings, {}, {}, digest {}",
            count_of(state.entries, "entry", "entries"),
            count(*hosts, "host"),
            count(*tokens, "token"),
            count(*operations, "remembered operation"),
            hex(&state.hash)
        ))?;
    }
    Ok(())
}
