//! From a snapshot to a store.

use std::io::Read;

use super::{Manifest, SnapshotError, SnapshotHeader, SnapshotReader};
use crate::log::LogError;
use crate::store::{Position, Store, StoreError, Write};

/// Why a snapshot can't be loaded.
#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum LoadError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The position that a store has which holds a snapshot and nothing else.
pub(in crate::engine) fn position_of(header: &SnapshotHeader) -> Position {
    let SnapshotHeader { log_id, sequence, chain, replay_from, .. } = *header;
    Position { log_id, sequence, chain, partial: None, durable: sequence, replay_from }
}

/// Writes a snapshot into an empty store. The store gets its position last, when all of the snapshot was read and
/// found whole: one without position is not finished.
pub(in crate::engine) fn load(
    store: &dyn Store,
    reader: &mut SnapshotReader<impl Read>,
) -> Result<Manifest, LoadError> {
    let most = store.writes_per_apply();
    let mut writes = Vec::with_capacity(most);
    while let Some(entries) = reader.next_chunk()? {
        for (key, value) in entries {
            writes.push(Write { key: key.to_vec(), value: Some(value.to_vec()) });
            if writes.len() == most {
                store.load(&writes)?;
                writes.clear();
            }
        }
    }
    if !writes.is_empty() {
        store.load(&writes)?;
    }
    let manifest = reader.manifest().expect("it was read to its end").clone();
    store.apply(&[], &position_of(&manifest.header))?;
    Ok(manifest)
}
