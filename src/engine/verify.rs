//! What is wrong with a backup or a data directory. Log and snapshots are only read.

mod entries;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::applier::Applier;
use super::ground::Ground;
use super::lock::DirectoryLock;
use super::place::{DirectoryPlace, NAME, NAME_BESIDE, StorePlace};
use super::recover::{self, Recovery};
use super::snapshot::SnapshotSurvey;
use super::{EngineConfig, OpenError, SnapshotError, StateDigest};
use crate::clicks::Uses;
use crate::log::disk::RealDisk;
use crate::log::{ChainHash, Log, LogError, LogSurvey};
use crate::store::{Position, Store, StoreKind};
use entries::Entries;

/// What was found in the file of a snapshot.
#[derive(Debug)]
pub struct SnapshotReport {
    /// The file.
    pub path: PathBuf,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What is in it, and what is wrong with it.
    pub survey: SnapshotSurvey,
    /// Whether it was found that the log goes on from it; None if there is nothing to compare it with.
    pub continues: Option<bool>,
}

/// What was found in the store.
#[derive(Debug)]
pub struct StoreReport {
    /// Where it lies.
    pub path: PathBuf,
    /// Which one it is.
    pub kind: StoreKind,
    /// Up to where the log is applied.
    pub position: Option<Position>,
    /// Links, and the digest of all; None if it can't be read to its end.
    pub state: Option<StateDigest>,
    /// How many operations it remembers.
    pub operations: u64,
    /// How many hosts have settings.
    pub hosts: u64,
    /// How many tokens there are.
    pub tokens: u64,
    /// How many records of the log the next start applies to it.
    pub behind: u64,
}

/// What was found in a data directory.
#[derive(Debug)]
pub struct DirectoryReport {
    /// The log.
    pub log: LogSurvey,
    /// The snapshots, oldest first.
    pub snapshots: Vec<SnapshotReport>,
    /// The store; None if there is none that can be opened.
    pub store: Option<StoreReport>,
    /// What the newest snapshot and the log lead to, if that was asked for and could be built.
    pub rebuilt: Option<StateDigest>,
    /// All that is wrong.
    pub damages: Vec<String>,
}

/// Reads a snapshot or backup, and finds all that is wrong with it.
pub fn verify_file(path: &Path) -> SnapshotReport {
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    SnapshotReport { path: path.to_owned(), bytes, survey: SnapshotSurvey::of(&RealDisk, path), continues: None }
}

/// Reads log, snapshots and store of a data directory, and compares them. With `deep`, the state is also built anew
/// beside the store and compared with it.
///
/// # Errors
/// If the directory is in use, or can't be read. What is wrong with what lies in it is in the report.
pub fn verify_directory(config: &EngineConfig, deep: bool) -> Result<DirectoryReport, OpenError> {
    let _lock = DirectoryLock::take(&config.data)?;
    let ground = Ground::new(config);
    let mut damages = Vec::new();
    let snapshots: Vec<SnapshotReport> = ground.snapshots.list()?.iter().map(|path| verify_file(path)).collect();
    let opened = open_store(config, &mut damages)?;
    let position = opened.as_ref().and_then(|(report, _)| report.position.clone());
    let headers = || snapshots.iter().filter_map(|snapshot| snapshot.survey.header);
    let mut wanted: BTreeSet<u64> = headers().map(|header| header.sequence).collect();
    wanted.extend(position.as_ref().map(|position| position.sequence));
    let mut chains = HashMap::new();
    let log = ground.log.survey(&mut |record| {
        if wanted.contains(&(record.sequence - 1)) {
            chains.insert(record.sequence - 1, record.chain);
        }
    })?;
    chains.extend(log.end.as_ref().map(|end| (end.sequence, end.chain)));
    let mut report = DirectoryReport { log, snapshots, store: None, rebuilt: None, damages };
    report.damages.extend(report.log.damages.iter().map(LogError::to_string));
    report.check_durable(&ground, position.as_ref());
    // It only reads. A file that is damaged stops the next start.
    if let Err(error) = Uses::open(Arc::clone(&ground.log.disk), config.data.clone()) {
        report.damages.push(error.to_string());
    }
    report.check_snapshots(&chains);
    if let Some((mut store_report, store)) = opened {
        report.check_position(&mut store_report, &chains);
        let entries = Entries::read(store.as_ref());
        report.damages.extend(entries.damages);
        store_report.state = entries.state;
        store_report.operations = entries.operations;
        store_report.hosts = entries.hosts;
        store_report.tokens = entries.tokens;
        report.store = Some(store_report);
        if deep && report.damages.is_empty() {
            report.compare_with_rebuilt(config, ground, store)?;
        }
    }
    Ok(report)
}

