//! A change too large for one record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::requests::{Acknowledged, Request, Requests, SubmitError};
use crate::limits::{BATCH_COMMANDS, RECORD_PAYLOAD_BYTES, SET_PARTS_WAITING};
use crate::link::{Action, Command, LinkKey, Outcome, Precondition, SetId};

/// What became of a set, in commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetSummary {
    /// Links that are new.
    pub created: u64,
    /// Links that have another destination.
    pub replaced: u64,
    /// Links that are gone.
    pub deleted: u64,
    /// Commands that had nothing to change.
    pub unchanged: u64,
}

impl SetSummary {
    /// Counts one more outcome.
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Created(_) => self.created += 1,
            Outcome::Replaced { .. } => self.replaced += 1,
            Outcome::Deleted => self.deleted += 1,
            Outcome::Unchanged => self.unchanged += 1,
        }
    }

    /// How many commands there were.
    pub fn commands(&self) -> u64 {
        self.created + self.replaced + self.deleted + self.unchanged
    }
}

/// A set that is being written. Its parts go to the log as they come; they take effect with
/// [`commit`](Self::commit). Dropped before that, the set never was.
pub struct SetWriter {
    requests: Requests,
    set: SetId,
    part: Vec<Command>,
    part_bytes: usize,
    places: Places,
    applied: Arc<AtomicU64>,
    committed: bool,
}

/// The places for parts that wait for the writer: [`SET_PARTS_WAITING`] (I6).
struct Places {
    take: Sender<()>,
    give_back: Receiver<()>,
}

/// The place of one part, given back when the part is no longer held.
pub(super) struct Place {
    give_back: Receiver<()>,
}

impl Places {
    fn new() -> Self {
        let (take, give_back) = crossbeam_channel::bounded(SET_PARTS_WAITING);
        Places { take, give_back }
    }

    /// Waits for a place.
    fn take(&self, requests: &Requests) -> Result<Place, SubmitError> {
        requests.send_or_ended(&self.take)?;
        Ok(Place { give_back: self.give_back.clone() })
    }
}

#[cfg(test)]
impl Place {
    /// One of any number.
    pub(super) fn unlimited() -> Self {
        Place { give_back: crossbeam_channel::never() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // There is one message for each place that is taken.
        let _ = self.give_back.try_recv();
    }
}

/// What a command takes in a record beyond its key and target, at most: tags, lengths and the status.
const COMMAND_OVERHEAD_BYTES: usize = 48;

impl SetWriter {
    pub(super) fn begin(requests: Requests) -> Result<Self, SubmitError> {
        let set = requests.ask(|reply| Request::SetBegin { reply })?;
        Ok(SetWriter {
            requests,
            set,
            part: Vec::new(),
            part_bytes: 0,
            places: Places::new(),
            applied: Arc::new(AtomicU64::new(0)),
            committed: false,
        })
    }

    /// Adds a change. Waits while [`SET_PARTS_WAITING`] parts of the set lie before the writer.
    ///
    /// # Errors
    /// If the writer has ended. Other errors come with [`commit`](Self::commit).
    ///
    /// # Panics
    /// If the action is one that may be refused: a set can hold [`Action::Put`] and [`Action::Delete`].
    pub fn add(&mut self, key: LinkKey, action: Action) -> Result<(), SubmitError> {
        let command = Command { key, action, precondition: Precondition::None };
        assert!(command.is_certain(), "a set can't hold what may be refused: {command:?}");
        let target_bytes = match &command.action {
            Action::Put(destination) => destination.target().map_or(0, |target| target.as_str().len()),
            _ => 0,
        };
        let bytes = command.key.as_str().len() + target_bytes + COMMAND_OVERHEAD_BYTES;
        if self.part.len() == BATCH_COMMANDS || self.part_bytes + bytes > RECORD_PAYLOAD_BYTES {
            self.send_part()?;
        }
        self.part_bytes += bytes;
        self.part.push(command);
        Ok(())
    }

    fn send_part(&mut self) -> Result<(), SubmitError> {
        let commands = std::mem::take(&mut self.part);
        self.part_bytes = 0;
        let place = self.places.take(&self.requests)?;
        self.requests.send(Request::SetPart { set: self.set, commands, place })
    }

    /// How many commands of the set have been applied; it rises during [`commit`](Self::commit).
    pub fn applied(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.applied)
    }

    /// Makes the set durable and applies it, and returns when every later request sees all of it. While it is
    /// applied, readers see it arrive in order.
    ///
    /// # Errors
    /// If the log could not be written. Then the set has not been applied, and will not be, unless the error
    /// says that the outcome is unknown.
    pub fn commit(mut self) -> Result<Acknowledged<SetSummary>, SubmitError> {
        if !self.part.is_empty() {
            self.send_part()?;
        }
        let applied = Arc::clone(&self.applied);
        self.committed = true;
        self.requests.ask(|reply| Request::SetCommit { set: self.set, applied, reply })
    }
}

impl Drop for SetWriter {
    fn drop(&mut self) {
        if !self.committed {
            // If the writer has ended, the set is forgotten already.
            let _ = self.requests.send(Request::SetDrop { set: self.set });
        }
    }
}

/// Counts an applied command for whoever watches.
pub(super) fn count_applied(applied: &AtomicU64) {
    applied.fetch_add(1, Ordering::Relaxed);
}
