//! The one writer (I2): everything that changes links passes through this thread, in one order.
//!
//! It takes what waits, judges it, appends it to the log, syncs once for all of it, applies it to store and
//! caches, and answers (I1). While it syncs, the next group gathers.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::applier::{Accepted, Applier, Staged};
use super::set::{Place, SetSummary, count_applied};
use crate::clock;
use crate::limits::{BATCH_COMMANDS, GROUP_BYTES, GROUP_RECORDS, OPEN_SETS, RECORD_PAYLOAD_BYTES, WRITER_QUEUE};
use crate::link::{Command, Outcome, Payload, Refusal, SetId, decode_payload, encode_payload};
use crate::log::{ChainHash, Location, Log, LogError, OperationId};
use crate::store::StoreError;

/// Why a change was not made, or may not have been.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// A precondition was not met. Nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// More than a record takes. Nothing changed.
    #[error(
        "the batch has {commands} commands and {bytes} bytes; at most {BATCH_COMMANDS} commands and \
         {RECORD_PAYLOAD_BYTES} bytes are allowed. Send it in parts"
    )]
    TooLarge {
        /// Its commands.
        commands: usize,
        /// Its bytes, encoded.
        bytes: usize,
    },
    /// Too many sets are being written. Nothing changed.
    #[error("{OPEN_SETS} sets are being written already; wait until one of them is done")]
    TooManySets,
    /// No change can be made any more. Nothing changed.
    #[error("no change is accepted: {reason}. Restart carom when the cause has been removed")]
    Closed {
        /// Why.
        reason: String,
    },
    /// The change may or may not be durable. It will be seen after a restart, or never.
    #[error("the outcome is unknown: {reason}. Restart carom, then look whether the change was made")]
    OutcomeUnknown {
        /// Why.
        reason: String,
    },
}

impl SubmitError {
    fn ended() -> Self {
        SubmitError::Closed { reason: "the writer has ended".to_owned() }
    }

    /// The writer took the request and ended before it answered.
    fn lost() -> Self {
        SubmitError::OutcomeUnknown { reason: "the writer ended".to_owned() }
    }
}

type Reply<T> = Sender<Result<T, SubmitError>>;

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Requests {
    queue: Sender<Request>,
    /// Nothing comes through it; it breaks when the writer ends, whichever way.
    ended: Receiver<Infallible>,
}

/// The writer's end of the way.
pub(super) struct RequestQueue {
    // In the order in which they are to be dropped.
    queue: Receiver<Request>,
    _alive: Sender<Infallible>,
}

#[cfg(test)]
impl RequestQueue {
    /// Takes the next request, as the writer does.
    pub(super) fn next(&self) -> Request {
        self.queue.recv().expect("somebody holds the other end")
    }
}

/// A queue for [`WRITER_QUEUE`] requests.
pub(super) fn requests() -> (Requests, RequestQueue) {
    let (sender, receiver) = crossbeam_channel::bounded(WRITER_QUEUE);
    let (alive, ended) = crossbeam_channel::bounded(0);
    (Requests { queue: sender, ended }, RequestQueue { queue: receiver, _alive: alive })
}

impl Requests {
    /// Hands a request to the writer, and does not wait for it.
    pub(super) fn send(&self, request: Request) -> Result<(), SubmitError> {
        self.queue.send(request).map_err(|_| SubmitError::ended())
    }

    /// Waits until a channel takes a message, or the writer has ended.
    pub(super) fn send_or_ended(&self, channel: &Sender<()>) -> Result<(), SubmitError> {
        crossbeam_channel::select! {
            send(channel, ()) -> sent => sent.map_err(|_| SubmitError::ended()),
            recv(self.ended) -> _ => Err(SubmitError::ended()),
        }
    }

    /// Hands a request to the writer and waits for the answer.
    pub(super) fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, SubmitError> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.send(request(reply))?;
        crossbeam_channel::select! {
            recv(answer) -> answer => answer.unwrap_or_else(|_| Err(SubmitError::lost())),
            recv(self.ended) -> _ => match answer.try_recv() {
                Ok(result) => result,
                // It lies in the queue, and nobody will take it from there.
                Err(TryRecvError::Empty) => Err(SubmitError::ended()),
                Err(TryRecvError::Disconnected) => Err(SubmitError::lost()),
            },
        }
    }
}

/// What the writer is asked for.
pub(super) enum Request {
    Batch { operation: OperationId, commands: Vec<Command>, reply: Reply<Vec<Outcome>> },
    SetBegin { reply: Reply<SetId> },
    SetPart { set: SetId, commands: Vec<Command>, place: Place },
    SetCommit { set: SetId, applied: Arc<AtomicU64>, reply: Reply<SetSummary> },
    SetDrop { set: SetId },
    Stop,
}

/// What is to be applied once the group is durable.
enum Step {
    Accepted { accepted: Accepted, chain: ChainHash },
    SetBegin { set: SetId, chain: ChainHash },
    SetPart { set: SetId, location: Location, chain: ChainHash },
}

