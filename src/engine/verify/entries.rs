//! Whether what a store holds is whole and of one piece.

use std::ops::ControlFlow;

use crate::engine::StateDigest;
use crate::engine::digest::Digester;
use crate::engine::read::decode_entry;
use crate::link::Operation;
use crate::store::{Store, StoreError, keyspace};

/// What was found in a store.
#[derive(Default)]
pub(super) struct Entries {
    /// Links, and the digest of all; None if the store can't be read to its end.
    pub(super) state: Option<StateDigest>,
    /// Remembered operations.
    pub(super) operations: u64,
    /// What is wrong.
    pub(super) damages: Vec<String>,
    /// Places of operations in time.
    times: u64,
    /// Links that are keyed with a query.
    query_links: u64,
    /// How many of them the entries of their paths know of.
    query_links_known: u64,
}

/// Most damages that are told one by one.
const TOLD: usize = 1_000;

impl Entries {
    /// Reads a whole store.
    pub(super) fn read(store: &dyn Store) -> Self {
        let (mut entries, mut digester) = (Entries::default(), Digester::default());
        let (mut untold, mut failed) = (0u64, None);
        let read = store.scan(&[], &mut |key, value| {
            digester.add(key, value);
            match entries.look_at(store, key, value) {
                Ok(None) => {}
                Ok(Some(damage)) if entries.damages.len() < TOLD => entries.damages.push(damage),
                Ok(Some(_)) => untold += 1,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        match (read, failed) {
            (Err(error), _) | (_, Some(error)) => entries.damages.push(error.to_string()),
            (Ok(()), None) => {
                entries.state = Some(digester.finish());
                entries.compare_counts();
            }
        }
        if untold > 0 {
            entries.damages.push(format!("{untold} more entries of the store are damaged"));
        }
        entries
    }

    /// What is wrong with an entry, if something is.
    fn look_at(&mut self, store: &dyn Store, typed: &[u8], value: &[u8]) -> Result<Option<String>, StoreError> {
        match keyspace::split(typed) {
            Some((keyspace::ENTRY, key)) => self.look_at_link(store, key, value),
            Some((keyspace::OPERATION, id)) => {
                self.operations += 1;
                let name = hex(id);
                let Ok(id) = id.try_into() else {
                    return Ok(Some(format!("the store's operation {name} has an id of another length")));
                };
                let time_ms = match Operation::decode(id, value) {
                    Ok(operation) => operation.time_ms,
                    Err(error) => return Ok(Some(format!("the store's operation {name} is damaged: {error}"))),
                };
                let has_place = store.get(&keyspace::operation_time_key(time_ms, id))?.is_some();
                Ok((!has_place).then(|| format!("the store's operation {name} has no place in the order of times")))
            }
            Some((keyspace::OPERATION_TIME, _)) => {
                self.times += 1;
                Ok(None)
            }
            _ => Ok(Some(format!("the store has an entry of no known type, with the key {}", hex(typed)))),
        }
    }

    fn look_at_link(&mut self, store: &dyn Store, key: &[u8], value: &[u8]) -> Result<Option<String>, StoreError> {
        let entry = match decode_entry(key, value) {
            Ok(entry) => entry,
            Err(error) => return Ok(Some(error.to_string())),
        };
        if key.contains(&b'?') {
            self.query_links += u64::from(entry.link.is_some());
        }
        if entry.query_links == 0 {
            return Ok(None);
        }
        self.query_links_known += entry.query_links;
        let prefix = keyspace::entry_key(&[key, b"?"].concat());
        let mut found = 0;
        store.scan(&prefix, &mut |typed, _| {
            if !typed.starts_with(&prefix) {
                return ControlFlow::Break(());
            }
            found += 1;
            ControlFlow::Continue(())
        })?;
        let told = entry.query_links;
        let path = String::from_utf8_lossy(key);
        Ok((found != told)
            .then(|| format!("the store's entry of `{path}` counts {told} links with a query, and there are {found}")))
    }

    fn compare_counts(&mut self) {
        let Entries { operations, times, query_links, query_links_known, .. } = *self;
        if query_links != query_links_known {
            self.damages.push(format!(
                "the store has {query_links} links with a query, and their paths know of {query_links_known}"
            ));
        }
        if operations != times {
            self.damages
                .push(format!("the store remembers {operations} operations, and {times} are in the order of times"));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
