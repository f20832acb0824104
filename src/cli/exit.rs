//! Exit codes.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked for is done.
    Done = 0,
    /// It could not be done; stderr says why, and what to do.
    Failed = 1,
    /// The arguments are wrong.
    Usage = 2,
    /// A file to import has invalid rows, and nothing was changed.
    InvalidRows = 3,
}

/// The same for `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  failed; stderr says why, and what to do
  2  the arguments are wrong
  3  the file to import has invalid rows, and nothing was changed";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_every_code() {
        for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::InvalidRows] {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
