//! Disk, store, clock and writer put together: how they start and end, and what must hold then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::Coverage;
use super::model::{Done, Found, Rec, State};
use super::peek::{Peek, copy};
use super::store::SimulatedPlace;
use crate::config::Durability;
use crate::engine::ground::Ground;
use crate::engine::health::{Health, SharedHealth};
use crate::engine::requests::{self, RequestQueue, Requests};
use crate::engine::slot::StoreSlot;
use crate::engine::snapshot::{self, SnapshotDirectory};
use crate::engine::views::Views;
use crate::engine::writer::Writer;
use crate::engine::{OpenError, Recovery, recover};
use crate::limits::STORE_BATCH_WRITES_MIN;
use crate::link::{StoredEntry, encode_count};
use crate::log::disk::simulated::SimulatedDisk;
use crate::log::disk::{Access, Disk, FileReader};
use crate::log::{Beginning, ChainHash, LogDirectory, LogError, LogId, Replay};
use crate::store::keyspace;

const LOG: &str = "/data/log";
const SNAPSHOTS: &str = "/data/snapshots";

/// A process that runs.
pub(super) struct Running {
    pub(super) writer: Writer,
    pub(super) requests: Requests,
    pub(super) queue: RequestQueue,
    pub(super) views: Arc<Views>,
    pub(super) slot: Arc<StoreSlot>,
    pub(super) health: SharedHealth,
}

/// What was done since all that is in the log was known durable.
#[derive(Default)]
pub(super) struct Since {
    /// The state then.
    state: State,
    /// The chain hash then, once there is a log.
    chain: Option<ChainHash>,
    pub(super) done: Vec<Done>,
    /// The last record that is durable by what the log says of itself.
    pub(super) synced: u64,
    /// The power was lost.
    pub(super) lost_power: bool,
}

/// A bit that was flipped.
pub(super) struct Flip {
    path: PathBuf,
    offset: u64,
    bit: u8,
    /// The file as it was then.
    flipped: Vec<u8>,
}

pub(super) struct World {
    pub(super) seen: Coverage,
    pub(super) disk: SimulatedDisk,
    pub(super) place: SimulatedPlace,
    pub(super) ground: Arc<Ground>,
    pub(super) running: Option<Running>,
    /// The state as far as it is known.
    pub(super) state: State,
    pub(super) since: Since,
    time_ms: Arc<AtomicU64>,
    ticks_ms: Arc<AtomicU64>,
    /// Whether a sync may fail.
    pub(super) syncs_fail: bool,
    log_id: LogId,
}

fn ground(
    disk: Arc<dyn Disk>,
    place: SimulatedPlace,
    like: (u64, Durability, u64, usize),
    clocks: [&Arc<AtomicU64>; 2],
) -> Ground {
    let (segment_bytes, durability, disk_reserve_bytes, snapshots_kept) = like;
    let [time_ms, ticks_ms] = clocks.map(Arc::clone);
    let start = Instant::now();
    Ground {
        log: LogDirectory { segment_bytes, ..LogDirectory::new(Arc::clone(&disk), LOG.into()) },
        snapshots: SnapshotDirectory::new(disk, SNAPSHOTS.into()),
        place: Box::new(place),
        clock: Box::new(move || time_ms.load(Ordering::Relaxed)),
        instant: Box::new(move || start + Duration::from_millis(ticks_ms.load(Ordering::Relaxed))),
        durability,
        store_open_bytes: 0,
        disk_reserve_bytes,
        snapshot_log_bytes: u64::MAX,
        snapshots_kept,
        is_stopping: std::sync::atomic::AtomicBool::new(false),
    }
}

impl World {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let disk = SimulatedDisk::new(rng.u64(..));
        let syncs_fail = rng.bool();
        // If the sync of a directory's name fails, no later one tells, and nobody removes the directory to try again:
        // so these are there, and durably, wherever syncs fail. The data directory always is; see `engine::lock`.
        for dir in if syncs_fail { &[LOG, SNAPSHOTS][..] } else { &["/data"] } {
            disk.create_dir(Path::new(dir)).expect("nothing can go wrong yet");
        }
        for dir in ["/", "/data"] {
            disk.sync_dir(Path::new(dir)).expect("nothing can go wrong yet");
        }
        disk.short_io(rng.u8(0..4) == 0);
        let writes_per_apply = rng.usize(STORE_BATCH_WRITES_MIN..=99);
        let place = SimulatedPlace::new(&disk, writes_per_apply);
        let durability = if rng.u8(0..3) == 0 { Durability::Os } else { Durability::Fsync };
        let reserve_bytes = if rng.bool() { 0 } else { rng.u64(1..4_000) };
        let like = (rng.u64(10..32) * 512, durability, reserve_bytes, rng.usize(1..=2));
        let time_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        let ticks_ms = Arc::default();
        World {
            seen: Coverage::default(),
            ground: Arc::new(ground(Arc::new(disk.clone()), place.clone(), like, [&time_ms, &ticks_ms])),
            disk,
            place,
            running: None,
            state: State::default(),
            since: Since::default(),
            time_ms,
            ticks_ms,
            syncs_fail,
            log_id: LogId(std::array::from_fn(|_| rng.u8(..))),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.ground.now_ms()
    }

