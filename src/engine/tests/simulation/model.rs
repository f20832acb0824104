//! What the log must be made of, and what state it must lead to, from what was asked for and what was answered.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Coverage;
use crate::engine::{SetSummary, SubmitError};
use crate::limits::OPERATION_MEMORY_MS;
use crate::link::{
    Action, Command, Link, LinkId, LinkOptions, Operation, Outcome, Precondition, Refusal, SetId, Subject,
};
use crate::log::OperationId;

/// A record of the log.
#[derive(Debug, Clone)]
pub(super) struct Rec {
    pub(super) durable: u64,
    pub(super) time_ms: u64,
    pub(super) operation: OperationId,
    pub(super) payload: Vec<u8>,
}

/// What was asked of the writer, and what it answered.
#[derive(Debug, Clone)]
pub(super) struct Done {
    /// The clock when the writer took it.
    pub(super) time_ms: u64,
    pub(super) operation: OperationId,
    /// What its record holds, if it has one.
    pub(super) payload: Rc<[u8]>,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Batch { commands: Rc<[Command]>, answer: Result<Vec<Outcome>, SubmitError> },
    SetBegin { answer: Result<SetId, SubmitError> },
    SetPart { set: SetId, commands: Rc<[Command]> },
    SetCommit { set: SetId, answer: Result<SetSummary, SubmitError> },
    SetDrop { set: SetId },
}

impl What {
    /// Whether only the log can tell what became of it.
    pub(super) fn is_unknown(&self) -> bool {
        let is_unknown = |error: Option<&SubmitError>| matches!(error, Some(SubmitError::OutcomeUnknown { .. }));
        match self {
            What::Batch { answer, .. } => is_unknown(answer.as_ref().err()),
            What::SetBegin { answer } => is_unknown(answer.as_ref().err()),
            What::SetCommit { answer, .. } => is_unknown(answer.as_ref().err()),
            What::SetPart { .. } | What::SetDrop { .. } => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) time_ms: u64,
    pub(super) payload: Rc<[u8]>,
    pub(super) result: Result<Vec<Outcome>, Refusal>,
}

impl Remembered {
    pub(super) fn encode(&self, id: [u8; 16]) -> Vec<u8> {
        let fingerprint = Operation::fingerprint_of(&self.payload);
        Operation { time_ms: self.time_ms, fingerprint, result: self.result.clone() }.encode(id)
    }

    pub(super) fn is_old(&self, now_ms: u64) -> bool {
        self.time_ms + OPERATION_MEMORY_MS <= now_ms
    }
}

/// The sequence of a part of a set, and its commands.
type Part = (u64, Rc<[Command]>);

/// The state after some record.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The last record.
    pub(super) sequence: u64,
    pub(super) links: BTreeMap<String, Link>,
    pub(super) operations: BTreeMap<[u8; 16], Rc<Remembered>>,
    /// The parts of the open sets: the sequences of their records, and what is in them.
    pub(super) sets: BTreeMap<SetId, Vec<Part>>,
}

/// The records that a walk is checked against.
pub(super) struct Found<'r> {
    /// All behind the state; none if what they are is predicted.
    pub(super) records: Option<&'r [Rec]>,
    /// From which sequence on records that were acknowledged may be missing.
    pub(super) losable_from: u64,
}

impl<'r> Found<'r> {
    /// The next record, if it is of that.
    fn next(&mut self, done: &Done) -> Option<&'r Rec> {
        let (first, rest) = self.records?.split_first()?;
        let is_it =
            first.operation == done.operation && *first.payload == *done.payload && first.time_ms == done.time_ms;
        is_it.then(|| {
            self.records = Some(rest);
            first
        })
    }

    fn are_all_taken(&self) -> bool {
        self.records.is_some_and(<[Rec]>::is_empty)
    }
}

/// The rest of the walk has nothing to stand on: records that may be lost are.
struct Lost;

impl State {
    /// Goes over what was done, in order, and sees that log and answers are what they must be.
    pub(super) fn walk(&mut self, done: &[Done], mut found: Found<'_>, seen: &mut Coverage) {
        for done in done {
            let is_over = found.are_all_taken() && self.sequence + 1 >= found.losable_from;
            if is_over || self.step(done, &mut found, seen).is_err() {
                break;
            }
        }
        if let Some([first, ..]) = found.records {
            panic!("record {} is of nothing that was done: {first:?}", self.sequence + 1);
        }
    }

