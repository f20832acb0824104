//! Brings records to the store, in the chunks that the store can take, and to what it is seen through.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::apply::{self, Origin, Rules, State};
use super::read;
use super::snapshot::{End, Overlay};
use super::tables::Tables;
use super::views::Views;
use crate::limits::{OPERATION_MEMORY_MS, OPERATION_MEMORY_SLACK_MS, OPERATIONS_FORGOTTEN, TAGS};
use crate::link::{
    Action, Change, Command, HostRecord, LinkId, Operation, Outcome, Refusal, SetId, StoredEntry, decode_host,
};
use crate::log::{ChainHash, Location, OperationId};
use crate::store::{Applied, Position, Store, StoreError, Write, keyspace};

/// Most writes that a command leads to which gives a link a destination: its own entry, and that of its path.
const WRITES_PER_PUT: usize = 2;

/// Most writes that any other command leads to: beside these the tags that go and come, and the count of codes.
const WRITES_PER_COMMAND: usize = WRITES_PER_PUT + 2 * TAGS + 1;

/// Most writes by which an operation is remembered: what became of it, its place in time, and that of an operation
/// that had the same id a day before.
const WRITES_PER_OPERATION: usize = 3;

/// What is forgotten and what is remembered stand in one batch with the first command of their record, in every store:
/// else a crash in between would let the next start forget more than this one did (I3).
const _: () = assert!(
    2 * OPERATIONS_FORGOTTEN + WRITES_PER_OPERATION + WRITES_PER_COMMAND <= crate::limits::STORE_BATCH_WRITES_MIN
);

/// The store as the log leads to it.
pub(super) struct Applier {
    store: Arc<dyn Store>,
    /// None while it replays: what is not brought up to the log is shown to nobody.
    views: Option<Arc<Views>>,
    position: Position,
    /// Up to which record the log is durable.
    durable: u64,
    /// Entries that are applied and not yet in the store.
    chunk: HashMap<Box<str>, StoredEntry>,
    /// What else is applied and not yet in the store, by typed key.
    values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Links that are no more, and of which the views don't know it yet.
    ended: Vec<LinkId>,
    /// The hosts and tokens that the store holds.
    tables: Arc<Tables>,
    /// A time that no operation that is remembered is older than, if there is one, once that was looked up.
    oldest_operation: Option<Option<u64>>,
    /// The parts of the sets that are neither committed nor dropped.
    sets: BTreeMap<SetId, Vec<Location>>,
    /// The snapshot that is being taken.
    overlay: Option<Arc<Overlay>>,
}

/// What a group has changed so far, on top of the state, and not yet given to the applier.
#[derive(Default)]
pub(super) struct Staged {
    entries: HashMap<Box<str>, StoredEntry>,
    values: HashMap<Vec<u8>, Option<Vec<u8>>>,
    operations: HashMap<OperationId, Operation>,
}

impl Staged {
    /// The value of a typed key that is no entry, if the group has changed that: None in it is none.
    pub(super) fn value(&self, typed: &[u8]) -> Option<Option<&[u8]>> {
        self.values.get(typed).map(|value| value.as_deref())
    }

    /// Takes note of an operation of the group.
    pub(super) fn remember(&mut self, id: OperationId, operation: Operation) {
        self.operations.insert(id, operation);
    }
}

/// An operation with its name.
pub(super) type Named = (OperationId, Operation);

/// A batch that was judged and accepted.
pub(super) struct Accepted {
    pub(super) outcomes: Vec<Outcome>,
    /// What each command changed, in order; one inner vector a command.
    changes: Vec<Vec<Changed>>,
}

impl Accepted {
    /// Whether the batch changes anything.
    pub(super) fn changes_nothing(&self) -> bool {
        self.changes.iter().all(Vec::is_empty)
    }
}

/// One thing of the state that a command changed.
enum Changed {
    Entry(Box<str>, StoredEntry),
    Value(Vec<u8>, Option<Vec<u8>>),
    LinkEnded(LinkId),
}

/// What `staged` held before a change.
enum Before {
    Entry(Box<str>, Option<StoredEntry>),
    Value(Vec<u8>, Option<Option<Vec<u8>>>),
}