/// A store that can be used, and what is known of it so far.
type Opened = (StoreReport, Arc<dyn Store>);

/// Opens the store that lies there, whichever it is.
fn open_store(config: &EngineConfig, damages: &mut Vec<String>) -> Result<Option<Opened>, OpenError> {
    let (path, beside) = (config.data.join(NAME), config.data.join(NAME_BESIDE));
    let Some(found) = [&beside, &path].into_iter().find(|path| path.exists()) else { return Ok(None) };
    let kind = StoreKind::lying_in(found).unwrap_or_else(|| config.store_kind());
    let place = DirectoryPlace::new(&EngineConfig { store: Some(kind), ..config.clone() });
    let unusable = |reason: String| {
        format!("the store {} can't be used: {reason}. It is built again at the next start", path.display())
    };
    match place.open()? {
        Err(reason) => {
            damages.push(unusable(reason));
            Ok(None)
        }
        Ok(store) => {
            let position = store.position()?;
            if position.is_none() && !store.is_empty()? {
                damages.push(unusable("its building did not finish".to_owned()));
                return Ok(None);
            }
            let report =
                StoreReport { path, kind, position, state: None, operations: 0, hosts: 0, tokens: 0, behind: 0 };
            Ok(Some((report, store)))
        }
    }
}

impl DirectoryReport {
    /// Whether the log goes as far as store and snapshots show it to have been durable.
    fn check_durable(&mut self, ground: &Ground, position: Option<&Position>) {
        let headers = self.snapshots.iter().filter_map(|snapshot| snapshot.survey.header);
        let mut known: Vec<_> = headers.map(|header| (header.log_id, header.sequence)).collect();
        known.extend(position.map(|position| (position.log_id, position.durable)));
        let Some(end) = &self.log.end else {
            if self.log.segments == 0 {
                let known = known.iter().map(|&(_, sequence)| sequence).max().unwrap_or(0);
                let lost = LogError::Lost { path: ground.log.path.clone(), last: 0, known };
                self.damages.push(match self.snapshots.last() {
                    Some(newest) if position.is_none() => {
                        OpenError::OnlySnapshots { log: ground.log.path.clone(), newest: newest.path.clone() }
                            .to_string()
                    }
                    _ => lost.to_string(),
                });
            }
            return;
        };
        let of_this = known.iter().filter(|(log_id, _)| *log_id == end.log_id).map(|&(_, sequence)| sequence);
        let Some(known) = of_this.max().filter(|&known| known > end.sequence) else { return };
        self.damages.push(match &end.torn {
            Some(torn) => {
                let shown =
                    format!("{}; store or snapshots show that record {} was durable", torn.reason, torn.sequence);
                LogError::Damaged { path: torn.path.clone(), offset: torn.offset, reason: shown }.to_string()
            }
            None => LogError::Lost { path: ground.log.path.clone(), last: end.sequence, known }.to_string(),
        });
    }

