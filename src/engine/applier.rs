//! Brings records to the store, in the chunks that the store can take, and to the caches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::apply::{self, Origin, State};
use super::read;
use crate::cache::SharedCache;
use crate::link::{Command, Outcome, Refusal, SetId, StoredEntry};
use crate::log::{ChainHash, Location};
use crate::store::{Applied, Position, Store, StoreError, WRITES_PER_APPLY, Write};

/// Most entries that one command changes: its own, and that of its path.
const ENTRIES_PER_COMMAND: usize = 2;

/// The store as the log leads to it.
pub(super) struct Applier {
    store: Arc<dyn Store>,
    shared: Arc<SharedCache>,
    position: Position,
    /// Entries that are applied and not yet in the store.
    chunk: HashMap<Box<str>, StoredEntry>,
    /// The parts of the sets that are neither committed nor dropped.
    sets: BTreeMap<SetId, Vec<Location>>,
}

/// Entries that a batch has changed, on top of what batches before it have, and not yet given to the applier.
#[derive(Default)]
pub(super) struct Staged {
    entries: HashMap<Box<str>, StoredEntry>,
}

/// A batch that was judged and accepted.
pub(super) struct Accepted {
    pub(super) outcomes: Vec<Outcome>,
    /// The entries that each command changed, in order; one inner vector a command.
    changes: Vec<Vec<(Box<str>, StoredEntry)>>,
}

impl Accepted {
    /// Whether the batch changes anything.
    pub(super) fn changes_nothing(&self) -> bool {
        self.changes.iter().all(Vec::is_empty)
    }
}

/// The state under a batch that is being judged: what it changed, what batches before it changed, the store.
struct Judged<'a> {
    applier: &'a Applier,
    staged: &'a mut Staged,
    /// What `staged` held before, in order of change, to go back there if the batch is refused.
    undo: Vec<(Box<str>, Option<StoredEntry>)>,
    changed: Vec<(Box<str>, StoredEntry)>,
}

impl State for Judged<'_> {
    fn entry(&self, key: &str) -> Result<StoredEntry, StoreError> {
        match self.staged.entries.get(key) {
            Some(entry) => Ok(entry.clone()),
            None => self.applier.entry(key),
        }
    }

    fn set_entry(&mut self, key: &str, entry: StoredEntry) {
        let before = self.staged.entries.insert(key.into(), entry.clone());
        self.undo.push((key.into(), before));
        self.changed.push((key.into(), entry));
    }
}

impl State for Applier {
    fn entry(&self, key: &str) -> Result<StoredEntry, StoreError> {
        match self.chunk.get(key) {
            Some(entry) => Ok(entry.clone()),
            None => read::stored_entry(self.store.as_ref(), key.as_bytes()),
        }
    }

    fn set_entry(&mut self, key: &str, entry: StoredEntry) {
        self.chunk.insert(key.into(), entry);
    }
}