    /// Takes the record that this must have.
    fn must_have_record(&mut self, done: &Done, found: &mut Found<'_>) -> Result<(), Lost> {
        if found.records.is_some() && found.next(done).is_none() {
            if found.are_all_taken() && self.sequence + 1 >= found.losable_from {
                return Err(Lost);
            }
            panic!(
                "record {} is missing, which was acknowledged: {done:?}; found {:?}",
                self.sequence + 1,
                found.records
            );
        }
        self.sequence += 1;
        Ok(())
    }

    /// Takes the record that this may have; whether it has.
    fn may_have_record(&mut self, done: &Done, found: &mut Found<'_>) -> bool {
        let has = found.next(done).is_some();
        self.sequence += u64::from(has);
        has
    }

    fn step(&mut self, done: &Done, found: &mut Found<'_>, seen: &mut Coverage) -> Result<(), Lost> {
        match &done.what {
            What::Batch { commands, answer } => return self.batch(done, commands, answer, found, seen),
            What::SetBegin { answer: Ok(set) } => {
                // Nobody waits for it to be durable.
                if found.records.is_none() || !found.are_all_taken() {
                    self.must_have_record(done, found)?;
                    assert_eq!(set.0, self.sequence, "the name of a set");
                    self.sets.insert(*set, Vec::new());
                }
            }
            What::SetBegin { answer: Err(error) } => {
                if matches!(error, SubmitError::OutcomeUnknown { .. }) {
                    self.may_have_record(done, found);
                }
            }
            What::SetPart { set, commands } => {
                if found.records.is_none() || self.may_have_record(done, found) {
                    self.sequence += u64::from(found.records.is_none());
                    if let Some(parts) = self.sets.get_mut(set) {
                        parts.push((self.sequence, Rc::clone(commands)));
                    }
                }
            }
            What::SetDrop { set } => drop(self.sets.remove(set)),
            What::SetCommit { set, answer } => {
                let parts = self.sets.remove(set).unwrap_or_default();
                let is_there = match answer {
                    Ok(_) => self.must_have_record(done, found).map(|()| true)?,
                    Err(SubmitError::OutcomeUnknown { .. }) => {
                        let is_there = self.may_have_record(done, found);
                        seen.count(
                            ["a set in doubt that was not there", "a set in doubt that was there"][is_there as usize],
                        );
                        is_there
                    }
                    Err(_) => false,
                };
                if !is_there {
                    return Ok(());
                }
                let mut summary = SetSummary::default();
                for (sequence, commands) in parts {
                    for (index, command) in commands.iter().enumerate() {
                        let outcome = self.command(command, sequence, index, done.time_ms);
                        summary.add(outcome.expect("it has no precondition"));
                    }
                }
                if let Ok(answer) = answer {
                    assert_eq!(*answer, summary, "what became of the set {set:?}");
                }
            }
        }
        Ok(())
    }

    fn batch(
        &mut self,
        done: &Done,
        commands: &Rc<[Command]>,
        answer: &Result<Vec<Outcome>, SubmitError>,
        found: &mut Found<'_>,
        seen: &mut Coverage,
    ) -> Result<(), Lost> {
        let is_named = done.operation != OperationId::NONE;
        let known = self.operations.get(&done.operation.0).filter(|known| is_named && !known.is_old(done.time_ms));
        let result = match answer {
            Ok(outcomes) => Ok(outcomes.clone()),
            Err(SubmitError::Refused(refusal, _)) => Err(refusal.clone()),
            Err(SubmitError::OperationReused(_)) => {
                if let Some(known) = known {
                    assert!(known.payload != done.payload, "it is the same operation: {done:?}");
                    seen.count("an operation id refused for other commands");
                }
                return Ok(());
            }
            Err(SubmitError::OutcomeUnknown { .. }) => {
                let is_there = self.may_have_record(done, found);
                seen.count(
                    ["a change in doubt that was not there", "a change in doubt that was there"][is_there as usize],
                );
                if is_there {
                    let result = self.judge(commands, self.sequence, done.time_ms);
                    self.remember(done, result);
                }
                return Ok(());
            }
            Err(SubmitError::Paused { .. } | SubmitError::Closed { .. }) => {
                // A refusal whose group failed; that it was one may be remembered.
                if is_named && self.may_have_record(done, found) {
                    let result = self.judge(commands, self.sequence, done.time_ms);
                    assert!(result.is_err(), "it was to have changed nothing: {done:?}");
                    self.remember(done, result);
                    seen.count("a refusal in doubt that was remembered");
                }
                return Ok(());
            }
            Err(
                error @ (SubmitError::TooLarge { .. }
                | SubmitError::TooManySets
                | SubmitError::TokenEnded(_)
                | SubmitError::CodesExhausted { .. }),
            ) => panic!("{error}"),
        };
        if let Some(known) = known {
            assert!(known.payload == done.payload, "the operation id was used for other commands: {done:?}");
            assert_eq!(known.result, result, "the first outcome of {}", done.operation);
            seen.count(["a refused operation answered again", "an operation answered again"][result.is_ok() as usize]);
            return Ok(());
        }
        if is_named && self.operations.contains_key(&done.operation.0) {
            seen.count("an operation made again after a day");
        }
        let before = self.links.clone();
        let expected = self.judge(commands, self.sequence + 1, done.time_ms);
        assert_eq!(result, expected, "the outcome of {done:?}");
        let has_record = is_named || expected.iter().flatten().any(|outcome| *outcome != Outcome::Unchanged);
        if has_record && let Err(Lost) = self.must_have_record(done, found) {
            self.links = before;
            return Err(Lost);
        }
        self.remember(done, expected);
        Ok(())
    }

