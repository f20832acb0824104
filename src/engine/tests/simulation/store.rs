//! A store in memory that behaves like one on a disk: it can be closed, opened, lost, damaged, fall back and fail.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fastrand::Rng;
use parking_lot::{Mutex, MutexGuard};

use crate::engine::digest::Digester;
use crate::engine::place::StorePlace;
use crate::engine::{OpenError, SetAside, StateDigest};
use crate::log::disk::simulated::SimulatedDisk;
use crate::store::{Position, Store, StoreError, Visit, Write};

/// What a store holds.
#[derive(Debug, Default, Clone)]
pub(super) struct Content {
    pub(super) entries: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) position: Option<Position>,
}

impl Content {
    fn apply(&mut self, batch: &Batch) {
        for Write { key, value } in &batch.writes {
            match value {
                Some(value) => self.entries.insert(key.clone(), value.clone()),
                None => self.entries.remove(key),
            };
        }
        if batch.position.is_some() {
            self.position.clone_from(&batch.position);
        }
    }

    pub(super) fn digest(&self) -> StateDigest {
        let mut digester = Digester::default();
        self.entries.iter().for_each(|(key, value)| digester.add(key, value));
        digester.finish()
    }
}

#[derive(Debug)]
struct Batch {
    writes: Vec<Write>,
    position: Option<Position>,
}

/// What lies on the disk, and what goes wrong with it.
#[derive(Debug, Default)]
struct Files {
    /// Before the batches.
    old: Content,
    /// What a crash may take back, from the last one on.
    batches: Vec<Batch>,
    now: Content,
    /// Handles are of one start.
    boot: u64,
    handles: usize,
    is_damaged: bool,
    /// How often opening is still refused for a reason that does not lie in the files.
    refusals: u32,
    /// In which call from now it begins to fail, until it is opened again; 1 is the next.
    fails_in: Option<u64>,
    /// In which call the machine goes down.
    crashes_in: Option<u64>,
    is_failing: bool,
    opened: u64,
}

/// More batches than that no store has in memory alone.
const BATCHES_KEPT: usize = 64;

/// Where such a store lies. Clones are the same place.
#[derive(Debug, Clone)]
pub(super) struct SimulatedPlace {
    files: Arc<Mutex<Files>>,
    disk: SimulatedDisk,
    writes_per_apply: usize,
}

impl SimulatedPlace {
    pub(super) fn new(disk: &SimulatedDisk, writes_per_apply: usize) -> Self {
        SimulatedPlace { files: Arc::default(), disk: disk.clone(), writes_per_apply }
    }

    /// What is in the store now. It is no call, and no fault concerns it.
    pub(super) fn content(&self) -> Content {
        self.files.lock().now.clone()
    }

    /// How often it was opened.
    pub(super) fn opened(&self) -> u64 {
        self.files.lock().opened
    }

    pub(super) fn fail_in(&self, calls: u64) {
        self.files.lock().fails_in = Some(calls);
    }

    pub(super) fn crash_in(&self, calls: u64) {
        self.files.lock().crashes_in = Some(calls);
    }

    pub(super) fn refuse(&self, times: u32) {
        self.files.lock().refusals = times;
    }

    pub(super) fn damage(&self) {
        self.files.lock().is_damaged = true;
    }

    /// Takes back the faults that are still to come.
    pub(super) fn heal(&self) {
        let mut files = self.files.lock();
        (files.fails_in, files.crashes_in, files.refusals) = (None, None, 0);
    }

    /// Somebody removes the files, or a crash does.
    pub(super) fn lose(&self) {
        let mut files = self.files.lock();
        (files.old, files.now) = Default::default();
        files.batches.clear();
    }

    /// The process ends. Without a crash, all that was applied stays; with one, any number of the last batches is gone.
    pub(super) fn end(&self, crash: Option<&mut Rng>) {
        let mut files = self.files.lock();
        if let Some(rng) = crash {
            let kept = rng.usize(0..=files.batches.len());
            files.batches.truncate(kept);
        }
        let Files { old, batches, now, .. } = &mut *files;
        batches.drain(..).for_each(|batch| old.apply(&batch));
        now.clone_from(old);
        files.boot += 1;
        files.handles = 0;
        (files.fails_in, files.crashes_in, files.is_failing, files.refusals) = (None, None, false, 0);
    }
}

