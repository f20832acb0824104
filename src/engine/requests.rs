//! The way to the one writer (I2): what it is asked for, and what it answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::set::{Place, SetSummary};
use super::snapshot::Begun;
use crate::config::Durability;
use crate::limits::{BATCH_COMMANDS, CODE_GUESS_ODDS, OPEN_SETS, RECORD_PAYLOAD_BYTES, WRITER_QUEUE};
use crate::link::{Actor, Change, Command, Outcome, Refusal, SetId, TokenId};
use crate::log::OperationId;

/// That a change was made: it is as durable as said, and every later request sees it (I1, I5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged<T> {
    /// What became of the change.
    pub outcome: T,
    /// What was done before this was said, so that the change lasts.
    pub durability: Durability,
}

/// Why a change was not made, or may not have been.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// A precondition was not met. Nothing changed. Beside it the place of the command that was refused, from 0, among
    /// those of the change; None if the answer is that of an operation which was refused before.
    #[error("{0}")]
    Refused(Refusal, Option<usize>),
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
    /// The operation id was given to other commands before. Nothing changed.
    #[error("the operation id {0} was used for other commands within the last 24 hours. Give each operation its own")]
    OperationReused(OperationId),
    /// The token by which it is asked for was revoked or has expired since the request came. Nothing changed.
    #[error("the token {0} was revoked or has expired since the request began")]
    TokenEnded(TokenId),
    /// With one more generated code, a guess would find one too often. Nothing changed.
    #[error(
        "there are {found} codes of {length} characters on the host `{host}`; with more, a guess would find one more \
         often than once in {CODE_GUESS_ODDS} times. Raise its code_length above {length}, or choose a key"
    )]
    CodesExhausted {
        /// On which host.
        host: String,
        /// Of this length, in characters.
        length: u8,
        /// How many there are.
        found: u64,
    },
    /// No change can be made just now. Nothing changed.
    #[error("no change is accepted just now: {reason}. Nothing was changed. It goes on by itself when that is over")]
    Paused {
        /// Why.
        reason: String,
    },
    /// No change can be made any more. Nothing changed.
    #[error("no change is accepted: {reason}. Restart carom when the cause has been removed")]
    Closed {
        /// Why.
        reason: String,
    },
    /// The change may or may not be durable. It will be seen later, or never. With an operation id it can be sent
    /// again safely.
    #[error(
        "the outcome is unknown: {reason}. Look whether the change was made once changes are accepted again, or send it \
         again with the same operation id"
    )]
    OutcomeUnknown {
        /// Why.
        reason: String,
    },
}

impl SubmitError {
    fn ended() -> Self {
        SubmitError::Closed { reason: "the writer has ended".to_owned() }
    }

    /// Whether it may rest on what is not durable yet: on a change before it.
    pub(super) fn rests_on_state(&self) -> bool {
        matches!(
            self,
            SubmitError::Refused(..)
                | SubmitError::OperationReused(_)
                | SubmitError::TokenEnded(_)
                | SubmitError::CodesExhausted { .. }
        )
    }

    /// The writer took the request and ended before it answered.
    pub fn lost() -> Self {
        SubmitError::OutcomeUnknown { reason: "the writer ended".to_owned() }
    }
}

pub(super) type Reply<T> = Sender<Result<T, SubmitError>>;

/// What is answered to a change: what became of each of its commands.
pub type ChangeResult = Result<Acknowledged<Vec<Outcome>>, SubmitError>;

/// Takes the answer to a change. Dropped without it, the writer has ended.
pub(super) struct ChangeReply(Box<dyn FnOnce(ChangeResult) + Send>);

impl ChangeReply {
    pub(super) fn new(take: impl FnOnce(ChangeResult) + Send + 'static) -> Self {
        ChangeReply(Box::new(take))
    }

    pub(super) fn send(self, result: ChangeResult) {
        (self.0)(result);
    }
}

impl From<Reply<Acknowledged<Vec<Outcome>>>> for ChangeReply {
    fn from(sender: Reply<Acknowledged<Vec<Outcome>>>) -> Self {
        // If nobody waits any more, the change stands all the same.
        ChangeReply::new(move |result| drop(sender.send(result)))
    }
}

/// A change, and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Who.
    pub actor: Actor,
    /// A name for this operation, if it is to be remembered for 24 hours: submitted again by the same actor, it is not
    /// made again, and the answer is the first one, also if that was a refusal.
    pub operation: Option<OperationId>,
    /// What is to be changed.
    pub change: Change,
}

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
    pub(super) queue: Receiver<Request>,
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
    Change(Box<Submission>, ChangeReply),
    SetBegin {
        reply: Reply<SetId>,
    },
    SetPart {
        set: SetId,
        commands: Vec<Command>,
        place: Place,
    },
    SetCommit {
        set: SetId,
        applied: Arc<AtomicU64>,
        reply: Reply<Acknowledged<SetSummary>>,
    },
    SetDrop {
        set: SetId,
    },
    /// From here on the state is kept as it is now, for a snapshot: a backup, or one that the engine keeps for itself.
    SnapshotBegin {
        is_backup: bool,
        reply: Reply<Begun>,
    },
    /// Snapshots were verified from which the log can be gone on with; what is before that record may be cut.
    CutLog {
        before: u64,
        reply: Reply<u64>,
    },
    Stop,
}
