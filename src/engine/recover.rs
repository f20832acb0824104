//! From whatever a crash, or a person, left of the store to one that holds the whole log (I1).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::applier::Applier;
use super::writer::{Failure, read_part};
use super::{EngineConfig, OpenError};
use crate::cache::SharedCache;
use crate::clock;
use crate::link::{Payload, SetId, decode_payload};
use crate::log::{ChainHash, KnownDurable, Location, Log, LogError, LogOpened, TornTail};
use crate::store::{Position, SledStore, Store, StoreError};

/// What was found and done when the data directory was opened.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The remains of a write that was never acknowledged.
    pub torn: Option<TornTail>,
    /// The store that could not be used.
    pub set_aside: Option<SetAside>,
    /// How many records were applied to the store.
    pub applied_records: u64,
}

/// A store that could not be used; another was built in its place from the log.
#[derive(Debug)]
pub struct SetAside {
    /// Where it lies now. It can be deleted.
    pub path: PathBuf,
    /// Why it could not be used.
    pub reason: String,
}

pub(super) struct Recovered {
    pub(super) log: Log,
    pub(super) applier: Applier,
    pub(super) report: Recovery,
}

/// Opens log and store and brings the store to the end of the log.
pub(super) fn recover(config: &EngineConfig, shared: Arc<SharedCache>) -> Result<Recovered, OpenError> {
    let path = config.data.join("store");
    // The store first: it is only ever written after the log was synced, so it may show that the end of the log
    // was durable. Then nothing is cut there, and a log that ends before it has lost what was acknowledged.
    let opened = open_store(&path, config.store_cache_bytes)?;
    let log_dir = config.data.join("log");
    if let Err(reason) = &opened
        && !Log::exists(&log_dir)?
    {
        // It can't be built again from a log that is not there.
        return Err(OpenError::NothingUsable { log: log_dir, store: path, reason: reason.clone() });
    }
    let known = opened.as_ref().ok().and_then(|(_, position)| position.as_ref());
    let known = known.map(|position| KnownDurable { log_id: position.log_id, sequence: reaches(position) });
    let LogOpened { log, torn } = Log::open(&log_dir, known)?;
    let mut report = Recovery { torn, ..Recovery::default() };
    let usable = match opened {
        Ok((store, position)) => {
            let position = position.unwrap_or_else(|| beginning(&log));
            unusable_because(&position, &log)?.map_or(Ok((store, position)), Err)
        }
        Err(reason) => Err(reason),
    };
    let (store, position) = match usable {
        Ok(usable) => usable,
        Err(reason) => {
            report.set_aside = Some(set_aside(&path, reason)?);
            (Arc::new(SledStore::open(&path, config.store_cache_bytes)?) as Arc<dyn Store>, beginning(&log))
        }
    };
    let mut applier = Applier::new(store, shared, position);
    report.applied_records = replay(&log, &mut applier)?;
    if report.applied_records > 0 {
        // Once, here, rather than again at the next start.
        applier.store().flush()?;
    }
    Ok(Recovered { log, applier, report })
}

/// The position before the first record.
pub(super) fn beginning(log: &Log) -> Position {
    let chain = ChainHash::genesis(log.id());
    Position { log_id: log.id(), sequence: 0, chain, partial: None, open_sets: Vec::new() }
}

type Opened = (Arc<dyn Store>, Option<Position>);

/// Opens the store and reads how far it is. If its contents are of no use, says why.
///
/// # Errors
/// If the operating system refuses, or sled does for a reason that is not in the files: then the store may well be
/// intact, and building another would be refused alike.
fn open_store(path: &Path, cache_bytes: u64) -> Result<Result<Opened, String>, OpenError> {
    let open = || {
        let store: Arc<dyn Store> = Arc::new(SledStore::open(path, cache_bytes)?);
        let position = store.position()?;
        Ok((store, position))
    };
    // sled does not always answer damaged files with an error.
    match std::panic::catch_unwind(open) {
        Ok(Ok(opened)) => Ok(Ok(opened)),
        Ok(Err(error @ (StoreError::Corrupt(_) | StoreError::Damaged { .. }))) => Ok(Err(error.to_string())),
        Ok(Err(error)) => Err(OpenError::StoreNotOpened { path: path.to_owned(), error }),
        Err(_) => Ok(Err("opening it led to a panic".to_owned())),
    }
}

/// The last record of which a store at this position holds anything.
fn reaches(position: &Position) -> u64 {
    position.sequence + u64::from(position.partial.is_some())
}

/// Why a store that stands at this position is of no use for this log, if it is not. That the log does not end
/// before this position was seen to when it was opened.
fn unusable_because(position: &Position, log: &Log) -> Result<Option<String>, LogError> {
    if position.log_id != log.id() {
        return Ok(Some(format!("it is of the log {}, and the log is {}", position.log_id, log.id())));
    }
    if log.replay(position.sequence + 1)?.chain() != position.chain {
        return Ok(Some(format!("up to record {} it holds another history than the log", position.sequence)));
    }
    Ok(None)
}

/// Moves a store out of the way, under a name that says when.
fn set_aside(path: &Path, reason: String) -> Result<SetAside, OpenError> {
    let aside = path.with_file_name(format!("store.unusable-{}", clock::unix_time_ms()));
    std::fs::rename(path, &aside).map_err(|error| {
        let (from, to) = (path.display(), aside.display());
        OpenError::Io(format!("the store can't be used ({reason}), and renaming {from} to {to} failed"), error)
    })?;
    Ok(SetAside { path: aside, reason })
}

/// Applies what the store lacks; how many records that were.
pub(super) fn replay(log: &Log, applier: &mut Applier) -> Result<u64, OpenError> {
    let applied = applier.position().sequence;
    let open_sets = applier.position().open_sets.clone();
    // The parts of sets that were open at the position lie before it: they are collected again.
    let from = open_sets.iter().map(|set| set.0).min().unwrap_or(applied + 1).min(applied + 1);
    let mut replay = log.replay(from)?;
    let mut records = 0;
    while let Some((location, record)) = replay.next()? {
        let (sequence, time_ms) = (record.sequence, record.time_ms);
        let payload = decode_payload(record.payload)
            .map_err(|error| OpenError::Record { sequence, reason: error.to_string() })?;
        if sequence <= applied {
            if let Payload::SetPart(set, _) = payload {
                applier.collect_part(set, location);
            }
            continue;
        }
        let chain = replay.chain();
        apply_record(log, applier, payload, RecordPlace { sequence, time_ms, chain, location })?;
        records += 1;
    }
    applier.drop_all_sets();
    if records > 0 {
        applier.flush_with_position()?;
    }
    Ok(records)
}

struct RecordPlace {
    sequence: u64,
    time_ms: u64,
    chain: ChainHash,
    location: Location,
}

fn apply_record(log: &Log, applier: &mut Applier, payload: Payload, place: RecordPlace) -> Result<(), OpenError> {
    let RecordPlace { sequence, time_ms, chain, location } = place;
    match payload {
        Payload::Batch(commands) => applier.apply_recovered(&commands, sequence, time_ms, chain)?,
        Payload::SetBegin => applier.begin_set(SetId(sequence), chain),
        Payload::SetPart(set, _) => applier.add_part(set, location, chain),
        Payload::SetCommit(set) => {
            let read = &mut |location| read_part(log, location);
            applier.commit_set(set, time_ms, chain, read, &mut |_| {})?;
        }
    }
    Ok(())
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Log(error) => OpenError::Log(error),
            Failure::Store(error) => OpenError::Store(error),
            Failure::Record { sequence, reason } => OpenError::Record { sequence, reason },
        }
    }
}
