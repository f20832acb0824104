//! What was changed, by whom and when: the records of the log, while the writer goes on.

use super::Engine;
use crate::limits::CHANGES_BYTES;
use crate::link::{Actor, Authored, Payload, decode_authored};
use crate::log::disk::RealDisk;
use crate::log::{BrowsedRecord, LogDirectory, LogError, LogId, OperationId, Wanted, Waypoints};
use crate::store::StoreError;

/// Which records, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangesRange {
    /// Those before this one, newest first; None is the newest of all.
    Before(Option<u64>),
    /// Those after this one, oldest first.
    After(u64),
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// Its number: 1, 2, 3 …
    pub sequence: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Who asked for it.
    pub actor: Actor,
    /// Its name, if it was given one.
    pub operation: Option<OperationId>,
    /// Whether it was refused: it is in the log only so that the operation is not made later, when it is sent again.
    /// Records before version 4 don't say so. What was refused and has no name is not in the log.
    pub is_refused: bool,
    /// What was asked for.
    pub payload: Payload,
}

/// Some records of the log, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    /// The records, in the order that was asked for.
    pub records: Vec<ChangeRecord>,
    /// The first record that the log still has, or will have. What was before it was cut off below a snapshot.
    pub oldest: u64,
    /// The last record that was acknowledged; 0 if none was.
    pub newest: u64,
}

/// Why the changes can't be told.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The log can't be read, or is damaged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store, which knows what was acknowledged, can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Records of the log that were acknowledged: at most `limit`, and about [`CHANGES_BYTES`] of what they carry, but
    /// one in any case if there is one. The first time that a segment is asked for, the heads of all records before
    /// them in it are read; then those of a few.
    ///
    /// # Errors
    /// If log or store can't be read, or one of these records is damaged (I8).
    pub fn changes(&self, range: ChangesRange, limit: usize) -> Result<ChangesPage, ChangesError> {
        let directory = LogDirectory::new(std::sync::Arc::new(RealDisk), self.config.data.join("log"));
        // What is behind it may not be durable yet, or never be.
        let newest = self.store.get()?.position()?.map_or(0, |position| position.sequence);
        Ok(changes(&directory, self.log_id, &self.waypoints, newest, range, limit)?)
    }
}

fn changes(
    directory: &LogDirectory,
    log_id: LogId,
    waypoints: &Waypoints,
    newest: u64,
    range: ChangesRange,
    limit: usize,
) -> Result<ChangesPage, LogError> {
    let (sequences, is_newest_first) = match range {
        ChangesRange::Before(None) => (0..=newest, true),
        ChangesRange::Before(Some(sequence)) => (0..=newest.min(sequence.saturating_sub(1)), true),
        ChangesRange::After(sequence) => (sequence.saturating_add(1)..=newest, false),
    };
    let wanted = Wanted { sequences, limit: limit as u64, bytes: CHANGES_BYTES, is_newest_first };
    let browsed = directory.browse(log_id, &wanted, waypoints)?;
    let records = browsed.records.into_iter().map(decode).collect::<Result<_, _>>()?;
    Ok(ChangesPage { records, oldest: browsed.oldest, newest })
}

fn decode(record: BrowsedRecord) -> Result<ChangeRecord, LogError> {
    let BrowsedRecord { path, offset, sequence, time_ms, operation, is_refused, payload } = record;
    match decode_authored(&payload) {
        Ok(Authored { actor, payload }) => {
            let operation = (operation != OperationId::NONE).then_some(operation);
            Ok(ChangeRecord { sequence, time_ms, actor, operation, is_refused, payload })
        }
        // Its bytes are the ones that were written.
        Err(error) => Err(LogError::OtherVersion { path, offset, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests;
