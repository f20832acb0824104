//! The state as it was when a snapshot began, while changes go on.
//!
//! A snapshot reads the store from the first key to the last. Before the writer changes a key that has not been read
//! yet, it puts aside what was there. The snapshot takes that instead of what it finds. So it holds the state of one
//! position of the log, and no change ever waits for it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use parking_lot::Mutex;

use crate::limits::SNAPSHOT_OVERLAY_BYTES;
use crate::store::{Store, StoreError, Write};

/// What was there before it changed, for one snapshot.
pub(in crate::engine) struct Overlay {
    state: Mutex<State>,
}

struct State {
    /// Up to which key the snapshot has read.
    read: Option<Vec<u8>>,
    /// What lay under the keys behind it that have changed; None if nothing did.
    before: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// What that takes, in bytes.
    bytes: usize,
    end: Option<End>,
}

/// Why nothing is put aside any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum End {
    /// The snapshot needs no more.
    Done,
    /// More was changed than is kept.
    TooMuch,
    /// The store is another one.
    StoreReplaced,
}

/// A typed key and its value.
pub(in crate::engine) type Entry = (Vec<u8>, Vec<u8>);

/// What an entry that is put aside takes beyond its bytes, about.
const OVERHEAD_BYTES: usize = 96;

impl Overlay {
    pub(in crate::engine) fn new() -> Self {
        Overlay { state: Mutex::new(State { read: None, before: BTreeMap::new(), bytes: 0, end: None }) }
    }

    /// Puts aside what these writes will change. The writer calls it before it makes them. False if that is of no
    /// use any more.
    pub(in crate::engine) fn keep(&self, store: &dyn Store, writes: &[Write]) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        for write in writes {
            if state.end.is_some() {
                return Ok(false);
            }
            let is_read = state.read.as_ref().is_some_and(|read| write.key <= *read);
            if is_read || state.before.contains_key(&write.key) {
                continue;
            }
            let value = store.get(&write.key)?;
            state.bytes += write.key.len() + value.as_ref().map_or(0, Vec::len) + OVERHEAD_BYTES;
            state.before.insert(write.key.clone(), value);
            if state.bytes > SNAPSHOT_OVERLAY_BYTES {
                state.stop(End::TooMuch);
            }
        }
        Ok(state.end.is_none())
    }

    /// The next entries as they were when the snapshot began, in order; none at the end of the store. About `most`:
    /// more, if others were deleted meanwhile.
    pub(in crate::engine) fn step(
        &self,
        store: &dyn Store,
        most: usize,
    ) -> Result<Result<Vec<Entry>, End>, StoreError> {
        let mut from = self.state.lock().read.clone().unwrap_or_default();
        if !from.is_empty() {
            // The least key behind it.
            from.push(0);
        }
        let mut found: Vec<Entry> = Vec::with_capacity(most);
        store.scan(&from, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        // What was put aside by now was so before the change could be found above.
        let mut state = self.state.lock();
        if let Some(end) = state.end {
            return Ok(Err(end));
        }
        let is_last = found.len() < most;
        let up_to = if is_last { None } else { found.last().map(|(key, _)| key.clone()) };
        let before = match &up_to {
            // Everything up to that key was read; of what was put aside only the keys behind it are waited for.
            Some(up_to) => {
                let mut behind = state.before.split_off(up_to);
                let at = behind.remove_entry(up_to);
                let mut before = std::mem::replace(&mut state.before, behind);
                before.extend(at);
                before
            }
            None => std::mem::take(&mut state.before),
        };
        state.bytes = state.bytes.saturating_sub(before.iter().map(entry_bytes).sum());
        state.read = up_to;
        if is_last {
            state.stop(End::Done);
        }
        drop(state);
        Ok(Ok(merge(found, before)))
    }

    /// Makes an end: nothing more is put aside.
    pub(in crate::engine) fn stop(&self, end: End) {
        self.state.lock().stop(end);
    }

    /// Whether nothing is put aside any more.
    pub(in crate::engine) fn has_ended(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// Whether the last entry was given.
    pub(in crate::engine) fn is_done(&self) -> bool {
        self.state.lock().end == Some(End::Done)
    }
}

fn entry_bytes((key, value): (&Vec<u8>, &Option<Vec<u8>>)) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len) + OVERHEAD_BYTES
}

impl State {
    fn stop(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.before = BTreeMap::new();
            self.bytes = 0;
        }
    }
}

/// What was found, with what was put aside in its place.
fn merge(found: Vec<Entry>, before: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Vec<Entry> {
    if before.is_empty() {
        return found;
    }
    let mut merged = Vec::with_capacity(found.len() + before.len());
    let mut before = before.into_iter().peekable();
    for (key, value) in found {
        while let Some((earlier, was)) = before.next_if(|(other, _)| *other < key) {
            merged.extend(was.map(|was| (earlier, was)));
        }
        match before.next_if(|(other, _)| *other == key) {
            Some((_, was)) => merged.extend(was.map(|was| (key, was))),
            None => merged.push((key, value)),
        }
    }
    merged.extend(before.filter_map(|(key, was)| was.map(|was| (key, was))));
    merged
}
