//! Comma-separated values (RFC 4180), as spreadsheets and other redirect services write them.
//!
//! The first record is the header. It must name a source and a target column and may name a status column, by
//! any of the usual names, whatever their case, spaces, underscores and hyphens. Other columns are ignored.
//!
//! - In a column that by its name holds paths, such as `slug`, they need not begin with `/`.
//! - A row that a `regex` column says is one is an error: read as a path it would match nothing.
//! - A row without status is a 301. 410 is never assumed: a row with neither target nor status is an error.
//! - Rows may have fewer fields than the header; what is missing is empty. Fields beyond the header must be empty.
//! - White space around a field is dropped. A record in which all fields are empty is skipped.
//! - A URL that redirects to itself is an error, or to itself with a query, which the link answers too. Its source
//!   must have its scheme: without one, `http` to `https` on the same host can't be told from it.
//! - Targets may hold a user name and a password: only the settings of the host say whether they are taken.
//!
//! What rows are to each other is told by [`Rows`](super::Rows).

use std::borrow::Cow;
use std::io::Read;

use csv::ByteRecord;

use super::columns::{Columns, ColumnsError};
use super::lines::{Lines, RecordStart, RecordTooLong};
use super::{ImportRow, RowError, RowReason, SchemeAndPort, leads_back};
use crate::limits::IMPORT_RECORD_BYTES;
use crate::link::{Destination, LinkKey, Status, Target, is_plainly_url_or_path};

/// Why no more can be read of a file.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The header does not say which column holds what.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    /// A record that is too long to be one.
    #[error(
        "line {line}: the row that begins here has more than {IMPORT_RECORD_BYTES} bytes; is a quote in it never \
         closed?"
    )]
    RecordTooLong {
        /// The line on which it begins.
        line: u64,
    },
    /// The file ends inside quotes, so that what should have been rows may be part of one field.
    #[error("line {line}: a quote in the row that begins here is never closed; close it, or double it to keep it")]
    OpenQuote {
        /// The line on which the record begins.
        line: u64,
    },
    /// The file can't be read.
    #[error("it can't be read")]
    Io(#[from] std::io::Error),
}

/// Reads links from CSV, one at a time.
pub struct CsvReader<R> {
    csv: csv::Reader<Lines<R>>,
    columns: Columns,
    record: ByteRecord,
}

impl<R: Read> CsvReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it does not say which column holds what, or can't be read.
    pub fn new(reader: R) -> Result<Self, CsvError> {
        let lines = Lines::new(reader)?;
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(IMPORT_RECORD_BYTES)
            .from_reader(lines);
        let mut record = ByteRecord::new();
        read_record(&mut csv, &mut record)?.ok_or(ColumnsError::Empty)?;
        let columns = Columns::of_header(record.iter())?;
        Ok(CsvReader { csv, columns, record })
    }

    /// The names of the columns that are not used.
    pub fn ignored_columns(&self) -> &[String] {
        &self.columns.ignored
    }

    /// The next row, good or bad; none at the end. After a bad one the next follows.
    ///
    /// # Errors
    /// If no more can be read.
    pub fn next_row(&mut self) -> Result<Option<Result<ImportRow, RowError>>, CsvError> {
        let Some(RecordStart { line, .. }) = read_record(&mut self.csv, &mut self.record)? else { return Ok(None) };
        Ok(Some(self.parse_row(line).map_err(|reason| RowError { line, reason })))
    }

    /// The row in the record at hand.
    fn parse_row(&self, line: u64) -> Result<ImportRow, RowReason> {
        let columns = &self.columns;
        if self.record.iter().skip(columns.len).any(|field| !field.trim_ascii().is_empty()) {
            return Err(RowReason::TooManyFields { found: self.record.len(), columns: columns.len });
        }
        let source = field(&self.record, Some(columns.source), "source")?;
        let target = field(&self.record, Some(columns.target), "target")?;
        let status = field(&self.record, columns.status, "status")?;
        let is_regex = field(&self.record, columns.regex, "mark of a regular expression")?;
        if ["1", "true", "yes"].iter().any(|yes| is_regex.eq_ignore_ascii_case(yes)) {
            return Err(RowReason::Regex(source.to_owned()));
        }
        let source = if columns.source_is_path { with_slash(source) } else { source.into() };
        let key = LinkKey::parse(&source)?;
        let status = if status.is_empty() { Status::MovedPermanently } else { Status::parse(status)? };
        let target = if target.is_empty() { None } else { Some(Target::parse_with_userinfo(target)?) };
        let destination = Destination::new(status, target)?;
        let origin = SchemeAndPort::of_source(&source);
        if let Some(target) = destination.target().filter(|target| leads_back(origin, &key, target)) {
            return Err(RowReason::ToItself(target.as_str().to_owned()));
        }
        Ok(ImportRow { line, key, origin, destination })
    }
}

/// Reads the next record that is not empty, and says where it begins.
fn read_record<R: Read>(
    csv: &mut csv::Reader<Lines<R>>,
    record: &mut ByteRecord,
) -> Result<Option<RecordStart>, CsvError> {
    loop {
        let begin = csv.position().byte();
        csv.get_mut().begin_record(begin);
        let read = csv.read_byte_record(record);
        let Some(start) = csv.get_ref().record_start() else {
            // Nothing came, not even the mark of the end.
            read.map_err(io_error)?;
            return Ok(None);
        };
        let line = start.line;
        match read.map_err(io_error) {
            Err(error) if error.get_ref().is_some_and(|cause| cause.is::<RecordTooLong>()) => {
                return Err(CsvError::RecordTooLong { line });
            }
            other => other?,
        };
        let end = csv.position().byte();
        if let Some(file_bytes) = csv.get_ref().file_bytes() {
            // The mark is a record of its own, unless quotes are open.
            if start.offset > file_bytes {
                return Ok(None);
            }
            if end > file_bytes + 1 {
                return Err(CsvError::OpenQuote { line });
            }
        }
        if end - start.offset > IMPORT_RECORD_BYTES as u64 {
            return Err(CsvError::RecordTooLong { line });
        }
        if record.iter().any(|field| !field.trim_ascii().is_empty()) {
            return Ok(Some(start));
        }
    }
}

fn io_error(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

/// A field without the white space around it; empty if the row has no such field.
fn field<'a>(record: &'a ByteRecord, index: Option<usize>, column: &'static str) -> Result<&'a str, RowReason> {
    let bytes = index.and_then(|index| record.get(index)).unwrap_or_default().trim_ascii();
    std::str::from_utf8(bytes)
        .map_err(|_| RowReason::NotUtf8 { column, text: String::from_utf8_lossy(bytes).into_owned() })
}

/// A path as it was meant, of which the `/` at its beginning may be missing.
fn with_slash(path: &str) -> Cow<'_, str> {
    if path.is_empty() || is_plainly_url_or_path(path) { path.into() } else { format!("/{path}").into() }
}

#[cfg(test)]
mod tests;