impl Applier {
    pub(super) fn new(store: Arc<dyn Store>, shared: Arc<SharedCache>, position: Position) -> Self {
        let sets = position.open_sets.iter().map(|&set| (set, Vec::new())).collect();
        Applier { store, shared, position, chunk: HashMap::new(), sets }
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Judges a batch against the state and what is staged. Accepted, its changes are staged; refused, nothing
    /// changes.
    pub(super) fn judge(
        &self,
        staged: &mut Staged,
        commands: &[Command],
        sequence: u64,
        time_ms: u64,
    ) -> Result<Result<Accepted, Refusal>, StoreError> {
        let mut state = Judged { applier: self, staged, undo: Vec::new(), changed: Vec::new() };
        let mut accepted = Accepted { outcomes: Vec::new(), changes: Vec::new() };
        for (index, command) in commands.iter().enumerate() {
            match apply::apply(&mut state, command, Origin { sequence, index, time_ms })? {
                Ok(outcome) => {
                    accepted.outcomes.push(outcome);
                    accepted.changes.push(std::mem::take(&mut state.changed));
                }
                Err(refusal) => {
                    for (key, before) in state.undo.into_iter().rev() {
                        match before {
                            Some(entry) => state.staged.entries.insert(key, entry),
                            None => state.staged.entries.remove(&key),
                        };
                    }
                    return Ok(Err(refusal));
                }
            }
        }
        Ok(Ok(accepted))
    }

    /// Applies a batch that is durable in the log as the next record.
    pub(super) fn apply_accepted(&mut self, accepted: Accepted, chain: ChainHash) -> Result<(), StoreError> {
        for (index, changes) in accepted.changes.into_iter().enumerate() {
            self.make_room(index as u64)?;
            self.chunk.extend(changes);
        }
        self.record_applied(chain);
        Ok(())
    }

    /// Applies a batch that was read back from the log as the next record. What of it the store has already is
    /// not applied again.
    pub(super) fn apply_recovered(
        &mut self,
        commands: &[Command],
        sequence: u64,
        time_ms: u64,
        chain: ChainHash,
    ) -> Result<(), StoreError> {
        match self.position.partial {
            // Judged and accepted before the crash; the state that it was judged by is gone.
            Some(applied) => {
                let done = usize::try_from(applied.commands).expect("a record has few commands");
                for (index, command) in commands.iter().enumerate().skip(done) {
                    self.make_room(index as u64)?;
                    // The state is the one after the commands before, so this one has the outcome that it had.
                    let _ = apply::apply(self, command, Origin { sequence, index, time_ms })?;
                }
                self.record_applied(chain);
                Ok(())
            }
            None => match self.judge(&mut Staged::default(), commands, sequence, time_ms)? {
                Ok(accepted) => self.apply_accepted(accepted, chain),
                // A refusal is an outcome like any other: the same on every node.
                Err(_) => {
                    self.record_applied(chain);
                    Ok(())
                }
            },
        }
    }

    /// Takes note of a set that begins with the next record.
    pub(super) fn begin_set(&mut self, set: SetId, chain: ChainHash) {
        self.sets.insert(set, Vec::new());
        self.record_applied(chain);
    }

    /// Takes note of a part of a set that is the next record. A part of a set that is not open is dropped.
    pub(super) fn add_part(&mut self, set: SetId, location: Location, chain: ChainHash) {
        self.collect_part(set, location);
        self.record_applied(chain);
    }

    /// Takes note of a part that lies before the position, when a recovery reads it again.
    pub(super) fn collect_part(&mut self, set: SetId, location: Location) {
        if let Some(parts) = self.sets.get_mut(&set) {
            parts.push(location);
        }
    }

    /// Forgets a set: it will not be committed.
    pub(super) fn drop_set(&mut self, set: SetId) {
        self.sets.remove(&set);
    }

    /// Forgets all sets, as a new process must: their writers are gone.
    pub(super) fn drop_all_sets(&mut self) {
        self.sets.clear();
    }

    /// Applies the parts of a set, which the next record commits. `read_part` reads the commands of a part and
    /// its sequence; `applied` is told of every outcome.
    pub(super) fn commit_set<E: From<StoreError>>(
        &mut self,
        set: SetId,
        time_ms: u64,
        chain: ChainHash,
        read_part: &mut dyn FnMut(Location) -> Result<(u64, Vec<Command>), E>,
        applied: &mut dyn FnMut(Outcome),
    ) -> Result<(), E> {
        let done = self.position.partial.map_or(0, |applied| applied.commands);
        let mut count = 0;
        for location in self.sets.get(&set).cloned().unwrap_or_default() {
            let (sequence, commands) = read_part(location)?;
            for (index, command) in commands.iter().enumerate() {
                if count >= done {
                    self.make_room(count)?;
                    let outcome = apply::apply(self, command, Origin { sequence, index, time_ms })?;
                    applied(outcome.expect("a command of a set has no precondition"));
                }
                count += 1;
            }
        }
        self.sets.remove(&set);
        self.record_applied(chain);
        Ok(())
    }

    fn record_applied(&mut self, chain: ChainHash) {
        self.position.sequence += 1;
        self.position.chain = chain;
        self.position.partial = None;
    }

    /// Flushes if the chunk can't take the changes of one more command, the one after `commands` of the record.
    fn make_room(&mut self, commands: u64) -> Result<(), StoreError> {
        if self.chunk.len() + ENTRIES_PER_COMMAND > WRITES_PER_APPLY {
            // Between records, the position says all; within one, how far.
            self.position.partial = (commands > 0).then_some(Applied { commands });
            self.flush()?;
        }
        Ok(())
    }

    /// Brings what is applied to the store and to the caches.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.chunk.is_empty() { Ok(()) } else { self.flush_with_position() }
    }

    /// The same, and the position also if nothing else is new: records that change nothing need not be read again.
    pub(super) fn flush_with_position(&mut self) -> Result<(), StoreError> {
        self.position.open_sets = self.sets.keys().copied().collect();
        let writes: Vec<Write> = self
            .chunk
            .iter()
            .map(|(key, entry)| Write {
                key: key.as_bytes().to_vec(),
                value: (*entry != StoredEntry::default()).then(|| entry.encode(key.as_bytes())),
            })
            .collect();
        self.store.apply(&writes, &self.position)?;
        // The store first, then the caches: a reader that finds nothing cached must find the new entry (I5).
        for (key, entry) in self.chunk.drain() {
            let hash = self.shared.hash(key.as_bytes());
            self.shared.replace(hash, key.as_bytes(), Some(read::cached_link(key.as_bytes(), &entry)));
        }
        Ok(())
    }
}
