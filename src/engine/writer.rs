//! The one writer (I2): everything that changes links passes through this thread, in one order.
//!
//! It takes what waits, judges it, appends it to the log, makes it durable with one sync for all of it, applies it to
//! store and caches, and answers (I1). While it syncs, the next group gathers.
//!
//! What can go wrong:
//!
//! - The disk is full: nothing of the group stays in the log, and changes are paused until there is room.
//! - A write or sync of the log fails otherwise: nothing is acknowledged any more (I9).
//! - The store fails: the log has what it lacks. It is opened again and brought up to the log, at once or, if that
//!   can't be done, every second; meanwhile changes are paused.

mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::admission::Admission;
use super::applier::Applier;
use super::apply::{self, Rules};
use super::ground::Ground;
use super::group::{Answer, Group, GroupFailure, Step};
use super::health::SharedHealth;
use super::recover;
use super::requests::{Acknowledged, Request, RequestQueue, Submission, SubmitError};
use super::set::{SetSummary, count_applied};
use super::slot::StoreSlot;
use super::snapshot::Begun;
use super::views::Views;
use crate::config::Durability;
use crate::limits::{BATCH_COMMANDS, GROUP_BYTES, GROUP_RECORDS, OPEN_SETS, PAUSE_MS, RECORD_PAYLOAD_BYTES};
use crate::link::{Actor, Command, Operation, Outcome, Payload, SetId, decode_payload, encode_payload};
use crate::log::{Location, Log, LogError, OperationId};
use crate::store::StoreError;
use trouble::Trouble;

