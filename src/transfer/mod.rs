//! Importers: bytes to links, one file a format.
//!
//! An importer reads a stream and gives rows. A row that is no link is a [`RowError`], which says where it
//! stands and what is wrong with it, and the next row follows. Only what makes the rest unreadable ends the
//! reading. What is done with either is not known here.

mod columns;
mod csv;
mod lines;
mod repeats;

pub use columns::ColumnsError;
pub use csv::{CsvError, CsvReader};

use crate::link::{Destination, DestinationError, KeyError, LinkKey, StatusError, TargetError, shown};

/// A link, as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    /// The line of the file on which the row begins. The first line is 1.
    pub line: u64,
    /// What the link is found by.
    pub key: LinkKey,
    /// What it answers.
    pub destination: Destination,
}

/// A row that is no link.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RowError {
    /// The line of the file on which the row begins. The first line is 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: RowReason,
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowReason {
    /// The source is no key.
    #[error(transparent)]
    Source(#[from] KeyError),
    /// The status is none that a link answers with.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The target is none.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Status and target do not go together.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// A field that is not UTF-8.
    #[error("the {column} `{}` is not UTF-8; save the file in UTF-8", shown(.text))]
    NotUtf8 {
        /// Which field.
        column: &'static str,
        /// The field, with what is not UTF-8 replaced.
        text: String,
    },
    /// More fields than the header has columns: a comma that was not meant to end a field, most often.
    #[error("the row has {found} fields and the header {columns}; put quotes around a field that holds a comma")]
    TooManyFields {
        /// How many the row has.
        found: usize,
        /// How many the header has.
        columns: usize,
    },
    /// A browser would ask for the same URL again and again.
    #[error("the target `{}` leads back to this link; leave the row out", shown(.0))]
    ToItself(String),
    /// A pattern, which would be taken for a path.
    #[error(
        "the source `{}` is a regular expression, and these are not supported yet; write a row for each path that \
         it is to match, or leave the row out",
        shown(.0)
    )]
    Regex(String),
    /// Two rows that can't both be meant.
    #[error("`{}` has another destination on line {earlier}; leave one of the two out", shown(.key.as_str()))]
    Conflict {
        /// The key of both.
        key: LinkKey,
        /// The line of the earlier row.
        earlier: u64,
    },
}
