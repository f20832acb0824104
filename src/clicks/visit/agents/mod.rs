//! What a User-Agent says (RFC 9110 §10.1.5): a person or a program, and on which device.
//!
//! - `format`: the file of lists, text to patterns. `lists`: all patterns at once over a User-Agent.
//! - `device`: on what a person reads. `shared`: lists that are exchanged while workers use them.

mod device;
mod format;
mod lists;
mod shared;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::clicks::batch::{Device, VisitClass};

pub use lists::AgentLists;
pub use shared::SharedAgents;

/// So much of a User-Agent is looked at, in bytes; what is behind makes no difference to anything. Browsers send 100 to
/// 250.
pub const USER_AGENT_BYTES: usize = 512;

/// What a User-Agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Never [`VisitClass::Head`]: that is for the method to say.
    pub class: VisitClass,
    /// Of a person; of programs it is never known, since what they say of it means nothing.
    pub device: Device,
}

impl Agent {
    /// A program.
    pub(super) const BOT: Agent = Agent { class: VisitClass::Bot, device: Device::Unknown };
}

/// The part of a User-Agent that is looked at; empty if there is none.
pub(super) fn looked_at(user_agent: Option<&[u8]>) -> &[u8] {
    let user_agent = user_agent.unwrap_or_default();
    &user_agent[..user_agent.len().min(USER_AGENT_BYTES)]
}

/// Why a file of lists is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AgentListError {
    /// The operating system refused.
    #[error("reading the lists of {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is a directory, a pipe or the like.
    #[error("{} is no regular file; name a text file with a line for each pattern", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// It is larger than any list.
    #[error("{} has more than {most} bytes; shorten it", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Most bytes.
        most: u64,
    },
    /// It has no pattern, which is more likely an accident than a wish.
    #[error(
        "{} has no pattern. Write at least `include built-in`, or run without it for the built-in lists",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line says nothing that is known.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The value, and what it should be.
        reason: String,
    },
    /// The patterns can't be put together.
    #[error("{}: the patterns can't be searched for together: {reason}. Leave some out", path.display())]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
}
