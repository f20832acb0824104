//! A store in memory: the model that the others are tested against.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

use super::keyspace::{check_writes, scan_start};
use super::{Position, Store, StoreError, Visit, Write};

/// As small as that of a store on disk, so that tests meet records that are applied in chunks.
const WRITES_PER_APPLY: usize = 99;

/// A store that forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryStore {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Option<Position>,
}

impl State {
    fn write(&mut self, writes: &[Write]) {
        check_writes(writes, WRITES_PER_APPLY);
        for write in writes {
            match &write.value {
                Some(value) => self.entries.insert(write.key.clone(), value.clone()),
                None => self.entries.remove(&write.key),
            };
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.read().entries.get(key).cloned())
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        let mut state = self.state.write();
        state.write(writes);
        state.position = Some(position.clone());
        Ok(())
    }

    fn load(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.state.write().write(writes);
        Ok(())
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        let state = self.state.read();
        Ok(state.entries.is_empty() && state.position.is_none())
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.state.read().position.clone())
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut start = Bound::Included(scan_start(from).to_vec());
        // One at a time, so that whoever writes waits for no visitor, and the visitor may write.
        loop {
            let next = self.state.read().entries.range((start, Bound::Unbounded)).next().map(clone_both);
            let Some((key, value)) = next else { return Ok(()) };
            if visit(&key, &value).is_break() {
                return Ok(());
            }
            start = Bound::Excluded(key);
        }
    }

    fn estimated_keys(&self) -> u64 {
        self.state.read().entries.len() as u64
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn writes_per_apply(&self) -> usize {
        WRITES_PER_APPLY
    }
}

fn clone_both((key, value): (&Vec<u8>, &Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    (key.clone(), value.clone())
}
