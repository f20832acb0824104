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

/// The same for manual pages.
pub(super) const MEANINGS: [(Exit, &str); 4] = [
    (Exit::Done, "done"),
    (Exit::Failed, "failed; stderr says why, and what to do"),
    (Exit::Usage, "the arguments are wrong"),
    (Exit::InvalidRows, "the file to import has invalid rows, and nothing was changed"),
];

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
        let lines = MEANINGS.map(|(exit, meaning)| format!("\n  {}  {meaning}", exit as u8));
        assert_eq!(HELP, format!("Exit codes:{}", lines.concat()));
    }
}