/// An answer that waits until the group is durable and applied: also a refusal may rest on what the group holds.
enum Answer {
    Batch { result: Result<Vec<Outcome>, SubmitError>, reply: Reply<Vec<Outcome>> },
    SetBegin { result: Result<SetId, SubmitError>, reply: Reply<SetId> },
}

impl Answer {
    /// Sends the answer; after a failure of the group, that instead.
    fn send(self, failure: Option<&Failure>) {
        // If nobody waits any more: a change stands all the same, and a set that nobody writes is dropped when
        // carom starts again.
        match self {
            Answer::Batch { result, reply } => drop(reply.send(after(failure, result))),
            Answer::SetBegin { result, reply } => drop(reply.send(after(failure, result))),
        }
    }
}

/// What is left of a verdict when the group that it was made in failed.
fn after<T>(failure: Option<&Failure>, result: Result<T, SubmitError>) -> Result<T, SubmitError> {
    match (failure, result) {
        (Some(failure), Ok(_)) => Err(SubmitError::OutcomeUnknown { reason: failure.reason() }),
        // It may rest on a change of the group, which is not certain any more.
        (Some(failure), Err(SubmitError::Refused(_))) => Err(SubmitError::Closed { reason: failure.reason() }),
        (_, result) => result,
    }
}

/// What makes an end of writing.
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
pub(super) fn run(log: Log, applier: Applier, requests: &RequestQueue) {
    let mut writer = Writer { log, applier, open_sets: BTreeSet::new(), closed: None };
    while let Ok(first) = requests.queue.recv() {
        if !writer.run_group(first, &requests.queue) {
            break;
        }
    }
}

struct Writer {
    log: Log,
    applier: Applier,
    open_sets: BTreeSet<SetId>,
    /// Why nothing is written any more (I9).
    closed: Option<String>,
}

/// What a group holds so far.
#[derive(Default)]
struct Group {
    staged: Staged,
    steps: Vec<Step>,
    answers: Vec<Answer>,
}

