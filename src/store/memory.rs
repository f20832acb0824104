//! A store in memory: the model that the others are tested against.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use super::{Position, Store, StoreError, Visit, Write};

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

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.read().entries.get(key).cloned())
    }

    fn apply(&self, writes: &[Write], position: &Position) -> Result<(), StoreError> {
        let mut state = self.state.write();
        for write in writes {
            match &write.value {
                Some(value) => state.entries.insert(write.key.clone(), value.clone()),
                None => state.entries.remove(&write.key),
            };
        }
        state.position = Some(position.clone());
        Ok(())
    }

    fn position(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.state.read().position.clone())
    }

    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        // That it broke is no error.
        let _ = self.state.read().entries.iter().try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
