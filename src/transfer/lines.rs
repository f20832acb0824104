//! Which line of a file a record begins on, and how far it may reach.

use std::collections::VecDeque;
use std::io::{self, Chain, Cursor, Read};

use crate::limits::IMPORT_RECORD_BYTES;

/// Stands behind the last byte of the file. A parser that is not inside quotes then sees it as one more record.
const END_MARK: &[u8] = b"\n\x04";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What is wrong with a record that reaches beyond [`IMPORT_RECORD_BYTES`], as the cause of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("the record has more than {IMPORT_RECORD_BYTES} bytes")]
pub(super) struct RecordTooLong;

/// A reader that notes where lines begin while it hands their bytes on.
///
/// The `csv` crate counts lines too, but from the end of the record before, which is a line or more too early
/// after CRLF and after empty lines. It also takes a record of any length, and a quote that is still open at the
/// end of the file, for good; hence the limit and the mark.
pub(super) struct Lines<R> {
    inner: Chain<Cursor<Vec<u8>>, R>,
    /// Bytes handed on.
    offset: u64,
    line: u64,
    last_byte: u8,
    at_line_start: bool,
    /// Where the lines begin that are not empty, and their numbers, from the record at hand on.
    starts: VecDeque<(u64, u64)>,
    end_mark: &'static [u8],
    end_mark_at: Option<u64>,
}

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordStart {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Its line.
    pub(super) line: u64,
}

impl<R: Read> Lines<R> {
    /// Takes the byte order mark off, so that it counts neither as the first field's nor as a line's beginning.
    pub(super) fn new(mut reader: R) -> io::Result<Self> {
        let mut first = Vec::new();
        reader.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut first)?;
        if first == BYTE_ORDER_MARK {
            first.clear();
        }
        Ok(Lines {
            inner: Cursor::new(first).chain(reader),
            offset: 0,
            line: 1,
            last_byte: 0,
            at_line_start: true,
            starts: VecDeque::new(),
            end_mark: END_MARK,
            end_mark_at: None,
        })
    }

    /// Forgets the lines before `offset`, where the next record, or what is empty before it, begins. What is
    /// read from here on may be [`IMPORT_RECORD_BYTES`] long.
    pub(super) fn begin_record(&mut self, offset: u64) {
        while self.starts.front().is_some_and(|&(start, _)| start < offset) {
            self.starts.pop_front();
        }
    }

    /// Where the record begins that was read since [`begin_record`](Self::begin_record): at the first line that
    /// is not empty.
    pub(super) fn record_start(&self) -> Option<RecordStart> {
        self.starts.front().map(|&(offset, line)| RecordStart { offset, line })
    }

    /// How many bytes the file has, once all are read.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.end_mark_at.map(|at| at - 1)
    }

    fn note(&mut self, bytes: &[u8]) {
        for (at, &byte) in (self.offset..).zip(bytes) {
            match byte {
                b'\n' if self.last_byte == b'\r' => {}
                b'\n' | b'\r' => {
                    self.line += 1;
                    self.at_line_start = true;
                }
                _ if self.at_line_start => {
                    self.starts.push_back((at, self.line));
                    self.at_line_start = false;
                }
                _ => {}
            }
            self.last_byte = byte;
        }
        self.offset += bytes.len() as u64;
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let begun = self.starts.front().map_or(self.offset, |&(start, _)| start);
        if self.offset - begun > IMPORT_RECORD_BYTES as u64 {
            return Err(io::Error::other(RecordTooLong));
        }
        let mut read = self.inner.read(buf)?;
        if read == 0 {
            self.end_mark_at.get_or_insert(self.offset + 1);
            read = self.end_mark.read(buf)?;
        }
        self.note(&buf[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_any_of_the_three_line_ends() {
        let mut lines = Lines::new(&b"a\nb\r\nc\rd\r\n\r\n\n\re"[..]).unwrap();
        io::copy(&mut lines, &mut io::sink()).unwrap();
        let found: Vec<_> = lines.starts.iter().map(|&(_, line)| line).collect();
        assert_eq!(found, [1, 2, 3, 4, 8, 9]);
        assert_eq!(lines.file_bytes(), Some(15));
    }

    #[test]
    fn a_record_begins_on_the_first_line_that_is_not_empty() {
        let mut lines = Lines::new(&b"a\r\n\r\n\r\nb\r\nc"[..]).unwrap();
        io::copy(&mut lines, &mut io::sink()).unwrap();
        lines.begin_record(2);
        assert_eq!(lines.record_start(), Some(RecordStart { offset: 7, line: 4 }));
    }

    #[test]
    fn no_more_is_read_of_a_record_than_it_may_have() {
        let mut lines = Lines::new(io::repeat(b'x')).unwrap();
        let error = io::copy(&mut lines, &mut io::sink()).unwrap_err();
        assert!(error.get_ref().unwrap().is::<RecordTooLong>());
        assert!(lines.offset < 2 * IMPORT_RECORD_BYTES as u64);
        // Empty lines belong to no record.
        let empty = io::repeat(b'\n').take(3 * IMPORT_RECORD_BYTES as u64);
        assert!(io::copy(&mut Lines::new(empty).unwrap(), &mut io::sink()).is_ok());
    }
}
