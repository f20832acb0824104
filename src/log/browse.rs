//! Looking up records of a log that is being written: newest or oldest first, a few at a time.
//!
//! The way to a record leads over the heads of those before it in its segment, without their payloads, and begins at
//! the nearest of the [`Waypoints`] that earlier ways have left. Checksums are checked of what is given out; the chain is
//! the business of those who read all of it.

mod waypoints;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::LogError;
use super::directory::LogDirectory;
use super::disk::DiskFile;
use super::record::{HEADER_BYTES, LogId, MAGIC, OperationId, RECORD_BYTES, Record, RecordError, field, is_known};
use super::segment::{self, Reader};
pub(crate) use waypoints::Waypoints;

/// A record of the log, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowsedRecord {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: u64,
    /// Its number.
    pub sequence: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Which operation it carries.
    pub operation: OperationId,
    /// Whether that was refused.
    pub is_refused: bool,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Records of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Browsed {
    /// The records, in the order that was asked for, without gaps.
    pub records: Vec<BrowsedRecord>,
    /// The first record that the log still has, or will have.
    pub oldest: u64,
}

/// Which records are looked up.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Their sequences. The last one must be in the files, and is not looked beyond. Those that were cut are left out.
    pub(crate) sequences: RangeInclusive<u64>,
    /// Most records.
    pub(crate) limit: u64,
    /// Most bytes of payloads. One record is given in any case.
    pub(crate) bytes: usize,
    /// Whether the newest come first.
    pub(crate) is_newest_first: bool,
}

/// How often the log may be cut under a reader before that is taken for something else.
const CUTS: usize = 16;

impl LogDirectory {
    /// Looks up records, while others may append to the log and cut it.
    ///
    /// # Errors
    /// If a segment can't be read, or one of the records, or the head of one that is passed, is damaged (I8).
    pub(crate) fn browse(&self, log_id: LogId, wanted: &Wanted, waypoints: &Waypoints) -> Result<Browsed, LogError> {
        let mut cuts = 0;
        loop {
            match self.browse_once(log_id, wanted, waypoints) {
                // Cut between the listing of the directory and the opening of the file. What is missing for another
                // reason is missing again.
                Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound && cuts < CUTS => {
                    cuts += 1;
                }
                result => return result,
            }
        }
    }

    fn browse_once(&self, log_id: LogId, wanted: &Wanted, waypoints: &Waypoints) -> Result<Browsed, LogError> {
        let segments = segment::list(self.disk.as_ref(), &self.path)?;
        let Some(oldest) = segments.first().map(|&(first, _)| first) else { return Ok(Browsed::default()) };
        waypoints.forget_before(oldest);
        let mut browsed = Browsed { records: Vec::new(), oldest };
        let (mut from, mut to) = (oldest.max(*wanted.sequences.start()), *wanted.sequences.end());
        if from > to || wanted.limit == 0 {
            return Ok(browsed);
        }
        if wanted.is_newest_first {
            from = from.max(to.saturating_sub(wanted.limit - 1));
        } else {
            to = to.min(from.saturating_add(wanted.limit - 1));
        }
        let mut left = wanted.bytes;
        let ends = segments.iter().skip(1).map(|&(next, _)| next - 1).chain([u64::MAX]);
        let mut parts: Vec<_> =
            segments.iter().zip(ends).filter(|((first, _), end)| *first <= to && from <= *end).collect();
        if wanted.is_newest_first {
            parts.reverse();
        }
        for ((first, path), end) in parts {
            let reader = Reader::open(self.disk.as_ref(), path)?;
            if reader.header.log_id != log_id {
                let reason = format!("the segment is of the log {}, this log is {log_id}", reader.header.log_id);
                return Err(LogError::damaged(path, 0, reason));
            }
            let file = SegmentFile { path: path.clone(), file: reader.into_file() };
            let mut places = file.places(log_id, *first, from.max(*first)..=to.min(end), waypoints)?;
            if wanted.is_newest_first {
                places.reverse();
            }
            for place in places {
                let payload = place.length - HEADER_BYTES;
                if payload > left && !browsed.records.is_empty() {
                    return Ok(browsed);
                }
                left = left.saturating_sub(payload);
                browsed.records.push(file.read(place)?);
            }
        }
        Ok(browsed)
    }
}

