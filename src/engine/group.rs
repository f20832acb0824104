//! What one sync makes durable together, and the answers that wait for it.

use super::applier::{Accepted, Named, Staged};
use super::requests::{Acknowledged, ChangeReply, Reply, SubmitError};
use crate::config::Durability;
use crate::link::{Outcome, SetId};
use crate::log::{ChainHash, Location};

/// What a group holds so far.
#[derive(Default)]
pub(super) struct Group {
    pub(super) staged: Staged,
    pub(super) steps: Vec<Step>,
    pub(super) answers: Vec<Answer>,
}

/// What is to be applied once the group is durable.
pub(super) enum Step {
    Accepted { accepted: Accepted, operation: Option<Named>, chain: ChainHash },
    Refused { operation: Named, chain: ChainHash },
    SetBegin { set: SetId, chain: ChainHash },
    SetPart { set: SetId, location: Location, chain: ChainHash },
}

impl Step {
    /// Whether somebody waits for it to be durable. The parts of a set become so with its commit.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Step::Accepted { .. } | Step::Refused { .. })
    }
}

/// An answer that waits until the group is durable and applied: also a refusal may rest on what the group holds.
pub(super) enum Answer {
    Change { result: Result<Vec<Outcome>, SubmitError>, reply: ChangeReply },
    SetBegin { result: Result<SetId, SubmitError>, reply: Reply<SetId> },
}

impl Answer {
    /// Sends the answer; after a failure of the group, that instead.
    pub(super) fn send(self, failure: Option<&GroupFailure>, durability: Durability) {
        // If nobody waits any more: a change stands all the same, and a set that nobody writes is dropped when
        // carom starts again.
        match self {
            Answer::Change { result, reply } => {
                let acknowledge = |outcome| Acknowledged { outcome, durability };
                reply.send(after(failure, result).map(acknowledge));
            }
            Answer::SetBegin { result, reply } => drop(reply.send(after(failure, result))),
        }
    }
}

/// What became of a group that failed.
pub(super) enum GroupFailure {
    /// Nothing of it is left.
    TakenBack(String),
    /// It may be durable.
    Unknown(String),
    /// It is durable, and will be applied when the store can be used again.
    Behind(String),
}

/// What is left of a verdict when the group that it was made in failed.
fn after<T>(failure: Option<&GroupFailure>, result: Result<T, SubmitError>) -> Result<T, SubmitError> {
    let Some(failure) = failure else { return result };
    match (failure, result) {
        (_, Err(error)) if !error.rests_on_state() => Err(error),
        (GroupFailure::TakenBack(reason), _) => Err(SubmitError::Paused { reason: reason.clone() }),
        (GroupFailure::Unknown(reason) | GroupFailure::Behind(reason), Ok(_)) => {
            Err(SubmitError::OutcomeUnknown { reason: reason.clone() })
        }
        // It may rest on a change of the group, which is not certain any more.
        (GroupFailure::Unknown(reason), Err(_)) => Err(SubmitError::Closed { reason: reason.clone() }),
        (GroupFailure::Behind(reason), Err(_)) => Err(SubmitError::Paused { reason: reason.clone() }),
    }
}