    fn remember(&mut self, done: &Done, result: Result<Vec<Outcome>, Refusal>) {
        if done.operation != OperationId::NONE {
            let remembered = Remembered { time_ms: done.time_ms, payload: Rc::clone(&done.payload), result };
            self.operations.insert(done.operation.0, Rc::new(remembered));
        }
    }

    /// Applies a batch, all of it or nothing.
    fn judge(&mut self, commands: &[Command], sequence: u64, time_ms: u64) -> Result<Vec<Outcome>, Refusal> {
        let before = self.links.clone();
        let mut outcomes = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            match self.command(command, sequence, index, time_ms) {
                Ok(outcome) => outcomes.push(outcome),
                Err(refusal) => {
                    self.links = before;
                    return Err(refusal);
                }
            }
        }
        Ok(outcomes)
    }

    fn command(&mut self, command: &Command, sequence: u64, index: usize, time_ms: u64) -> Result<Outcome, Refusal> {
        let Command { key, action, precondition } = command;
        let link = self.links.get_mut(key.as_str());
        match (precondition, &link) {
            (Precondition::None, _) | (Precondition::Absent, None) => {}
            (Precondition::Absent, Some(link)) => {
                return Err(Refusal::Exists { subject: Subject::Link(key.clone()), version: link.version });
            }
            (Precondition::Version(_) | Precondition::Present, None) => {
                return Err(Refusal::NotFound(Subject::Link(key.clone())));
            }
            (&Precondition::Version(expected), Some(link)) if link.version != expected => {
                let subject = Subject::Link(key.clone());
                return Err(Refusal::VersionMismatch { subject, expected, found: link.version });
            }
            (Precondition::Version(_) | Precondition::Present, Some(_)) => {}
        }
        let said = match (action, &link) {
            (Action::Put(to), None) => Some((to.clone(), LinkOptions::default(), false)),
            (Action::Put(to), Some(link)) => Some((to.clone(), link.options.clone(), false)),
            (Action::Set(set), _) => Some((set.destination.clone(), set.options.clone(), set.is_generated)),
            (Action::Patch(..), None) => return Err(Refusal::NotFound(Subject::Link(key.clone()))),
            (Action::Patch(patch, _), Some(link)) => {
                let (to, options) = patch.apply(link).expect("the driver patches what goes together");
                Some((to, options, false))
            }
            (Action::Delete, _) => None,
        };
        Ok(match (said, link) {
            (Some((destination, options, is_generated)), None) => {
                let id = LinkId(sequence * 1024 + index as u64);
                let link = Link {
                    id,
                    key: key.clone(),
                    destination,
                    options,
                    is_generated,
                    created_at_ms: time_ms,
                    updated_at_ms: time_ms,
                    version: sequence,
                };
                self.links.insert(key.as_str().to_owned(), link);
                Outcome::Created(id)
            }
            (Some((to, options, _)), Some(link)) if link.destination == to && link.options == options => {
                Outcome::Unchanged
            }
            (Some((destination, options, _)), Some(link)) => {
                link.destination = destination;
                link.options = options;
                link.updated_at_ms = time_ms;
                link.version = sequence;
                Outcome::Replaced { version: sequence }
            }
            (None, None) => Outcome::Unchanged,
            (None, Some(_)) => {
                self.links.remove(key.as_str());
                Outcome::Deleted
            }
        })
    }
}