/// A record that is read back from the log, as far as it concerns a batch.
pub(super) struct ReplayedRecord {
    pub(super) rules: Rules,
    pub(super) sequence: u64,
    pub(super) time_ms: u64,
    pub(super) chain: ChainHash,
    pub(super) operation: OperationId,
    pub(super) fingerprint: [u8; 16],
}

/// The state under a batch that is being judged: what it changed, what batches before it changed, the store.
struct Judged<'a> {
    applier: &'a Applier,
    staged: &'a mut Staged,
    /// What `staged` held before, in order of change, to go back there if the batch is refused.
    undo: Vec<Before>,
    changed: Vec<Changed>,
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
        self.undo.push(Before::Entry(key.into(), before));
        self.changed.push(Changed::Entry(key.into(), entry));
    }

    fn value(&self, typed: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.staged.values.get(typed) {
            Some(value) => Ok(value.clone()),
            None => self.applier.value(typed),
        }
    }

    fn set_value(&mut self, typed: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.staged.values.insert(typed.clone(), value.clone());
        self.undo.push(Before::Value(typed.clone(), before));
        self.changed.push(Changed::Value(typed, value));
    }

    fn host(&self, host: &str) -> Result<Option<Arc<HostRecord>>, StoreError> {
        match self.staged.values.get(&keyspace::host_key(host)) {
            Some(value) => read_host(host, value.as_deref()),
            None => self.applier.host(host),
        }
    }

    fn link_ended(&mut self, id: LinkId) {
        self.changed.push(Changed::LinkEnded(id));
    }
}

impl Judged<'_> {
    /// Makes `staged` what it was before.
    fn take_back(self) {
        for before in self.undo.into_iter().rev() {
            match before {
                Before::Entry(key, Some(entry)) => drop(self.staged.entries.insert(key, entry)),
                Before::Entry(key, None) => drop(self.staged.entries.remove(&key)),
                Before::Value(typed, Some(value)) => drop(self.staged.values.insert(typed, value)),
                Before::Value(typed, None) => drop(self.staged.values.remove(&typed)),
            }
        }
    }
}

/// Most writes that a command leads to.
fn writes_of(command: &Command) -> usize {
    if matches!(command.action, Action::Put(_)) { WRITES_PER_PUT } else { WRITES_PER_COMMAND }
}

fn forget_uses(views: &Views, ended: &mut Vec<LinkId>) {
    for id in ended.drain(..) {
        views.uses.iter().for_each(|uses| uses.forget(id.0));
    }
}

pub(super) fn read_host(name: &str, value: Option<&[u8]>) -> Result<Option<Arc<HostRecord>>, StoreError> {
    let damaged = |error| StoreError::Damaged { key: name.to_owned(), error };
    value.map(|value| decode_host(name.as_bytes(), value).map(Arc::new)).transpose().map_err(damaged)
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

    fn value(&self, typed: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.values.get(typed) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(typed),
        }
    }

    fn set_value(&mut self, typed: Vec<u8>, value: Option<Vec<u8>>) {
        self.values.insert(typed, value);
    }

    fn host(&self, host: &str) -> Result<Option<Arc<HostRecord>>, StoreError> {
        // Most often there is nothing to look for, and no key is built.
        match if self.values.is_empty() { None } else { self.values.get(&keyspace::host_key(host)) } {
            Some(value) => read_host(host, value.as_deref()),
            None => Ok(self.tables.host(host.as_bytes()).map(|entry| Arc::clone(&entry.record))),
        }
    }

    fn link_ended(&mut self, id: LinkId) {
        self.ended.push(id);
    }
}

impl Applier {
    /// The state that a store holds at a position. Nobody sees it before it is [attached](Self::attach).
    pub(super) fn new(store: Arc<dyn Store>, position: Position) -> Result<Self, StoreError> {
        Ok(Applier {
            tables: Arc::new(Tables::load(store.as_ref())?),
            store,
            views: None,
            durable: position.durable,
            position,
            chunk: HashMap::new(),
            values: BTreeMap::new(),
            ended: Vec::new(),
            oldest_operation: None,
            sets: BTreeMap::new(),
            overlay: None,
        })
    }

    /// The hosts and tokens that the store holds.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Takes note of how far the log is durable.
    pub(super) fn set_durable(&mut self, durable: u64) {
        self.durable = durable;
    }

