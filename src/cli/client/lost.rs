//! When there is no way to the server, or none any more.

use super::Problem;
use crate::control_plane::AskError;

/// The server can't be asked, or was lost while it answered.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Lost {
    /// There is no connection.
    #[error("{name} can't be reached: {reason}")]
    Unreachable {
        /// Who was asked.
        name: String,
        /// Why not, and the way out.
        reason: String,
    },
    /// There was one, and it was gone before anything was asked.
    #[error(
        "{name} hung up before it was asked, so nothing was changed; try again, and if that fails, look whether it still runs"
    )]
    NotSent {
        /// Who was to be asked.
        name: String,
    },
    /// There was one, and no whole answer came over it.
    #[error(
        "{name} did not answer to the end{}; look whether it still runs",
        if *.is_change { ", and what it did is not known" } else { "" }
    )]
    BrokenOff {
        /// Who was asked.
        name: String,
        /// Whether something was to be changed.
        is_change: bool,
    },
}

impl Lost {
    /// Whether nothing was asked, since the connection was gone before.
    pub(in crate::cli) fn is_not_sent(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(Lost::NotSent { .. }))
    }

    /// Whether the connection was lost before all of an answer had come.
    pub(in crate::cli) fn is_broken_off(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(Lost::BrokenOff { .. }))
    }

    /// Whether the same may well succeed when the server runs again, or has less to do.
    pub(in crate::cli) fn may_pass(error: &anyhow::Error) -> bool {
        error.is::<Lost>()
            || matches!(error.downcast_ref(), Some(AskError::BrokenOff(_) | AskError::Refused(_)))
            || error.downcast_ref().is_some_and(|problem: &Problem| matches!(problem.status, 429 | 503))
    }
}