fn failed() -> StoreError {
    StoreError::Io(rustix::io::Errno::IO.into())
}

impl StorePlace for SimulatedPlace {
    fn open(&self) -> Result<Result<Arc<dyn Store>, String>, OpenError> {
        let mut files = self.files.lock();
        if self.disk.is_down() {
            return Err(OpenError::Store(failed()));
        }
        assert_eq!(files.handles, 0, "a store has two owners");
        if files.refusals > 0 {
            files.refusals -= 1;
            return Err(OpenError::StoreNotOpened { path: "/data/store".into(), error: failed() });
        }
        if files.is_damaged {
            return Ok(Err("it is damaged".to_owned()));
        }
        files.handles = 1;
        files.opened += 1;
        files.is_failing = false;
        Ok(Ok(Arc::new(SimulatedStore { place: self.clone(), boot: files.boot })))
    }

    fn set_aside(&self, reason: String) -> Result<SetAside, OpenError> {
        self.remove()?;
        Ok(SetAside { path: "/data/store.unusable".into(), reason })
    }

    fn remove(&self) -> Result<(), OpenError> {
        if self.disk.is_down() {
            return Err(OpenError::Store(failed()));
        }
        assert_eq!(self.files.lock().handles, 0, "the store is removed while it is open");
        self.lose();
        self.files.lock().is_damaged = false;
        Ok(())
    }
}

struct SimulatedStore {
    place: SimulatedPlace,
    boot: u64,
}

impl Drop for SimulatedStore {
    fn drop(&mut self) {
        let mut files = self.place.files.lock();
        if files.boot == self.boot {
            files.handles -= 1;
        }
    }
}

impl SimulatedStore {
    fn call(&self) -> Result<MutexGuard<'_, Files>, StoreError> {
        let mut files = self.place.files.lock();
        if files.boot != self.boot || self.place.disk.is_down() {
            return Err(failed());
        }
        let strikes = |countdown: &mut Option<u64>| {
            *countdown = countdown.map(|calls| calls - 1);
            countdown.take_if(|calls| *calls == 0).is_some()
        };
        if strikes(&mut files.crashes_in) {
            self.place.disk.crash_in(1);
            files.is_failing = true;
        }
        files.is_failing |= strikes(&mut files.fails_in);
        if files.is_failing { Err(failed()) } else { Ok(files) }
    }

    fn write(&self, writes: &[Write], position: Option<&Position>) -> Result<(), StoreError> {
        assert!(writes.len() <= self.place.writes_per_apply, "{} writes in one batch", writes.len());
        let mut files = self.call()?;
        let batch = Batch { writes: writes.to_vec(), position: position.cloned() };
        files.now.apply(&batch);
        files.batches.push(batch);
        if files.batches.len() > BATCHES_KEPT {
            let oldest = files.batches.remove(0);
            files.old.apply(&oldest);
        }
        Ok(())
    }
}

impl Store for SimulatedStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.call()?.now.entries.get(key).cloned())
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        self.write(writes, Some(position))
    }

    fn load(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.write(writes, None)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        let files = self.call()?;
        Ok(files.now.entries.is_empty() && files.now.position.is_none())
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.call()?.now.position.clone())
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        drop(self.call()?);
        let mut start = Bound::Included(from.to_vec());
        loop {
            let next = {
                let files = self.place.files.lock();
                let next = files.now.entries.range((start, Bound::Unbounded)).next();
                next.map(|(key, value)| (key.clone(), value.clone()))
            };
            let Some((key, value)) = next else { return Ok(()) };
            if visit(&key, &value).is_break() {
                return Ok(());
            }
            start = Bound::Excluded(key);
        }
    }

    /// No fsync, as with sled: a crash may still take it back.
    fn flush(&self) -> Result<(), StoreError> {
        self.call().map(drop)
    }

    fn writes_per_apply(&self) -> usize {
        self.place.writes_per_apply
    }
}
