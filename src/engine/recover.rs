//! From whatever a crash, or a person, left of the store to one that holds the whole log (I1).

use std::path::PathBuf;
use std::sync::Arc;

use super::OpenError;
use super::applier::{self, Applier};
use super::apply::Rules;
use super::ground::Ground;
use super::snapshot::{self, LoadError, SnapshotError};
use super::views::Views;
use super::writer::{Failure, read_part};
use crate::link::{Operation, Payload, SetId, decode_payload};
use crate::log::{ChainHash, KnownDurable, Location, Log, LogError, LogOpened, OperationId, TornTail};
use crate::store::{Position, Store, StoreError};

/// What was found and done when the data directory was opened.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The remains of a write that was never acknowledged.
    pub torn: Option<TornTail>,
    /// The store that could not be used.
    pub set_aside: Option<SetAside>,
    /// The snapshots that could not be read when the store was built.
    pub unreadable: Vec<SnapshotError>,
    /// How many entries of a snapshot the store was built from.
    pub loaded_entries: u64,
    /// How many records were applied to the store.
    pub applied_records: u64,
}

/// A store that could not be used; another was built in its place.
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
    /// Bytes of the log since the newest snapshot, about.
    pub(super) bytes_since_snapshot: u64,
}

/// Opens log and store and brings the store to the end of the log.
pub(super) fn recover(ground: &Ground, views: &Arc<Views>) -> Result<Recovered, OpenError> {
    // The store first: it knows what was durable. Then nothing of that is cut off the log, and a log that ends before
    // it has lost what was acknowledged.
    if ground.log.segments()?.is_empty()
        && let Some(newest) = ground.snapshots.list()?.pop().or(ground.snapshots.unfinished()?)
    {
        // Before a store is created that `restore` would find in its way.
        return Err(OpenError::OnlySnapshots { log: ground.log.path.clone(), newest });
    }
    let store = ground.place.open()?;
    let position = store.as_ref().ok().map(|store| store.position()).transpose()?.flatten();
    let mut known: Vec<KnownDurable> = snapshots_taken(ground)?;
    let newest_snapshot = known.iter().map(|known| known.sequence).max();
    known.extend(position.map(|position| KnownDurable { log_id: position.log_id, sequence: position.durable }));
    if let Err(reason) = &store
        && known.is_empty()
        && ground.log.segments()?.is_empty()
    {
        // It can't be built again from a log that is not there.
        return Err(OpenError::NothingUsable { log: ground.log.path.clone(), reason: reason.clone() });
    }
    let LogOpened { log, torn } = ground.log.open(&known)?;
    let mut report = Recovery { torn, ..Recovery::default() };
    let mut applier = bring_up(ground, store, &log, &mut report)?;
    applier.attach(Arc::clone(views));
    let later = ground.log.segments()?.iter().filter(|&&(first, _)| Some(first) > newest_snapshot).count();
    let bytes_since_snapshot = later as u64 * ground.log.segment_bytes;
    Ok(Recovered { log, applier, report, bytes_since_snapshot })
}

/// Opens the store again, after it failed, beside the log that is open.
pub(super) fn reopen(ground: &Ground, log: &Log) -> Result<(Applier, Recovery), OpenError> {
    let mut report = Recovery::default();
    let applier = bring_up(ground, ground.place.open()?, log, &mut report)?;
    Ok((applier, report))
}

/// What the headers of the snapshots show to have been durable.
pub(super) fn snapshots_taken(ground: &Ground) -> Result<Vec<KnownDurable>, OpenError> {
    let mut known = Vec::new();
    for path in ground.snapshots.list()? {
        // One that can't be read shows nothing; it is reported when it is needed.
        if let Ok(reader) = ground.snapshots.open(&path) {
            let header = reader.header();
            known.push(KnownDurable { log_id: header.log_id, sequence: header.sequence });
        }
    }
    Ok(known)
}

/// The position before the first record.
pub(super) fn beginning(log: &Log) -> Position {
    let chain = ChainHash::genesis(log.id());
    Position { log_id: log.id(), sequence: 0, chain, partial: None, durable: log.durable(), replay_from: 1 }
}

/// From a store as it was found to one that holds the whole log.
pub(super) fn bring_up(
    ground: &Ground,
    found: Result<Arc<dyn Store>, String>,
    log: &Log,
    report: &mut Recovery,
) -> Result<Applier, OpenError> {
    let usable = match found {
        Ok(store) => match store.position()? {
            Some(position) => unusable_because(&position, log)?.map_or(Ok((store, position)), Err),
            None => Ok(build(ground, store, log, report)?),
        },
        Err(reason) => Err(reason),
    };
    let (store, position) = match usable {
        Ok(usable) => usable,
        Err(reason) => {
            report.set_aside = Some(ground.place.set_aside(reason)?);
            build(ground, open_new(ground)?, log, report)?
        }
    };
    let mut applier = Applier::new(store, position)?;
    applier.set_durable(log.durable());
    let applied = replay(log, &mut applier)?;
    if applied + report.loaded_entries > 0 {
        // Once, here, rather than again at the next start.
        applier.store().flush()?;
    }
    report.applied_records += applied;
    Ok(applier)
}

