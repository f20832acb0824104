//! Changes, as they are asked for and as they came out.

use std::fmt;

use super::destination::{Destination, LinkId};
use super::host::Host;
use super::host_settings::HostSettings;
use super::key::LinkKey;
use super::options::{LinkOptions, LinkPatch};
use super::token::{Actor, TokenId, TokenRecord};

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

impl Command {
    /// Whether it is accepted in any state where it stands in a set; nothing else can stand there.
    pub fn is_certain(&self) -> bool {
        self.precondition == Precondition::None && matches!(self.action, Action::Put(_) | Action::Delete)
    }
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the link, or give it another destination; what else it says stays.
    Put(Destination),
    /// Create the link, or replace all that it says.
    Set(Box<SetLink>),
    /// Change parts of the link, which must exist.
    Patch(Box<LinkPatch>, Chains),
    /// Delete the link.
    Delete,
}

/// All that a link is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLink {
    /// What it answers.
    pub destination: Destination,
    /// What else it says.
    pub options: LinkOptions,
    /// What is done if its target leads to another link.
    pub chains: Chains,
    /// Whether the path of its key is a generated code. What is there already stays what it is.
    pub is_generated: bool,
}

/// What is done with a target that leads to another link. One that leads back to its own is refused in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Chains {
    /// It is refused.
    #[default]
    Refuse,
    /// It is replaced by the target at the end of the chain.
    Flatten,
    /// It stays.
    Allow,
}

impl Chains {
    /// All of them.
    pub const ALL: [Chains; 3] = [Chains::Refuse, Chains::Flatten, Chains::Allow];

    /// Its name, as arguments have it.
    pub fn name(self) -> &'static str {
        match self {
            Chains::Refuse => "refuse",
            Chains::Flatten => "flatten",
            Chains::Allow => "allow",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name)
    }
}

/// What a command demands of the state it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// There is nothing of this name.
    Absent,
    /// There is something of this name.
    Present,
    /// What has this name has this version.
    Version(u64),
}

/// A change of the settings of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCommand {
    /// Which host.
    pub host: Host,
    /// What is to be set for it; None takes all settings away. Its links stay.
    pub settings: Option<Box<HostSettings>>,
    /// What must be true when the command is applied.
    pub precondition: Precondition,
}

/// A change of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCommand {
    /// There is a new one. The time of the record becomes the one when it was made.
    Create(Box<TokenRecord>),
    /// It allows nothing any more.
    Revoke(TokenId),
}

/// A change that is made wholly or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Of links.
    Links(Vec<Command>),
    /// Of a host.
    Host(HostCommand),
    /// Of a token.
    Token(TokenCommand),
}

/// The number of a set of changes that is too large for one record: the sequence of the record that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub u64);

/// What a record of the log carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A change.
    Change(Change),
    /// A set begins. Its number is the sequence of this record.
    SetBegin,
    /// Commands that wait for their set to be committed. None has a precondition, and none can be refused.
    SetPart(SetId, Vec<Command>),
    /// The parts of the set are applied, in order. A set without this record is none.
    SetCommit(SetId),
}

/// A payload, and who asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authored {
    /// Who.
    pub actor: Actor,
    /// What.
    pub payload: Payload,
}

/// What became of an accepted command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new. Hosts and tokens have no use for the number.
    Created(LinkId),
    /// It has this new version.
    Replaced {
        /// The version after the change.
        version: u64,
    },
    /// It was as asked for already, or there was nothing to delete.
    Unchanged,
    /// It is no more.
    Deleted,
}

impl Outcome {
    /// The version that the change made: the sequence of its record. None if it made none.
    pub fn version(self) -> Option<u64> {
        match self {
            Outcome::Created(id) => Some(id.sequence()),
            Outcome::Replaced { version } => Some(version),
            Outcome::Unchanged | Outcome::Deleted => None,
        }
    }
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A link.
    Link(LinkKey),
    /// The settings of a host.
    Host(Host),
    /// A token.
    Token(TokenId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Link(key) => write!(f, "`{key}`"),
            Subject::Host(host) => write!(f, "the host `{host}`"),
            Subject::Token(id) => write!(f, "the token `{id}`"),
        }
    }
}

/// Why a change was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was to be new.
    #[error("{subject} exists already, in version {version}")]
    Exists {
        /// What.
        subject: Subject,
        /// The version it has.
        version: u64,
    },
    /// It was to have another version.
    #[error("{subject} was expected in version {expected}, but is in version {found}")]
    VersionMismatch {
        /// What.
        subject: Subject,
        /// The version asked for.
        expected: u64,
        /// The version it has.
        found: u64,
    },
    /// It was to exist.
    #[error("{0} does not exist")]
    NotFound(Subject),
    /// A part of a link was changed to what does not go with the rest of it.
    #[error("`{key}`: {reason}")]
    Invalid {
        /// Which link.
        key: LinkKey,
        /// What does not go together.
        reason: String,
    },
    /// The target leads to another link.
    #[error(
        "the target of `{key}` leads to the link `{through}`; give the target at the end of the chain, or have the \
         chain allowed, or flattened, which is possible where each link on it always leads to the next"
    )]
    Chain {
        /// Which link.
        key: LinkKey,
        /// The link that its target is answered by.
        through: LinkKey,
    },
    /// The target leads back to the link.
    #[error("the target of `{key}` leads back to it through `{through}`")]
    Loop {
        /// Which link.
        key: LinkKey,
        /// The link that its target is answered by; itself, if that is the one.
        through: LinkKey,
    },
}