impl Writer {
    /// Takes a group from the queue and does all of it. False if the writer is to end.
    fn run_group(&mut self, first: Request, queue: &Receiver<Request>) -> bool {
        let mut group = Group::default();
        let mut next = Some(first);
        let mut goes_on = true;
        while let Some(request) = next.take() {
            match request {
                Request::Batch { operation, commands, reply } => {
                    let result = self.log_batch(operation, commands, &mut group);
                    group.answers.push(Answer::Batch { result, reply });
                }
                Request::SetBegin { reply } => {
                    let result = self.log_set_begin(&mut group);
                    group.answers.push(Answer::SetBegin { result, reply });
                }
                // If it can't be logged, the writer is closed by that, and the commit will say so.
                Request::SetPart { set, commands, place } => {
                    drop(self.log_set_part(set, commands, &mut group));
                    drop(place);
                }
                Request::SetDrop { set } => {
                    self.open_sets.remove(&set);
                    self.applier.drop_set(set);
                }
                Request::SetCommit { set, applied, reply } => {
                    // What a set changes is too much to be staged: the group ends before it.
                    self.finish_group(std::mem::take(&mut group));
                    // Nobody waits any more: the change stands all the same.
                    let _ = reply.send(self.commit_set(set, &applied));
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
        goes_on
    }

    fn log_batch(
        &mut self,
        operation: OperationId,
        commands: Vec<Command>,
        group: &mut Group,
    ) -> Result<Vec<Outcome>, SubmitError> {
        self.check_open()?;
        let payload = Payload::Batch(commands);
        let bytes = encode_payload(&payload);
        let Payload::Batch(commands) = payload else { unreachable!("made above") };
        if commands.len() > BATCH_COMMANDS || bytes.len() > RECORD_PAYLOAD_BYTES {
            return Err(SubmitError::TooLarge { commands: commands.len(), bytes: bytes.len() });
        }
        let time_ms = clock::unix_time_ms();
        let judged = self.applier.judge(&mut group.staged, &commands, self.log.next_sequence(), time_ms);
        // If the state can't be read, nothing can be judged any more.
        let accepted = judged.map_err(|error| self.close(&error.into()))??;
        let outcomes = accepted.outcomes.clone();
        // What changes nothing needs no record; nor does what was refused, while this is the only writer.
        if !accepted.changes_nothing() {
            self.append(time_ms, operation, &bytes)?;
            group.steps.push(Step::Accepted { accepted, chain: self.log.chain() });
        }
        Ok(outcomes)
    }

    fn log_set_begin(&mut self, group: &mut Group) -> Result<SetId, SubmitError> {
        self.check_open()?;
        if self.open_sets.len() >= OPEN_SETS {
            return Err(SubmitError::TooManySets);
        }
        let set = SetId(self.log.next_sequence());
        self.append(clock::unix_time_ms(), OperationId::random(), &encode_payload(&Payload::SetBegin))?;
        self.open_sets.insert(set);
        group.steps.push(Step::SetBegin { set, chain: self.log.chain() });
        Ok(set)
    }

    fn log_set_part(&mut self, set: SetId, commands: Vec<Command>, group: &mut Group) -> Result<(), SubmitError> {
        self.check_open()?;
        let bytes = encode_payload(&Payload::SetPart(set, commands));
        let location = self.append(clock::unix_time_ms(), OperationId::random(), &bytes)?;
        group.steps.push(Step::SetPart { set, location, chain: self.log.chain() });
        Ok(())
    }

    fn append(&mut self, time_ms: u64, operation: OperationId, payload: &[u8]) -> Result<Location, SubmitError> {
        self.log.append(time_ms, operation, payload).map_err(|error| self.close(&error.into()))
    }

    /// Makes the group durable, applies it, and answers, in this order (I1).
    fn finish_group(&mut self, group: Group) {
        let result = self.make_durable_and_apply(group.steps);
        let failure = result.err().inspect(|failure| drop(self.close(failure)));
        for answer in group.answers {
            answer.send(failure.as_ref());
        }
    }

    fn make_durable_and_apply(&mut self, steps: Vec<Step>) -> Result<(), Failure> {
        // The parts of a set become durable with its commit.
        if steps.iter().any(|step| matches!(step, Step::Accepted { .. })) {
            self.log.sync()?;
        } else if !steps.is_empty() {
            self.log.write()?;
        }
        for step in steps {
            match step {
                Step::Accepted { accepted, chain } => self.applier.apply_accepted(accepted, chain)?,
                Step::SetBegin { set, chain } => self.applier.begin_set(set, chain),
                Step::SetPart { set, location, chain } => self.applier.add_part(set, location, chain),
            }
        }
        Ok(self.applier.flush()?)
    }

    fn commit_set(&mut self, set: SetId, applied: &AtomicU64) -> Result<SetSummary, SubmitError> {
        self.check_open()?;
        self.open_sets.remove(&set);
        let time_ms = clock::unix_time_ms();
        self.append(time_ms, OperationId::random(), &encode_payload(&Payload::SetCommit(set)))?;
        self.make_durable_and_apply_set(set, time_ms, applied).map_err(|failure| {
            self.close(&failure);
            SubmitError::OutcomeUnknown { reason: failure.reason() }
        })
    }

    fn make_durable_and_apply_set(
        &mut self,
        set: SetId,
        time_ms: u64,
        applied: &AtomicU64,
    ) -> Result<SetSummary, Failure> {
        self.log.sync()?;
        let mut summary = SetSummary::default();
        let (log, chain) = (&self.log, self.log.chain());
        self.applier.commit_set(set, time_ms, chain, &mut |location| read_part(log, location), &mut |outcome| {
            summary.add(outcome);
            count_applied(applied);
        })?;
        self.applier.flush()?;
        Ok(summary)
    }

    fn check_open(&self) -> Result<(), SubmitError> {
        match &self.closed {
            Some(reason) => Err(SubmitError::Closed { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Accepts nothing any more: what log or store hold now is not certain (I9).
    fn close(&mut self, failure: &Failure) -> SubmitError {
        let reason = self.closed.get_or_insert_with(|| {
            let reason = failure.reason();
            // Where stderr is closed, `eprintln!` would panic.
            let _ = writeln!(std::io::stderr(), "carom: no change is accepted any more; redirects go on: {reason}");
            reason
        });
        SubmitError::Closed { reason: reason.clone() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::SharedCache;
    use crate::engine::recover;
    use crate::store::MemoryStore;

    #[test]
    fn a_request_that_the_writer_never_took_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path(), None).unwrap().log;
        let shared = Arc::new(SharedCache::new(1 << 20));
        let applier = Applier::new(Arc::new(MemoryStore::default()), shared, recover::beginning(&log));
        let (requests, queue) = requests();
        requests.send(Request::Stop).unwrap();
        std::thread::scope(|scope| {
            let late = scope.spawn(|| requests.ask(|reply| Request::SetBegin { reply }));
            while requests.queue.len() < 2 {
                std::thread::yield_now();
            }
            scope.spawn(move || run(log, applier, &queue));
            assert!(matches!(late.join().unwrap(), Err(SubmitError::Closed { .. })));
        });
        assert!(matches!(requests.ask(|reply| Request::SetBegin { reply }), Err(SubmitError::Closed { .. })));
    }

    #[test]
    fn a_request_that_the_writer_lost_has_an_unknown_outcome() {
        let (requests, queue) = requests();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(queue.queue.recv().unwrap()));
            let answer = requests.ask(|reply| Request::SetBegin { reply });
            assert!(matches!(answer, Err(SubmitError::OutcomeUnknown { .. })), "{answer:?}");
        });
    }
}