    /// Whether the store holds all that is applied, and no part of a record. Not so after it failed.
    pub(super) fn is_whole(&self) -> bool {
        self.chunk.is_empty() && self.values.is_empty() && self.position.partial.is_none()
    }

    /// Keeps the state as it is now for a snapshot. There must be nothing that is not in the store yet.
    pub(super) fn set_overlay(&mut self, overlay: Arc<Overlay>) {
        assert!(self.is_whole(), "a snapshot is of the state after a record");
        assert!(self.overlay.as_ref().is_none_or(|overlay| overlay.has_ended()), "one snapshot at a time");
        self.overlay = Some(overlay);
    }

    /// Has the snapshot given up that is being taken: the store is not used any more.
    pub(super) fn stop_snapshot(&self) {
        self.overlay.iter().for_each(|overlay| overlay.stop(End::StoreReplaced));
    }

    /// Judges a batch against the state and what is staged. Accepted, its changes are staged; refused, nothing
    /// changes, and beside the refusal stands the place of the command that was refused.
    pub(super) fn judge(
        &self,
        staged: &mut Staged,
        change: &Change,
        sequence: u64,
        time_ms: u64,
        rules: Rules,
    ) -> Result<Result<Accepted, (Refusal, usize)>, StoreError> {
        let mut state = Judged { applier: self, staged, undo: Vec::new(), changed: Vec::new() };
        let mut accepted = Accepted { outcomes: Vec::new(), changes: Vec::new() };
        for index in 0..apply::commands(change) {
            match apply::apply(&mut state, change, Origin { sequence, index, time_ms, rules })? {
                Ok(outcome) => {
                    accepted.outcomes.push(outcome);
                    accepted.changes.push(std::mem::take(&mut state.changed));
                }
                Err(refusal) => {
                    state.take_back();
                    return Ok(Err((refusal, index)));
                }
            }
        }
        Ok(Ok(accepted))
    }

    /// What became of an operation, if it was made within the last 24 hours.
    pub(super) fn operation(
        &self,
        staged: &Staged,
        id: OperationId,
        now_ms: u64,
    ) -> Result<Option<Operation>, StoreError> {
        let operation = match staged.operations.get(&id) {
            Some(operation) => Some(operation.clone()),
            None => self.stored_operation(id)?,
        };
        Ok(operation.filter(|operation| operation.time_ms.saturating_add(OPERATION_MEMORY_MS) > now_ms))
    }