/// Opens a store where there is none.
fn open_new(ground: &Ground) -> Result<Arc<dyn Store>, OpenError> {
    ground.place.open()?.map_err(|reason| OpenError::Store(StoreError::Backend(reason)))
}

/// Why a store that stands at this position is of no use for this log, if it is not.
pub(super) fn unusable_because(position: &Position, log: &Log) -> Result<Option<String>, LogError> {
    if position.log_id != log.id() {
        return Ok(Some(format!("it is of the log {}, and the log is {}", position.log_id, log.id())));
    }
    let (sequence, last) = (position.sequence, log.next_sequence() - 1);
    if sequence + u64::from(position.partial.is_some()) > last {
        // The log was not known durable up to there; else it would not have been opened.
        return Ok(Some(format!(
            "it is ahead of the log, which ends with record {last}: what was written behind that with durability `os` \
             did not outlive the machine"
        )));
    }
    let first = log.first_sequence()?;
    if position.replay_from < first {
        let needed = position.replay_from;
        return Ok(Some(format!("it needs record {needed} of the log, which begins with record {first}")));
    }
    if log.chain_after(sequence)? != position.chain {
        return Ok(Some(format!("up to record {sequence} it holds another history than the log")));
    }
    Ok(None)
}

/// Builds a store anew: from the newest snapshot that can be read and belongs to the log, or from the beginning of
/// the log.
fn build(
    ground: &Ground,
    mut store: Arc<dyn Store>,
    log: &Log,
    report: &mut Recovery,
) -> Result<(Arc<dyn Store>, Position), OpenError> {
    let mut is_clean = store.is_empty()?;
    for path in ground.snapshots.list()?.iter().rev() {
        if !is_clean {
            // The beginning of a store whose building did not finish.
            drop(store);
            ground.place.remove()?;
            store = open_new(ground)?;
        }
        match ground.snapshots.open(path).map_err(LoadError::from).and_then(|mut reader| {
            let position = snapshot::position_of(reader.header());
            if unusable_because(&position, log)?.is_some() {
                return Ok(None);
            }
            is_clean = false;
            Ok(Some(snapshot::load(store.as_ref(), &mut reader)?))
        }) {
            Ok(Some(manifest)) => {
                report.loaded_entries = manifest.entries;
                return Ok((store, snapshot::position_of(&manifest.header)));
            }
            Ok(None) => {}
            Err(LoadError::Snapshot(error)) => report.unreadable.push(error),
            Err(LoadError::Log(error)) => return Err(error.into()),
            Err(LoadError::Store(error)) => return Err(error.into()),
        }
    }
    if !is_clean {
        drop(store);
        ground.place.remove()?;
        store = open_new(ground)?;
    }
    match log.first_sequence()? {
        1 => Ok((store, beginning(log))),
        first => Err(OpenError::NoSnapshot {
            path: ground.snapshots.path().to_owned(),
            first,
            unreadable: report.unreadable.iter().map(|error| format!(" {error}")).collect(),
        }),
    }
}

/// Applies what the store lacks; how many records that were.
pub(super) fn replay(log: &Log, applier: &mut Applier) -> Result<u64, OpenError> {
    let applied = applier.position().sequence;
    let from = applier.position().replay_from;
    let mut replay = log.replay(from)?;
    let mut records = 0;
    while let Some((location, record)) = replay.next()? {
        let (sequence, time_ms, operation) = (record.sequence, record.time_ms, record.operation);
        let rules = Rules::of(record.version);
        let fingerprint = match operation {
            OperationId::NONE => [0; 16],
            _ => Operation::fingerprint_of(record.payload),
        };
        let payload = decode_payload(record.payload)
            .map_err(|error| OpenError::Record { sequence, reason: error.to_string() })?;
        if sequence <= applied {
            collect(applier, payload, sequence, location);
            continue;
        }
        let place = applier::ReplayedRecord { rules, sequence, time_ms, chain: replay.chain(), operation, fingerprint };
        apply_record(log, applier, payload, &place, location)?;
        records += 1;
    }
    applier.drop_all_sets();
    if records > 0 {
        applier.flush_with_position()?;
    }
    Ok(records)
}

/// Finds the sets again that are open at the position, from the records before it.
fn collect(applier: &mut Applier, payload: Payload, sequence: u64, location: Location) {
    match payload {
        Payload::Change(_) => {}
        Payload::SetBegin => applier.collect_set(SetId(sequence)),
        Payload::SetPart(set, _) => applier.collect_part(set, location),
        Payload::SetCommit(set) => applier.drop_set(set),
    }
}

fn apply_record(
    log: &Log,
    applier: &mut Applier,
    payload: Payload,
    record: &applier::ReplayedRecord,
    location: Location,
) -> Result<(), OpenError> {
    match payload {
        Payload::Change(change) => applier.apply_recovered(&change, record)?,
        Payload::SetBegin => applier.begin_set(SetId(record.sequence), record.chain),
        Payload::SetPart(set, _) => applier.add_part(set, location, record.chain),
        Payload::SetCommit(set) => {
            let read = &mut |location| read_part(log, location);
            applier.commit_set(set, record.time_ms, record.rules, record.chain, read, &mut |_| {})?;
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
