//! Changes, as they are asked for and as they came out.

use super::destination::{Destination, LinkId};
use super::key::LinkKey;

/// One change to one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which link.
    pub key: LinkKey,
    /// What is to be done.
    pub action: Action,
    /// What must be true when the command is applied; judged then, on every node alike (I3).
    pub precondition: Precondition,
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the link, or give it another destination.
    Put(Destination),
    /// Delete the link.
    Delete,
}

/// What a command demands of the state it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// There is no link of this key.
    Absent,
    /// The link has this version.
    Version(u64),
}

/// The number of a set of changes that is too large for one record: the sequence of the record that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub u64);

/// What a record of the log carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Commands that are applied together or not at all.
    Batch(Vec<Command>),
    /// A set begins. Its number is the sequence of this record.
    SetBegin,
    /// Commands that wait for their set to be committed. None has a precondition.
    SetPart(SetId, Vec<Command>),
    /// The parts of the set are applied, in order. A set without this record is none.
    SetCommit(SetId),
}

/// What became of an accepted command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The link is new.
    Created(LinkId),
    /// The link has this new version.
    Replaced {
        /// The version after the change.
        version: u64,
    },
    /// The link was as asked for already, or there was nothing to delete.
    Unchanged,
    /// The link is no more.
    Deleted,
}

/// Why a batch was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The link was to be new.
    #[error("`{key}` exists already, in version {version}")]
    Exists {
        /// Which link.
        key: LinkKey,
        /// The version it has.
        version: u64,
    },
    /// The link was to have another version.
    #[error("`{key}` was expected in version {expected}, but is in version {found}")]
    VersionMismatch {
        /// Which link.
        key: LinkKey,
        /// The version asked for.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// The link was to exist.
    #[error("`{0}` does not exist")]
    NotFound(LinkKey),
}
