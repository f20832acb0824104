//! What is asked of the writer, and what it answers.

use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use super::Driver;
use crate::engine::health::Health;
use crate::engine::requests::{Acknowledged, Request};
use crate::engine::set::Place;
use crate::engine::tests::simulation::model::{Done, What};
use crate::engine::tests::simulation::world::Running;
use crate::engine::tests::{change, key, patch, set, to};
use crate::engine::{SetSummary, SubmitError};
use crate::link::{Action, Actor, Change, Command, Outcome, Payload, Precondition, SetId, encode_payload};
use crate::log::OperationId;

pub(super) type Answer<T> = Receiver<Result<T, SubmitError>>;

/// A request that the writer has, and the way its answer comes.
enum Waiting {
    Batch(Rc<[Command]>, Answer<Acknowledged<Vec<Outcome>>>),
    SetBegin(Answer<SetId>),
    SetPart(SetId, Rc<[Command]>),
    SetCommit(SetId, Answer<Acknowledged<SetSummary>>),
    SetDrop(SetId),
}

impl Driver {
    fn command(&mut self) -> Command {
        let key = key(self.rng.choice(&self.keys).expect("there are keys"));
        let version = self.world.state.links.get(key.as_str()).map_or(1, |link| link.version);
        let precondition = match self.rng.u8(0..40) {
            0..3 => Precondition::Absent,
            3..8 => Precondition::Version(version),
            8 => Precondition::Version(version + 1),
            _ => Precondition::None,
        };
        let (number, tags) = (self.rng.u64(0..5), [&[][..], &["a"], &["b"], &["a", "b"]][self.rng.usize(0..4)]);
        let action = match self.rng.u8(0..16) {
            0..4 => Action::Delete,
            4..7 => set(number, tags),
            7 => patch(number, tags),
            _ => to(number),
        };
        Command { key, action, precondition }
    }

    fn commands(&mut self) -> Vec<Command> {
        let count = match self.rng.u8(0..16) {
            0 => self.rng.usize(0..100),
            1..4 => self.rng.usize(1..40),
            _ => self.rng.usize(1..4),
        };
        let mut commands: Vec<Command> = (0..count).map(|_| self.command()).collect();
        if count > 4 && self.rng.u8(0..4) > 0 {
            // With so many, one would most often be refused.
            commands.iter_mut().for_each(|command| command.precondition = Precondition::None);
        }
        commands
    }

    /// An operation's name and what it does.
    fn operation(&mut self) -> (OperationId, Vec<Command>) {
        match self.rng.u8(0..8) {
            0..3 => {
                let id = OperationId(std::array::from_fn(|_| self.rng.u8(1..)));
                let commands = self.commands();
                self.operations.push((id, commands.clone()));
                (id, commands)
            }
            3..5 if !self.operations.is_empty() => {
                let recent = self.operations.len().saturating_sub(if self.rng.bool() { 3 } else { 40 });
                let (id, commands) = self.operations[self.rng.usize(recent..self.operations.len())].clone();
                if self.rng.u8(0..6) == 0 { (id, self.commands()) } else { (id, commands) }
            }
            _ => (OperationId::NONE, self.commands()),
        }
    }

    /// Puts a request in the queue.
    fn send(&mut self) -> (OperationId, Rc<[u8]>, Waiting) {
        let set = (!self.open_sets.is_empty()).then(|| self.rng.usize(0..self.open_sets.len()));
        let none = OperationId::NONE;
        let (operation, payload, request, waiting) = match (self.rng.u8(0..24), set) {
            (0, _) if self.open_sets.len() < 3 => {
                let (reply, answer) = bounded(1);
                (
                    none,
                    encode_payload(&Payload::SetBegin, &Actor::local()),
                    Request::SetBegin { reply },
                    Waiting::SetBegin(answer),
                )
            }
            (1..6, Some(set)) => {
                let set = self.open_sets[set];
                let mut commands = self.commands();
                for command in &mut commands {
                    command.precondition = Precondition::None;
                    if !command.is_certain() {
                        command.action = to(0);
                    }
                }
                let payload = encode_payload(&Payload::SetPart(set, commands.clone()), &Actor::local());
                let request = Request::SetPart { set, commands: commands.clone(), place: Place::unlimited() };
                (none, payload, request, Waiting::SetPart(set, commands.into()))
            }
            (6, Some(set)) => {
                let set = self.open_sets.swap_remove(set);
                let (reply, answer) = bounded(1);
                let request = Request::SetCommit { set, applied: Arc::default(), reply };
                (
                    none,
                    encode_payload(&Payload::SetCommit(set), &Actor::local()),
                    request,
                    Waiting::SetCommit(set, answer),
                )
            }
            (7, Some(set)) if self.rng.u8(0..3) == 0 => {
                let set = self.open_sets.swap_remove(set);
                (none, Vec::new(), Request::SetDrop { set }, Waiting::SetDrop(set))
            }
            _ => {
                let (operation, commands) = self.operation();
                let payload = encode_payload(&Payload::Change(Change::Links(commands.clone())), &Actor::local());
                let (reply, answer) = bounded(1);
                let name = (operation != none).then_some(operation);
                let request = change(name, commands.clone(), reply);
                (operation, payload, request, Waiting::Batch(commands.into(), answer))
            }
        };
        let running = self.world.running.as_ref().expect("it runs");
        running.requests.send(request).expect("the queue is there");
        (operation, payload.into(), waiting)
    }