/// Where a record of a segment begins, and how long it is.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: usize,
}

struct SegmentFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

/// Bytes that are read at once on the way from head to head: many records, if they are small.
const WINDOW_BYTES: usize = 64 * 1024;

impl SegmentFile {
    /// The places of records of the segment that begins with the record `first`.
    fn places(
        &self,
        log_id: LogId,
        first: u64,
        sequences: RangeInclusive<u64>,
        waypoints: &Waypoints,
    ) -> Result<Vec<Place>, LogError> {
        let mut places = Vec::new();
        let (mut window, mut start) = (Vec::new(), 0);
        let (begin, mut offset) = waypoints.nearest(first, *sequences.start());
        let (mut before, mut passed) = (None, Vec::new());
        for sequence in begin..=*sequences.end() {
            let mut at = (offset - start) as usize;
            if at + HEADER_BYTES > window.len() {
                (at, start) = (0, offset);
                self.fill(&mut window, WINDOW_BYTES, offset)?;
            }
            let head = &window[at.min(window.len())..];
            let Some(length) = length_of(head, log_id, sequence) else {
                return Err(self.not_there(offset, before, sequence));
            };
            let place = Place { offset, length };
            if offset >= passed.last().map_or(0, |&(_, offset)| offset) + WINDOW_BYTES as u64 {
                passed.push((sequence, offset));
            }
            if sequence >= *sequences.start() {
                places.push(place);
            }
            before = Some(place);
            offset += length as u64;
        }
        waypoints.learn(first, &passed);
        Ok(places)
    }

    /// Why there is not the record that should be there: often the length of the one before it is wrong.
    fn not_there(&self, offset: u64, before: Option<Place>, sequence: u64) -> LogError {
        if let Some(Err(error)) = before.map(|before| self.read(before)) {
            return error;
        }
        let mut bytes = Vec::new();
        if let Err(error) = self.fill(&mut bytes, RECORD_BYTES, offset) {
            return error;
        }
        match Record::decode(&bytes) {
            Ok((record, _)) => {
                let reason =
                    format!("record {sequence} should be here, and it is {} of another place", record.sequence);
                LogError::damaged(&self.path, offset, reason)
            }
            Err(error) => self.refused(offset, error),
        }
    }

    fn refused(&self, offset: u64, error: RecordError) -> LogError {
        match error {
            RecordError::Version(_) => {
                LogError::OtherVersion { path: self.path.clone(), offset, reason: error.to_string() }
            }
            _ => LogError::damaged(&self.path, offset, error.to_string()),
        }
    }

    fn read(&self, place: Place) -> Result<BrowsedRecord, LogError> {
        let mut bytes = Vec::new();
        self.fill(&mut bytes, place.length, place.offset)?;
        let (record, _) = Record::decode(&bytes).map_err(|error| self.refused(place.offset, error))?;
        Ok(BrowsedRecord {
            path: self.path.clone(),
            offset: place.offset,
            sequence: record.sequence,
            time_ms: record.time_ms,
            operation: record.operation,
            is_refused: record.is_refused,
            payload: record.payload.to_vec(),
        })
    }

    /// Reads so many bytes, or up to the end of the file, which may be cut behind its records at any time.
    fn fill(&self, buffer: &mut Vec<u8>, bytes: usize, offset: u64) -> Result<(), LogError> {
        buffer.resize(bytes, 0);
        let mut filled = 0;
        while filled < bytes {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LogError::io("reading", &self.path)(error)),
            }
        }
        buffer.truncate(filled);
        Ok(())
    }
}

/// How long the record is whose head this is, if it is the head of this one.
fn length_of(head: &[u8], log_id: LogId, sequence: u64) -> Option<usize> {
    let length = Record::length(head)?;
    let is_it = head[..3] == MAGIC
        && is_known(head[3])
        && field::<16>(head, 16) == log_id.0
        && u64::from_le_bytes(field(head, 40)) == sequence;
    is_it.then_some(length)
}

#[cfg(test)]
mod tests;