    /// Sets the clocks forward.
    pub(super) fn wait(&self, ms: u64) {
        self.time_ms.fetch_add(ms, Ordering::Relaxed);
        self.ticks_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn is_os(&self) -> bool {
        self.ground.durability == Durability::Os
    }

    pub(super) fn health(&self) -> Option<Health> {
        Some(self.running.as_ref()?.health.get())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.health() == Some(Health::Ready) && !self.disk.is_down()
    }

    /// The log as it is seen, through no call.
    fn log(&self) -> LogDirectory {
        LogDirectory::new(Arc::new(Peek(self.disk.clone())), LOG.into())
    }

    /// The records behind `sequence`, and the chain hash before them. None if there is no log.
    fn records_behind(&self, sequence: u64) -> Option<(Vec<Rec>, ChainHash)> {
        let log = self.log();
        log.segments().expect("it can be read").pop()?;
        let mut replay = Replay::from(&log, self.log_id, sequence + 1)
            .unwrap_or_else(|error| panic!("looking for what is behind record {sequence}: {error}"));
        assert_eq!(replay.next_sequence(), sequence + 1, "the log ends before what was durable");
        let chain = replay.chain();
        let mut records = Vec::new();
        while let Some((_, record)) = replay.next().unwrap_or_else(|error| panic!("{error}")) {
            records.push(Rec {
                durable: record.durable,
                time_ms: record.time_ms,
                operation: record.operation,
                payload: record.payload.to_vec(),
            });
        }
        Some((records, chain))
    }

    /// Takes note of what a group did, while the machine runs on.
    pub(super) fn settle(&mut self, done: Vec<Done>, is_predicted: bool) {
        if is_predicted {
            self.state.walk(&done, Found { records: None, losable_from: u64::MAX }, &mut self.seen);
        } else {
            let (records, _) = self.records_behind(self.state.sequence).expect("there is a log");
            let durable = records.last().map_or(0, |record| record.durable);
            self.since.synced = self.since.synced.max(durable);
            let found = Found { records: Some(&records), losable_from: u64::MAX };
            self.state.walk(&done, found, &mut self.seen);
        }
        self.since.done.extend(done);
    }

    /// From here on everything that is known is durable.
    pub(super) fn all_is_durable(&mut self) {
        let (records, chain) = self.records_behind(self.state.sequence).expect("there is a log");
        assert!(records.is_empty(), "records that nobody knows of: {records:?}");
        let synced = self.state.sequence;
        self.since = Since { state: self.state.clone(), chain: Some(chain), synced, ..Since::default() };
    }

    /// The process ends; nobody has a store or file of it any more.
    pub(super) fn end(&mut self, crash: Option<&mut Rng>, loses_power: bool) {
        self.running = None;
        self.place.end(crash);
        if loses_power {
            self.disk.crash();
            self.since.lost_power = true;
        } else {
            self.disk.crash_keeping_everything();
        }
    }

    /// Starts a process. On success everything in the log is durable, and must be what it has to be.
    pub(super) fn start(&mut self) -> Result<Recovery, OpenError> {
        if self.since.state.sequence == 0 && self.ground.log.segments()?.is_empty() {
            // As a recovery begins one, but with a name that is the same in each run.
            let (log_id, chain) = (self.log_id, ChainHash::genesis(self.log_id));
            drop(self.ground.log.begin(Beginning { log_id, epoch: 1, sequence: 0, chain })?);
        }
        let views = Views::new(1 << 18, None);
        let position = self.place.content().position;
        let mut recovered = recover::recover(&self.ground, &views)?;
        if position.is_some_and(|position| position.partial.is_some()) {
            self.seen.count("a start from a store that had a part of a record");
        }
        let report = std::mem::take(&mut recovered.report);
        let slot = StoreSlot::with_patience(Arc::clone(recovered.applier.store()), Duration::ZERO);
        let (slot, health) = (Arc::new(slot), SharedHealth::silent());
        let (requests, queue) = requests::requests();
        let (for_writer, cache) = (Arc::clone(&slot), Arc::clone(&views));
        let writer = Writer::new(Arc::clone(&self.ground), recovered, for_writer, cache, health.clone());
        self.running = Some(Running { writer, requests, queue, views, slot, health });
        Ok(report)
    }

    /// What a start found must be all that was acknowledged, and nothing that was not asked for.
    pub(super) fn check_start(&mut self) {
        let since = std::mem::take(&mut self.since);
        let (records, chain) = self.records_behind(since.state.sequence).expect("there is a log");
        if let Some(before) = since.chain {
            assert_eq!(chain, before, "the log up to record {} is another", since.state.sequence);
        }
        let losable_from = if self.is_os() && since.lost_power { since.synced + 1 } else { u64::MAX };
        let last = self.state.sequence;
        self.state = since.state;
        self.state.walk(&since.done, Found { records: Some(&records), losable_from }, &mut self.seen);
        if self.state.sequence < last {
            self.seen.count("records lost that were not synced");
        }
        if !self.state.sets.is_empty() {
            self.seen.count("an open set dropped by a start");
        }
        // No set of before is gone on with.
        self.state.sets.clear();
        self.all_is_durable();
        self.check_store();
        self.check_rebuilt();
    }

    /// The index of tags and the counts of codes that the links of the model lead to.
    fn expected_values(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let (mut values, mut codes) = (BTreeMap::new(), BTreeMap::<Vec<u8>, u64>::new());
        for (key, link) in &self.state.links {
            for tag in link.options.tags.iter() {
                values.insert(keyspace::tag_key(tag.as_str(), key), Vec::new());
            }
            if link.is_generated {
                let length = link.key.path_key().len() - link.key.host().len() - 1;
                *codes.entry(keyspace::codes_key(link.key.host(), length as u8)).or_default() += 1;
            }
        }
        values.extend(codes.into_iter().map(|(key, count)| (key.clone(), encode_count(&key, count))));
        values
    }

    /// The store must hold what the model does.
    pub(super) fn check_store(&self) {
        let content = self.place.content();
        let position = content.position.as_ref();
        let mut expected: BTreeMap<Vec<u8>, StoredEntry> = BTreeMap::new();
        for (key, link) in &self.state.links {
            expected.entry(keyspace::entry_key(key.as_bytes())).or_default().link = Some(link.clone());
            if link.key.has_query() {
                expected.entry(keyspace::entry_key(link.key.path_key().as_bytes())).or_default().query_links += 1;
            }
        }
        let mut values = self.expected_values();
        let mut found_operations = 0;
        for (typed, value) in &content.entries {
            match keyspace::split(typed) {
                Some((keyspace::ENTRY, key)) => {
                    let found = StoredEntry::decode(key, value).expect("it is intact");
                    let key = String::from_utf8_lossy(key);
                    assert_eq!(Some(found), expected.remove(typed), "the entry of {key} at {position:?}");
                }
                Some((keyspace::OPERATION, id)) => {
                    let id = id.try_into().expect("an operation id");
                    let known = self.state.operations.get(&id).expect("an operation that was made");
                    assert!(known.encode(id) == *value, "what became of an operation: {known:?}");
                    found_operations += usize::from(!known.is_old(self.now_ms()));
                }
                Some((keyspace::OPERATION_TIME, _)) => {}
                Some((keyspace::TAG | keyspace::CODES, _)) => {
                    assert_eq!(Some(value), values.remove(typed).as_ref(), "the value of {typed:?} at {position:?}");
                }
                other => panic!("a key of no known type: {other:?}"),
            }
        }
        assert!(expected.is_empty(), "the store lacks {expected:?} at {position:?}");
        assert!(values.is_empty(), "the store lacks {values:?} at {position:?}");
        let remembered = self.state.operations.values().filter(|known| !known.is_old(self.now_ms()));
        assert_eq!(found_operations, remembered.count(), "operations of the last day");
    }

    /// From log and snapshots alone the same state must come.
    pub(super) fn check_rebuilt(&mut self) {
        let disk = copy(&self.disk);
        let place = SimulatedPlace::new(&disk, 99);
        let Ground { ref log, durability, snapshots_kept, .. } = *self.ground;
        let like = (log.segment_bytes, durability, 0, snapshots_kept);
        let ground = ground(Arc::new(disk.clone()), place.clone(), like, [&self.time_ms, &self.ticks_ms]);
        let rebuilt = recover::recover(&ground, &Views::new(1 << 18, None));
        let rebuilt = rebuilt.unwrap_or_else(|error| panic!("building it from nothing: {error}"));
        if rebuilt.report.loaded_entries > 0 {
            self.seen.count("a state built from a snapshot");
        }
        assert_eq!(place.content().digest(), self.place.content().digest(), "what is built from nothing");
    }

    /// A snapshot that was taken must hold the state that was then.
    pub(super) fn check_snapshot(&self, sequence: u64, entries: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let path = Path::new(SNAPSHOTS).join(format!("{sequence:020}.snapshot"));
        let peeked = SnapshotDirectory::new(Arc::new(Peek(self.disk.clone())), SNAPSHOTS.into());
        let mut reader = peeked.open(&path).expect("it was taken");
        let mut found = BTreeMap::new();
        while let Some(chunk) = reader.next_chunk().unwrap_or_else(|error| panic!("{error}")) {
            found.extend(chunk.map(|(key, value)| (key.to_vec(), value.to_vec())));
        }
        assert!(found == *entries, "the snapshot {sequence} holds another state");
    }

    pub(super) fn segments(&self) -> Vec<u64> {
        self.log().segments().expect("it can be read").into_iter().map(|(first, _)| first).collect()
    }

    /// Flips a bit of log or snapshots.
    pub(super) fn flip(&self, rng: &mut Rng) -> Option<Flip> {
        let is_wanted = |path: &Path| path.extension().is_some_and(|kind| kind == "log" || kind == "snapshot");
        let (path, offset, bit) = self.disk.flip_bit(rng, is_wanted)?;
        let flipped = self.disk.content(&path).expect("it was flipped");
        Some(Flip { path, offset, bit, flipped })
    }

    /// Whoever verifies log and snapshots must find the flipped bit, and say where it is. `last` is the last record.
    pub(super) fn check_found(&mut self, flip: &Flip, last: Option<u64>) {
        let Flip { path, offset, bit, .. } = flip;
        let name = path.display().to_string();
        if path.starts_with(SNAPSHOTS) {
            let file = Peek(self.disk.clone()).open(path, Access::Read).expect("it is there");
            let error = snapshot::verify(FileReader::new(file), path).expect_err("a bit is flipped").to_string();
            assert!(error.contains(&name), "{name}: bit {bit} at {offset}: {error}");
            self.seen.count("a flipped bit found in a snapshot");
            return;
        }
        match self.log().verify(&mut |_| {}) {
            Err(error) => {
                assert!(error.to_string().contains(&name), "{name}: bit {bit} at {offset}: {error}");
                if let LogError::Damaged { offset: found, .. } = error {
                    assert!(found <= *offset, "{name}: bit {bit} at {offset}: {error}");
                }
                self.seen.count("a flipped bit found in the log");
            }
            Ok(end) => {
                let end = end.expect("there is a log");
                if let Some(last) = last {
                    assert_eq!(end.sequence, last, "{name}: bit {bit} at {offset} hides records");
                }
                let torn = end.torn.unwrap_or_else(|| panic!("{name}: bit {bit} at {offset} is not found"));
                assert!(torn.path == *path && torn.offset <= *offset, "{name}: bit {bit} at {offset}: {torn:?}");
                self.seen.count("a flipped bit found behind the log's last record");
            }
        }
    }

    /// After a start that a flipped bit did not keep from succeeding.
    pub(super) fn check_passed(&mut self, flip: &Flip) {
        if self.is_as_flipped(flip) {
            self.check_found(flip, None);
            self.unflip(flip);
        } else {
            self.seen.count("a flipped bit cut off by a start");
        }
    }

    /// After a start that was refused because of it.
    pub(super) fn check_refused(&mut self, flip: &Flip, error: &OpenError) {
        let (name, message) = (flip.path.display().to_string(), error.to_string());
        let Flip { offset, bit, .. } = flip;
        assert!(message.contains(&name), "{name}: bit {bit} at {offset} of {}: {message}", flip.flipped.len());
        assert!(self.is_as_flipped(flip), "{name} was changed, though the start was refused: {message}");
        self.seen.count("a start refused because of a flipped bit");
        self.unflip(flip);
    }

    fn is_as_flipped(&self, flip: &Flip) -> bool {
        self.disk.content(&flip.path).as_ref() == Some(&flip.flipped)
    }

    pub(super) fn unflip(&self, flip: &Flip) {
        self.disk.flip_bit_at(&flip.path, flip.offset, flip.bit);
    }

    /// Gives the disk room for so many bytes more than it has used.
    pub(super) fn set_room(&self, room: Option<u64>) {
        const LARGE: u64 = 1 << 40;
        self.disk.set_capacity(Some(LARGE));
        let Ok(free) = self.disk.free_bytes(Path::new("/")) else { return self.disk.set_capacity(None) };
        self.disk.set_capacity(room.map(|room| LARGE - free + room));
    }
}