    /// Several requests at once, as the writer finds them.
    pub(super) fn group(&mut self) {
        self.group_and(|_| ());
    }

    /// A group, and behind it what `last` puts in the queue.
    pub(super) fn group_and<T>(&mut self, last: impl FnOnce(&Running) -> T) -> Option<T> {
        self.world.running.as_ref()?;
        self.world.wait(1 + self.rng.u64(0..20));
        let count = if self.rng.u8(0..8) == 0 { self.rng.usize(1..20) } else { self.rng.usize(1..5) };
        let sent: Vec<_> = (0..count).map(|_| self.send()).collect();
        let time_ms = self.world.now_ms();
        let opened = self.world.place.opened();
        let running = self.world.running.as_mut()?;
        let last = last(running);
        let first = running.queue.next();
        let goes_on = running.writer.run_group(first, &running.queue.queue);
        assert!(goes_on && running.queue.queue.is_empty(), "the writer took all there was");
        let done: Vec<Done> = sent
            .into_iter()
            .map(|(operation, payload, waiting)| {
                let answered = "the writer answered before it went on";
                let what = match waiting {
                    Waiting::Batch(commands, answer) => {
                        let answer = answer.try_recv().expect(answered).map(|acknowledged| acknowledged.outcome);
                        What::Batch { commands, answer }
                    }
                    Waiting::SetBegin(answer) => What::SetBegin { answer: answer.try_recv().expect(answered) },
                    Waiting::SetPart(set, commands) => What::SetPart { set, commands },
                    Waiting::SetCommit(set, answer) => {
                        let answer = answer.try_recv().expect(answered).map(|acknowledged| acknowledged.outcome);
                        What::SetCommit { set, answer }
                    }
                    Waiting::SetDrop(set) => What::SetDrop { set },
                };
                Done { time_ms, operation, payload, what }
            })
            .collect();
        self.trace(|| format!("a group: {:?}", done.iter().map(|done| describe(&done.what)).collect::<Vec<_>>()));
        if self.world.place.opened() > opened {
            self.world.seen.count("a store opened again");
        }
        self.settle(done);
        Some(last)
    }

    pub(super) fn settle(&mut self, done: Vec<Done>) {
        for done in &done {
            self.count_answer(&done.what);
            if let What::SetBegin { answer: Ok(set) } = done.what {
                self.open_sets.push(set);
            }
        }
        if self.world.disk.is_down() {
            // What became of it, the next start shows.
            self.world.since.done.extend(done);
            return;
        }
        let is_ready = self.world.is_ready();
        let is_certain = is_ready && !done.iter().any(|done| done.what.is_unknown());
        let has_parts = done.iter().any(|done| matches!(done.what, What::SetPart { .. }));
        let is_predicted = is_certain && !has_parts && !self.world.is_os() && self.rng.u8(0..4) > 0;
        self.world.settle(done, is_predicted);
        if is_ready {
            if self.rng.u8(0..3) == 0 {
                self.world.check_store();
            }
            self.check_cache();
        }
    }

    fn count_answer(&mut self, what: &What) {
        let is_closed = matches!(self.world.health(), Some(Health::Closed { .. }));
        let (error, answered) = match what {
            What::Batch { answer, .. } => (answer.as_ref().err(), "a batch made"),
            What::SetBegin { answer } => (answer.as_ref().err(), "a set begun"),
            What::SetCommit { answer, .. } => (answer.as_ref().err(), "a set committed"),
            What::SetPart { .. } | What::SetDrop { .. } => return,
        };
        let seen = &mut self.world.seen;
        match error {
            None => seen.count(answered),
            Some(SubmitError::Refused(..)) => seen.count("a batch refused"),
            Some(SubmitError::Paused { reason }) if reason.contains("kept free") => {
                seen.count("a disk below its reserve")
            }
            Some(SubmitError::Paused { reason }) if reason.contains("No space left") => {
                seen.count(if reason.contains("writing") { "a group taken back" } else { "a full disk" });
            }
            Some(SubmitError::Paused { .. }) => seen.count("changes paused otherwise"),
            Some(SubmitError::Closed { .. }) => {
                assert!(is_closed, "closed, but the health is not");
                seen.count("changes refused for ever");
            }
            Some(SubmitError::OutcomeUnknown { reason }) => {
                let is_sync = reason.contains("syncing");
                assert!(is_closed || !is_sync, "I9: {reason}");
                seen.count(if is_sync { "a failed sync" } else { "an unknown outcome otherwise" });
            }
            Some(_) => {}
        }
    }
}

fn describe(what: &What) -> String {
    match what {
        What::Batch { commands, answer } => format!("{} commands: {answer:?}", commands.len()),
        other => format!("{other:?}"),
    }
}