    fn stored_operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let typed = keyspace::operation_key(id.0);
        let bytes = self.value(&typed)?;
        let decode = |bytes: Vec<u8>| Operation::decode(id.0, &bytes);
        bytes.map(decode).transpose().map_err(|error| StoreError::Damaged { key: format!("operation {id}"), error })
    }

    /// Applies a batch that is durable in the log as the next record.
    pub(super) fn apply_accepted(
        &mut self,
        accepted: Accepted,
        operation: Option<Named>,
        chain: ChainHash,
    ) -> Result<(), StoreError> {
        // First, so that it is there already if a crash leaves only a part of the batch applied: then the state that
        // its outcomes came from is gone.
        self.remember(operation)?;
        for (index, changes) in accepted.changes.into_iter().enumerate() {
            self.make_room(changes.len(), index as u64)?;
            for changed in changes {
                match changed {
                    Changed::Entry(key, entry) => drop(self.chunk.insert(key, entry)),
                    Changed::Value(typed, value) => drop(self.values.insert(typed, value)),
                    Changed::LinkEnded(id) => self.ended.push(id),
                }
            }
        }
        self.record_applied(chain);
        Ok(())
    }

    /// Applies that a batch which is in the log as the next record was refused.
    pub(super) fn apply_refused(&mut self, operation: Option<Named>, chain: ChainHash) -> Result<(), StoreError> {
        self.remember(operation)?;
        self.record_applied(chain);
        Ok(())
    }

    /// Applies a batch that was read back from the log as the next record. What of it the store has already is
    /// not applied again.
    pub(super) fn apply_recovered(&mut self, change: &Change, record: &ReplayedRecord) -> Result<(), StoreError> {
        let &ReplayedRecord { rules, sequence, time_ms, chain, operation, fingerprint } = record;
        let named = |result| {
            (operation != OperationId::NONE).then_some((operation, Operation { time_ms, fingerprint, result }))
        };
        match self.position.partial {
            // Judged and accepted before the crash; the state that it was judged by is gone.
            Some(applied) => {
                let done = usize::try_from(applied.commands).expect("a record has few commands");
                for index in done..apply::commands(change) {
                    self.make_room(WRITES_PER_COMMAND, index as u64)?;
                    // The state is the one after the commands before, so this one has the outcome that it had.
                    let _ = apply::apply(self, change, Origin { sequence, index, time_ms, rules })?;
                }
                self.record_applied(chain);
                Ok(())
            }
            None => match self.judge(&mut Staged::default(), change, sequence, time_ms, rules)? {
                Ok(accepted) => {
                    let outcomes = accepted.outcomes.clone();
                    self.apply_accepted(accepted, named(Ok(outcomes)), chain)
                }
                // A refusal is an outcome like any other: the same on every node.
                Err((refusal, _)) => self.apply_refused(named(Err(refusal)), chain),
            },
        }
    }

    /// Remembers an operation, before anything else of its record is applied.
    fn remember(&mut self, operation: Option<Named>) -> Result<(), StoreError> {
        let Some((id, operation)) = operation else { return Ok(()) };
        self.forget_old_operations(operation.time_ms)?;
        // With the first command, so that an operation is never in the store before its record is applied in part.
        self.make_room(WRITES_PER_OPERATION + WRITES_PER_COMMAND, 0)?;
        if let Some(before) = self.stored_operation(id)? {
            self.values.insert(keyspace::operation_time_key(before.time_ms, id.0), None);
        }
        self.values.insert(keyspace::operation_key(id.0), Some(operation.encode(id.0)));
        self.values.insert(keyspace::operation_time_key(operation.time_ms, id.0), Some(Vec::new()));
        let oldest = self.oldest_operation()?.map_or(operation.time_ms, |oldest| oldest.min(operation.time_ms));
        self.oldest_operation = Some(Some(oldest));
        Ok(())
    }

    fn oldest_operation(&mut self) -> Result<Option<u64>, StoreError> {
        if self.oldest_operation.is_none() {
            self.oldest_operation = Some(self.operations_by_time(1)?.first().map(|&(time_ms, _)| time_ms));
        }
        Ok(self.oldest_operation.flatten())
    }

    /// The oldest operations in the store, at most so many.
    fn operations_by_time(&self, most: usize) -> Result<Vec<(u64, [u8; 16])>, StoreError> {
        let mut found = Vec::new();
        self.store.scan(&[keyspace::OPERATION_TIME], &mut |typed, _| {
            match keyspace::split(typed).filter(|&(kind, _)| kind == keyspace::OPERATION_TIME) {
                Some((_, key)) => found.extend(keyspace::split_operation_time(key)),
                None => return std::ops::ControlFlow::Break(()),
            }
            if found.len() < most { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })?;
        Ok(found)
    }

    /// Removes the oldest operations that need not be remembered at this time any more: a function of state and time
    /// alone (I3), however the state is spread over chunk and store.
    fn forget_old_operations(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let is_old = |time_ms: u64, slack_ms| time_ms.saturating_add(OPERATION_MEMORY_MS + slack_ms) <= now_ms;
        if !self.oldest_operation()?.is_some_and(|oldest| is_old(oldest, OPERATION_MEMORY_SLACK_MS)) {
            return Ok(());
        }
        self.position.partial = None;
        self.flush()?;
        let mut oldest = self.operations_by_time(OPERATIONS_FORGOTTEN + 1)?;
        if !oldest.first().is_some_and(|&(time_ms, _)| is_old(time_ms, OPERATION_MEMORY_SLACK_MS)) {
            // What was known was older: that operation has been made again since.
            self.oldest_operation = Some(oldest.first().map(|&(time_ms, _)| time_ms));
            return Ok(());
        }
        let young = oldest.iter().position(|&(time_ms, _)| !is_old(time_ms, 0)).unwrap_or(oldest.len());
        let kept = oldest.split_off(young.min(OPERATIONS_FORGOTTEN));
        for (time_ms, id) in oldest {
            self.values.insert(keyspace::operation_key(id), None);
            self.values.insert(keyspace::operation_time_key(time_ms, id), None);
        }
        self.oldest_operation = Some(kept.first().map(|&(time_ms, _)| time_ms));
        Ok(())
    }

    /// Takes note of a set that begins with the next record.
    pub(super) fn begin_set(&mut self, set: SetId, chain: ChainHash) {
        self.collect_set(set);
        self.record_applied(chain);
    }

    /// Takes note of a part of a set that is the next record. A part of a set that is not open is dropped.
    pub(super) fn add_part(&mut self, set: SetId, location: Location, chain: ChainHash) {
        self.collect_part(set, location);
        self.record_applied(chain);
    }

    /// Takes note of a set that began before the position, when a recovery reads that again.
    pub(super) fn collect_set(&mut self, set: SetId) {
        self.sets.insert(set, Vec::new());
    }

    /// Takes note of a part that lies before the position, when a recovery reads it again.
    pub(super) fn collect_part(&mut self, set: SetId, location: Location) {
        if let Some(parts) = self.sets.get_mut(&set) {
            parts.push(location);
        }
    }

    /// Forgets a set: it will not be committed, or was.
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
        rules: Rules,
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
                    self.make_room(writes_of(command), count)?;
                    let outcome = apply::apply_of_set(self, command, Origin { sequence, index, time_ms, rules })?;
                    applied(outcome.expect("a command of a set is accepted in any state"));
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

    /// Flushes if the chunk can't take so many writes more, after `commands` of the record.
    fn make_room(&mut self, writes: usize, commands: u64) -> Result<(), StoreError> {
        if self.chunk.len() + self.values.len() + writes > self.store.writes_per_apply() {
            // Between records, the position says all; within one, how far.
            self.position.partial = (commands > 0).then_some(Applied { commands });
            self.flush()?;
        }
        Ok(())
    }

    /// Brings what is applied to the store and to the caches.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.chunk.is_empty() && self.values.is_empty() { Ok(()) } else { self.flush_with_position() }
    }

    /// The same, and the position also if nothing else is new: records that change nothing need not be read again.
    pub(super) fn flush_with_position(&mut self) -> Result<(), StoreError> {
        self.position.durable = self.durable;
        self.position.replay_from =
            self.sets.first_key_value().map_or(self.position.sequence + 1, |(first, _)| first.0);
        let entries = self.chunk.iter().map(|(key, entry)| Write {
            key: keyspace::entry_key(key.as_bytes()),
            value: (*entry != StoredEntry::default()).then(|| entry.encode(key.as_bytes())),
        });
        let values = self.values.iter().map(|(key, value)| Write { key: key.clone(), value: value.clone() });
        let writes: Vec<Write> = entries.chain(values).collect();
        if let Some(overlay) = &self.overlay
            && !overlay.keep(self.store.as_ref(), &writes)?
        {
            self.overlay = None;
        }
        self.store.apply(&writes, &self.position)?;
        self.values.clear();
        let changed = self.tables.after(&writes)?.map(Arc::new);
        if let Some(tables) = &changed {
            self.tables = Arc::clone(tables);
        }
        let Some(views) = &self.views else {
            self.chunk.clear();
            return Ok(());
        };
        // The store first, then the views: a reader that finds nothing cached must find the new entry (I5).
        changed.into_iter().for_each(|tables| views.tables.publish(tables));
        // And before a stamp moves: who sees that the entry is new must not be told that there is none.
        if let Some(mut additions) = views.filter.additions() {
            for (key, entry) in &self.chunk {
                let hash = views.cache.hash(key.as_bytes());
                match *entry == StoredEntry::default() {
                    true => additions.note_removed(hash),
                    false => additions.add(hash),
                }
            }
        }
        for (key, entry) in self.chunk.drain() {
            let hash = views.cache.hash(key.as_bytes());
            views.cache.replace(hash, key.as_bytes(), Some(read::cached_link(key.as_bytes(), &entry)));
        }
        // Last: a link whose clicks are used up must not begin anew while somebody still finds it cached.
        forget_uses(views, &mut self.ended);
        Ok(())
    }

    /// Has these views show what the store holds, from now on and always. What the cache holds of before is not looked
    /// at.
    pub(super) fn attach(&mut self, views: Arc<Views>) {
        views.tables.publish(Arc::clone(&self.tables));
        forget_uses(&views, &mut self.ended);
        views.filter.resume();
        self.views = Some(views);
    }
}