    fn check_snapshots(&mut self, chains: &HashMap<u64, ChainHash>) {
        for snapshot in &mut self.snapshots {
            self.damages.extend(snapshot.survey.damages.iter().map(SnapshotError::to_string));
            let (Some(header), Some(end), Some(first)) = (snapshot.survey.header, &self.log.end, self.log.first) else {
                continue;
            };
            let mut not = |reason: String| {
                let path = snapshot.path.display();
                self.damages.push(format!("the log can't be gone on with from the snapshot {path}: {reason}"));
                snapshot.continues = Some(false);
            };
            if header.log_id != end.log_id {
                not(format!("it is of the log {}, and the log is {}", header.log_id, end.log_id));
            } else if header.replay_from < first {
                not(format!("it needs record {}, and the log begins with record {first}", header.replay_from));
            } else if let Some(chain) = chains.get(&header.sequence) {
                match *chain == header.chain {
                    true => snapshot.continues = Some(true),
                    false => not(format!("up to record {} it holds another history", header.sequence)),
                }
            }
        }
    }

    fn check_position(&mut self, store: &mut StoreReport, chains: &HashMap<u64, ChainHash>) {
        let Some(end) = &self.log.end else { return };
        let Some(position) = &store.position else {
            store.behind = end.sequence;
            return;
        };
        let (sequence, last, first) = (position.sequence, end.sequence, self.log.first.unwrap_or(1));
        let reason = if position.log_id != end.log_id {
            format!("it is of the log {}, and the log is {}", position.log_id, end.log_id)
        } else if sequence > last {
            format!("it holds record {sequence}, and the log ends with record {last}")
        } else if position.replay_from < first {
            format!("it needs record {} of the log, which begins with record {first}", position.replay_from)
        } else if chains.get(&sequence).is_some_and(|chain| *chain != position.chain) {
            format!("up to record {sequence} it holds another history than the log")
        } else {
            store.behind = last - sequence;
            return;
        };
        let path = store.path.display();
        self.damages.push(format!(
            "the store {path} does not belong to the log: {reason}. It is built again at the next start"
        ));
    }

    /// Brings the store to the end of the log, builds another beside it, and compares the two.
    fn compare_with_rebuilt(
        &mut self,
        config: &EngineConfig,
        ground: Ground,
        store: Arc<dyn Store>,
    ) -> Result<(), OpenError> {
        let Some(log) = ground.log.open_to_read()? else { return Ok(()) };
        let position = match store.position()? {
            Some(position) => position,
            None => recover::beginning(&log),
        };
        recover::replay(&log, &mut Applier::new(Arc::clone(&store), position)?)?;
        let here = StateDigest::of(store.as_ref())?;
        let dir = config.data.join(SCRATCH);
        // A verification that did not finish may have left it.
        remove(&dir)?;
        let built = build(config, ground, &dir, &log);
        remove(&dir)?;
        let built = built?;
        if built != here {
            self.damages.push(format!(
                "the store {} holds {} entries of links with the digest {}, and snapshot and log lead to {} with {}. Build \
                 it anew with `carom rebuild`",
                config.data.join(NAME).display(),
                here.entries,
                blake3::Hash::from_bytes(here.hash),
                built.entries,
                blake3::Hash::from_bytes(built.hash)
            ));
        }
        self.rebuilt = Some(built);
        Ok(())
    }
}

/// Where a store is built only to be compared.
const SCRATCH: &str = "store.verify";

fn build(config: &EngineConfig, ground: Ground, dir: &Path, log: &Log) -> Result<StateDigest, OpenError> {
    let failed = |error| OpenError::Io(format!("creating {}", dir.display()), error);
    std::fs::create_dir(dir).map_err(failed)?;
    // Of the kind that it is compared with.
    let store = Some(config.store_kind());
    let place = DirectoryPlace::new(&EngineConfig { data: dir.to_owned(), store, ..config.clone() });
    let ground = Ground { place: Box::new(place), ..ground };
    let applier = recover::bring_up(&ground, ground.place.open()?, log, &mut Recovery::default())?;
    Ok(StateDigest::of(applier.store().as_ref())?)
}

fn remove(dir: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::Io(format!("removing {}", dir.display()), error))
        }
        _ => Ok(()),
    }
}
