//! From a store that goes on changing to a snapshot.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;

use super::overlay::{End, Overlay};
use super::{Manifest, SnapshotError, SnapshotHeader, SnapshotWriter};
use crate::engine::apply::decode_codes;
use crate::engine::ground::Ground;
use crate::engine::read::decode_entry;
use crate::engine::requests::{Request, Requests, SubmitError};
use crate::limits::{SNAPSHOT_OVERLAY_BYTES, SNAPSHOT_STEP_ENTRIES};
use crate::link::{DecodeError, Operation, decode_host, decode_token};
use crate::store::{Position, Store, StoreError, keyspace};

/// Why no snapshot was taken. Nothing is lost by that: the log is only cut below one that was.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// What was written can't be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer could not begin it.
    #[error("{0}")]
    Submit(#[from] SubmitError),
    /// It can't be written.
    #[error("writing the snapshot: {0}{way_out}", way_out = crate::log::hint(.0))]
    Write(#[from] io::Error),
    /// It was given up.
    #[error("the snapshot was given up: {0}")]
    GivenUp(String),
}

/// A snapshot that has begun: of which moment it is, and where its entries come from.
pub(in crate::engine) struct Begun {
    header: SnapshotHeader,
    store: Arc<dyn Store>,
    overlay: Arc<Overlay>,
}

impl Begun {
    pub(in crate::engine) fn new(store: &Arc<dyn Store>, position: &Position, epoch: u64, now_ms: u64) -> Self {
        let Position { log_id, sequence, chain, partial, replay_from, .. } = *position;
        assert!(partial.is_none(), "a snapshot is of the state after a record");
        let header = SnapshotHeader { log_id, epoch, sequence, chain, taken_at_ms: now_ms, replay_from };
        Begun { header, store: Arc::clone(store), overlay: Arc::new(Overlay::new()) }
    }

    pub(in crate::engine) fn overlay(&self) -> Arc<Overlay> {
        Arc::clone(&self.overlay)
    }

    pub(in crate::engine) fn sequence(&self) -> u64 {
        self.header.sequence
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.overlay.stop(End::Done);
    }
}

/// Whether a value is as it was written.
fn check_value(typed: &[u8], value: &[u8]) -> Result<(), StoreError> {
    match keyspace::split(typed) {
        Some((keyspace::ENTRY, key)) => decode_entry(key, value).map(drop),
        Some((keyspace::OPERATION, id)) => {
            let damaged = |error| StoreError::Damaged { key: "an operation".to_owned(), error };
            let id = id.try_into().map_err(|_| damaged(DecodeError::Missing("operation id")))?;
            Operation::decode(id, value).map(drop).map_err(damaged)
        }
        Some((keyspace::HOST, name)) => {
            let damaged = |error| StoreError::Damaged { key: "the settings of a host".to_owned(), error };
            decode_host(name, value).map(drop).map_err(damaged)
        }
        Some((keyspace::TOKEN, id)) => {
            let damaged = |error| StoreError::Damaged { key: "a token".to_owned(), error };
            decode_token(id, value).map(drop).map_err(damaged)
        }
        Some((keyspace::CODES, _)) => decode_codes(typed, value).map(drop),
        _ => Ok(()),
    }
}

/// A snapshot that is being written.
pub(in crate::engine) struct Taking<W> {
    begun: Begun,
    writer: SnapshotWriter<W>,
}

impl<W: Write> Taking<W> {
    pub(in crate::engine) fn new(begun: Begun, out: W) -> Result<Self, TakeError> {
        let writer = SnapshotWriter::new(out, &begun.header)?;
        Ok(Taking { begun, writer })
    }

    /// Writes about so many entries more. False if there were none left.
    pub(in crate::engine) fn step(&mut self, most: usize) -> Result<bool, TakeError> {
        let Begun { store, overlay, .. } = &self.begun;
        let entries = overlay.step(store.as_ref(), most)?.map_err(|end| {
            let reason = match end {
                End::TooMuch => {
                    const _: () = assert!(SNAPSHOT_OVERLAY_BYTES >> 20 == 256);
                    "more than 256 MiB changed while it was taken. Take it when less changes"
                }
                End::StoreReplaced => "the store failed and was opened again",
                End::Done => "it was asked for more than there is",
            };
            TakeError::GivenUp(reason.to_owned())
        })?;
        for (key, value) in entries {
            // What can't be read must not be taken for sound, and the log be cut that could heal it (I8).
            check_value(&key, &value)?;
            self.writer.add(&key, &value)?;
        }
        Ok(!overlay.is_done())
    }

    pub(in crate::engine) fn finish(self) -> Result<(W, Manifest), TakeError> {
        Ok(self.writer.finish()?)
    }

    /// Writes all of it.
    pub(in crate::engine) fn run(mut self) -> Result<(W, Manifest), TakeError> {
        while self.step(SNAPSHOT_STEP_ENTRIES)? {}
        self.finish()
    }
}

/// Takes a snapshot into the engine's own directory, and cuts the log below those that are kept.
pub(in crate::engine) fn take_and_cut(ground: &Ground, requests: &Requests) -> Result<Manifest, TakeError> {
    let begun = requests.ask(|reply| Request::SnapshotBegin { is_backup: false, reply })?;
    let sequence = begun.sequence();
    let manifest = ground.snapshots.add(sequence, |file| {
        let mut taking = Taking::new(begun, file)?;
        while taking.step(SNAPSHOT_STEP_ENTRIES)? {
            // Log and store need what is left.
            ground.room_is_left().map_err(TakeError::GivenUp)?;
            if ground.is_stopping.load(Ordering::Relaxed) {
                return Err(TakeError::GivenUp("carom is being stopped".to_owned()));
            }
        }
        taking.finish()
    })?;
    if let Some(before) = ground.snapshots.retain(ground.snapshots_kept)? {
        requests.ask(|reply| Request::CutLog { before, reply })?;
    }
    Ok(manifest)
}

/// The body of the thread that takes a snapshot whenever it is asked to. `running` keeps two from being taken at once.
pub(in crate::engine) fn run(
    ground: &Ground,
    requests: &Requests,
    asked: &Receiver<()>,
    running: &parking_lot::Mutex<()>,
) {
    while asked.recv().is_ok() {
        let _running = running.lock();
        // Stores do not always answer damaged files with an error; the next one may be taken all the same.
        let taken = catch_unwind(AssertUnwindSafe(|| take_and_cut(ground, requests)));
        let failure = match taken {
            Ok(Ok(_)) => continue,
            Ok(Err(_)) if ground.is_stopping.load(Ordering::Relaxed) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "reading the store led to a panic".to_owned(),
        };
        // Where stderr is closed, `eprintln!` would panic.
        let _ = writeln!(io::stderr(), "carom: the log was not cut, since taking a snapshot failed: {failure}");
    }
}