/// Why changes can't be applied, or read again.
pub(super) enum Failure {
    Log(LogError),
    Store(StoreError),
    Record { sequence: u64, reason: String },
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Failure::Log(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl Failure {
    fn reason(&self) -> String {
        match self {
            Failure::Log(error) => error.to_string(),
            Failure::Store(error) => error.to_string(),
            Failure::Record { sequence, reason } => format!("record {sequence} of the log: {reason}"),
        }
    }
}

/// The body of the writer thread.
pub(super) fn run(mut writer: Writer, requests: &RequestQueue) {
    loop {
        let first = match writer.patience() {
            None => requests.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => requests.queue.recv_timeout(patience),
        };
        let goes_on = match first {
            Ok(first) => writer.run_group(first, &requests.queue),
            Err(RecvTimeoutError::Timeout) => {
                writer.look_after_itself();
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
        };
        if !goes_on {
            break;
        }
    }
    writer.sync_behind();
}

pub(super) struct Writer {
    ground: Arc<Ground>,
    log: Log,
    views: Arc<Views>,
    slot: Arc<StoreSlot>,
    health: SharedHealth,
    /// None while the store can't be used.
    applier: Option<Applier>,
    /// The sets that are being written; what went wrong with those that can't be committed any more.
    open_sets: BTreeMap<SetId, Option<String>>,
    trouble: Option<Trouble>,
    /// When it was last tried to end the trouble, or to sync what nobody waits for.
    looked: Instant,
    /// Bytes of the log since a snapshot was last asked for.
    bytes_since_snapshot: u64,
    /// Asks for a snapshot.
    snapshots: Option<Sender<()>>,
}

impl Writer {
    pub(super) fn new(
        ground: Arc<Ground>,
        recovered: recover::Recovered,
        slot: Arc<StoreSlot>,
        views: Arc<Views>,
        health: SharedHealth,
    ) -> Self {
        Writer {
            looked: (ground.instant)(),
            ground,
            log: recovered.log,
            views,
            slot,
            health,
            applier: Some(recovered.applier),
            open_sets: BTreeMap::new(),
            trouble: None,
            bytes_since_snapshot: recovered.bytes_since_snapshot,
            snapshots: None,
        }
    }

    /// Has snapshots asked for through this channel when the log has grown enough.
    pub(super) fn with_snapshots(mut self, snapshots: Sender<()>) -> Self {
        self.snapshots = Some(snapshots);
        self
    }

    /// Whether changes are accepted, to share.
    pub(super) fn health(&self) -> &SharedHealth {
        &self.health
    }

    /// Takes a group from the queue and does all of it. False if the writer is to end.
    pub(super) fn run_group(&mut self, first: Request, queue: &Receiver<Request>) -> bool {
        if self.since_looked() >= Duration::from_millis(PAUSE_MS) {
            self.look_after_itself();
        }
        if matches!(self.trouble, None | Some(Trouble::Full(_))) {
            self.look_for_room();
        }
        let mut group = Group::default();
        let mut next = Some(first);
        let mut goes_on = true;
        while let Some(request) = next.take() {
            match request {
                Request::Change(submission, reply) => {
                    let result = self.log_change(*submission, &mut group);
                    group.answers.push(Answer::Change { result, reply });
                }
                Request::SetBegin { reply } => {
                    let result = self.log_set_begin(&mut group);
                    group.answers.push(Answer::SetBegin { result, reply });
                }
                Request::SetPart { set, commands, place } => {
                    self.log_set_part(set, commands, &mut group);
                    drop(place);
                }
                Request::SetDrop { set } => {
                    self.open_sets.remove(&set);
                    self.applier.iter_mut().for_each(|applier| applier.drop_set(set));
                }
                // What these do is no part of a group: it ends before them. If nobody waits for the answer any more, a
                // change stands all the same.
                Request::SetCommit { set, applied, reply } => {
                    self.finish_group(std::mem::take(&mut group));
                    let _ = reply.send(self.commit_set(set, &applied));
                }
                Request::SnapshotBegin { is_backup, reply } => {
                    self.finish_group(std::mem::take(&mut group));
                    let _ = reply.send(self.begin_snapshot(is_backup));
                }
                Request::CutLog { before, reply } => {
                    self.finish_group(std::mem::take(&mut group));
                    let _ = reply.send(self.cut_log(before));
                }
                Request::Stop => {
                    goes_on = false;
                    break;
                }
            }
            if group.answers.len() < GROUP_RECORDS && self.log.buffered_bytes() < GROUP_BYTES {
                next = queue.try_recv().ok();
            }
        }
        self.finish_group(group);
        if goes_on {
            self.ask_for_snapshot();
        }
        goes_on
    }

    fn log_change(&mut self, submission: Submission, group: &mut Group) -> Result<Vec<Outcome>, SubmitError> {
        self.check_open()?;
        let Submission { actor, operation, change } = submission;
        // In the log it is what stands where there is none.
        let operation = operation.filter(|&id| id != OperationId::NONE);
        let payload = Payload::Change(change);
        let bytes = encode_payload(&payload, &actor);
        let Payload::Change(change) = payload else { unreachable!("made above") };
        let commands = apply::commands(&change);
        if commands > BATCH_COMMANDS || bytes.len() > RECORD_PAYLOAD_BYTES {
            return Err(SubmitError::TooLarge { commands, bytes: bytes.len() });
        }
        let time_ms = self.ground.now_ms();
        self.admit(group, time_ms, |admission| admission.of_actor(&actor))?;
        let named = operation.map(|id| (id, Operation::fingerprint_of(&bytes)));
        if let Some((id, fingerprint)) = named
            && let Some(known) = self.read_state(|applier| applier.operation(&group.staged, id, time_ms))?
        {
            return match known.fingerprint == fingerprint {
                true => known.result.map_err(|refusal| SubmitError::Refused(refusal, None)),
                false => Err(SubmitError::OperationReused(id)),
            };
        }
        self.admit(group, time_ms, |admission| admission.of_codes(&change))?;
        // Before the batch is staged: without room it must leave nothing behind.
        self.make_room(bytes.len(), group)?;
        let sequence = self.log.next_sequence();
        let judged =
            self.read_state(|applier| applier.judge(&mut group.staged, &change, sequence, time_ms, Rules::default()))?;
        let result = judged.as_ref().map(|accepted| accepted.outcomes.clone());
        let remembered = |(id, fingerprint)| {
            let result = result.clone().map_err(|(refusal, _)| refusal.clone());
            (id, Operation { time_ms, fingerprint, result })
        };
        let operation = named.map(remembered);
        let result = result.map_err(|(refusal, index)| SubmitError::Refused(refusal.clone(), Some(*index)));
        if let Some((id, operation)) = &operation {
            group.staged.remember(*id, operation.clone());
        }
        match (judged, operation) {
            // What changes nothing needs no record, nor does what was refused, while this is the only writer; unless it
            // has a name that is to be remembered.
            (Ok(accepted), None) if accepted.changes_nothing() => {}
            (Err(_), None) => {}
            (Ok(accepted), operation) => {
                let id = operation.as_ref().map_or(OperationId::NONE, |&(id, _)| id);
                self.append(time_ms, id, &bytes, false, group)?;
                group.steps.push(Step::Accepted { accepted, operation, chain: self.log.chain() });
            }
            (Err(_), Some(operation)) => {
                self.append(time_ms, operation.0, &bytes, true, group)?;
                group.steps.push(Step::Refused { operation, chain: self.log.chain() });
            }
        }
        result
    }

    /// Looks whether a change is to be judged at all.
    fn admit(
        &mut self,
        group: &Group,
        now_ms: u64,
        look: impl FnOnce(Admission<'_>) -> Result<Result<(), SubmitError>, StoreError>,
    ) -> Result<(), SubmitError> {
        self.read_state(|applier| look(Admission { applier, staged: &group.staged, now_ms }))?
    }

    fn log_set_begin(&mut self, group: &mut Group) -> Result<SetId, SubmitError> {
        self.check_open()?;
        if self.open_sets.len() >= OPEN_SETS {
            return Err(SubmitError::TooManySets);
        }
        let set = SetId(self.log.next_sequence());
        self.append(
            self.ground.now_ms(),
            OperationId::NONE,
            &encode_payload(&Payload::SetBegin, &Actor::local()),
            false,
            group,
        )?;
        self.open_sets.insert(set, None);
        group.steps.push(Step::SetBegin { set, chain: self.log.chain() });
        Ok(set)
    }

    /// If a part can't be logged, its set can't be committed any more, and the commit will say why.
    fn log_set_part(&mut self, set: SetId, commands: Vec<Command>, group: &mut Group) {
        if self.open_sets.get(&set) != Some(&None) {
            // It can't be committed any more; its parts would only take room.
            return;
        }
        let bytes = encode_payload(&Payload::SetPart(set, commands), &Actor::local());
        let logged =
            self.check_open().and_then(|()| self.append(self.ground.now_ms(), OperationId::NONE, &bytes, false, group));
        match logged {
            Ok(location) => group.steps.push(Step::SetPart { set, location, chain: self.log.chain() }),
            Err(SubmitError::Paused { reason }) => self.break_set(set, &reason),
            Err(error) => self.break_set(set, &error.to_string()),
        }
    }

    fn break_set(&mut self, set: SetId, reason: &str) {
        if let Some(broken) = self.open_sets.get_mut(&set) {
            broken.get_or_insert_with(|| reason.to_owned());
        }
    }

    /// Makes sure that a record with so many bytes of payload can be appended. If it needs another segment, the group so
    /// far is finished first: what the full segment has of it could not be taken back any more when the disk turns out
    /// to be full.
    fn make_room(&mut self, payload_bytes: usize, group: &mut Group) -> Result<(), SubmitError> {
        if !self.log.fits(payload_bytes) && !group.steps.is_empty() {
            self.finish_group(std::mem::take(group));
            self.check_open()?;
        }
        self.log.make_room(payload_bytes).map_err(|error| self.log_failed(&error))
    }

    fn append(
        &mut self,
        time_ms: u64,
        operation: OperationId,
        payload: &[u8],
        is_refused: bool,
        group: &mut Group,
    ) -> Result<Location, SubmitError> {
        self.make_room(payload.len(), group)?;
        let location = self.log.append_judged(time_ms, operation, payload, is_refused).expect("there is room for it");
        self.bytes_since_snapshot += u64::from(location.length);
        Ok(location)
    }

    /// Reads the state that batches are judged by. If that can't be done, nothing more can be judged before the store
    /// is opened again, which waits until the group is done; unless that would not help.
    fn read_state<T>(&mut self, read: impl FnOnce(&Applier) -> Result<T, StoreError>) -> Result<T, SubmitError> {
        let applier = self.applier.as_ref().expect("changes are paused without a store");
        read(applier).map_err(|error| {
            let reason = error.to_string();
            match error {
                StoreError::Io(_) | StoreError::Backend(_) => {
                    self.set_trouble(Some(Trouble::Behind(reason.clone())));
                    SubmitError::Paused { reason }
                }
                StoreError::Corrupt(_) | StoreError::Damaged { .. } => self.close(reason),
            }
        })
    }

    /// Makes the group durable, applies it, and answers, in this order (I1).
    fn finish_group(&mut self, mut group: Group) {
        if let Err(error) = self.make_durable(&group.steps) {
            self.log_failed(&error);
            return match error.is_full() {
                true => self.take_back(group, error.to_string()),
                false => self.answer(group.answers, Some(GroupFailure::Unknown(error.to_string()))),
            };
        }
        let applied = self.apply(std::mem::take(&mut group.steps));
        let failure = applied.and_then(|()| self.flush()).err().and_then(|failure| self.store_failed(&failure));
        let failure = failure.map(|reason| match self.trouble {
            Some(Trouble::Behind(_)) => GroupFailure::Behind(reason),
            _ => GroupFailure::Unknown(reason),
        });
        self.answer(group.answers, failure);
    }

    fn answer(&mut self, answers: Vec<Answer>, failure: Option<GroupFailure>) {
        for answer in answers {
            if let (Answer::SetBegin { result: Ok(set), .. }, Some(_)) = (&answer, &failure) {
                // Nobody gets to write or drop it.
                self.open_sets.remove(set);
            }
            answer.send(failure.as_ref(), self.ground.durability);
        }
    }

    /// Answers that nothing of the group was done: the log has none of it any more.
    fn take_back(&mut self, group: Group, reason: String) {
        for step in &group.steps {
            match *step {
                Step::SetBegin { set, .. } => drop(self.open_sets.remove(&set)),
                Step::SetPart { set, .. } => self.break_set(set, &reason),
                Step::Accepted { .. } | Step::Refused { .. } => {}
            }
        }
        self.answer(group.answers, Some(GroupFailure::TakenBack(reason)));
    }

    fn make_durable(&mut self, steps: &[Step]) -> Result<(), LogError> {
        if steps.iter().any(Step::is_awaited) {
            self.make_log_durable()
        } else if steps.is_empty() {
            Ok(())
        } else {
            self.log.write()
        }
    }

    /// Makes what is appended as durable as is asked for.
    fn make_log_durable(&mut self) -> Result<(), LogError> {
        match self.ground.durability {
            Durability::Fsync => self.log.sync(),
            Durability::Os => self.log.write(),
        }
    }

    fn apply(&mut self, steps: Vec<Step>) -> Result<(), Failure> {
        if steps.is_empty() {
            return Ok(());
        }
        // To leave them out would be to acknowledge what nobody sees.
        let applier = self.applier.as_mut().expect("changes are paused without a store");
        applier.set_durable(self.log.durable());
        for step in steps {
            match step {
                Step::Accepted { accepted, operation, chain } => applier.apply_accepted(accepted, operation, chain)?,
                Step::Refused { operation, chain } => applier.apply_refused(Some(operation), chain)?,
                Step::SetBegin { set, chain } => applier.begin_set(set, chain),
                Step::SetPart { set, location, chain } => applier.add_part(set, location, chain),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.applier.as_mut().map_or(Ok(()), Applier::flush)?)
    }

    fn commit_set(&mut self, set: SetId, applied: &AtomicU64) -> Result<Acknowledged<SetSummary>, SubmitError> {
        let broken = self.open_sets.remove(&set).flatten();
        let logged = self.check_open().and_then(|()| match broken {
            Some(reason) => Err(SubmitError::Paused { reason }),
            None => self.log_commit(set),
        });
        let time_ms = logged.inspect_err(|_| self.applier.iter_mut().for_each(|applier| applier.drop_set(set)))?;
        match self.apply_set(set, time_ms, applied) {
            Ok(outcome) => Ok(Acknowledged { outcome, durability: self.ground.durability }),
            Err(failure) => {
                let reason = self.store_failed(&failure).unwrap_or_else(|| {
                    "the store failed while the change was applied; it was applied from the log then".to_owned()
                });
                Err(SubmitError::OutcomeUnknown { reason })
            }
        }
    }

    fn log_commit(&mut self, set: SetId) -> Result<u64, SubmitError> {
        let time_ms = self.ground.now_ms();
        let payload = encode_payload(&Payload::SetCommit(set), &Actor::local());
        self.append(time_ms, OperationId::NONE, &payload, false, &mut Group::default())?;
        self.make_log_durable().map_err(|error| match self.log_failed(&error) {
            SubmitError::Closed { reason } => SubmitError::OutcomeUnknown { reason },
            paused => paused,
        })?;
        Ok(time_ms)
    }

    fn apply_set(&mut self, set: SetId, time_ms: u64, applied: &AtomicU64) -> Result<SetSummary, Failure> {
        let mut summary = SetSummary::default();
        let (log, chain) = (&self.log, self.log.chain());
        let applier = self.applier.as_mut().expect("changes are paused without a store");
        applier.set_durable(log.durable());
        let read = &mut |location| read_part(log, location);
        applier.commit_set(set, time_ms, Rules::default(), chain, read, &mut |outcome| {
            summary.add(outcome);
            count_applied(applied);
        })?;
        applier.flush()?;
        Ok(summary)
    }

    /// Begins a snapshot. A backup can also be made while no change is accepted, so that what was acknowledged is saved
    /// elsewhere.
    fn begin_snapshot(&mut self, is_backup: bool) -> Result<Begun, SubmitError> {
        let is_closed = matches!(self.trouble, Some(Trouble::Closed(_)));
        if is_closed && !is_backup {
            self.check_open()?;
        }
        // One that is kept beside the log must not reach beyond what of that is durable.
        if !is_closed && let Err(error) = self.log.sync() {
            return Err(self.log_failed(&error));
        }
        let Some(applier) = &mut self.applier else {
            return Err(self.check_open().expect_err("there is trouble without a store"));
        };
        if !applier.is_whole() {
            // The store failed in the middle of a group: it holds the state of no record.
            return Err(self.check_open().expect_err("a group is applied wholly, or there is trouble"));
        }
        applier.set_durable(self.log.durable());
        if let Err(error) = applier.flush_with_position() {
            let reason = self.store_failed(&error.into());
            return Err(SubmitError::Paused {
                reason: reason.unwrap_or_else(|| "the store was opened again".to_owned()),
            });
        }
        let begun = Begun::new(applier.store(), applier.position(), self.log.epoch(), self.ground.now_ms());
        applier.set_overlay(begun.overlay());
        Ok(begun)
    }

    fn cut_log(&mut self, before: u64) -> Result<u64, SubmitError> {
        if let Some(Trouble::Closed(_)) = self.trouble {
            // Whoever looks into it may want to see all of it.
            self.check_open()?;
        }
        let oldest_set = self.open_sets.keys().next().map_or(before, |set| set.0);
        self.log.cut_before(before.min(oldest_set)).map_err(|error| SubmitError::Paused { reason: error.to_string() })
    }

    fn ask_for_snapshot(&mut self) {
        if let Some(snapshots) = &self.snapshots
            && self.bytes_since_snapshot >= self.ground.snapshot_log_bytes
            && snapshots.try_send(()).is_ok()
        {
            self.bytes_since_snapshot = 0;
        }
    }
}

/// Reads the commands of a part of a set again, and the sequence of its record.
pub(super) fn read_part(log: &Log, location: Location) -> Result<(u64, Vec<Command>), Failure> {
    let (sequence, payload) = log.read(location)?;
    match decode_payload(&payload) {
        Ok(Payload::SetPart(_, commands)) => Ok((sequence, commands)),
        Ok(_) => Err(Failure::Record { sequence, reason: "it is not the part of a set".to_owned() }),
        Err(error) => Err(Failure::Record { sequence, reason: error.to_string() }),
    }
}
