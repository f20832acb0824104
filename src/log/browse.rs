//! Looking up records of a log that is being written: newest or oldest first, a few at a time.
//!
//! The way to a record leads over the heads of those before it in its segment, without their payloads. Checksums are
//! checked of what is given out; the chain is the business of those who read all of it.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::LogError;
use super::directory::LogDirectory;
use super::disk::DiskFile;
use super::record::{HEADER_BYTES, LogId, MAGIC, OperationId, RECORD_BYTES, Record, RecordError, field, is_known};
use super::segment::{self, Reader};

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
    /// If a segment can't be read, or one of the records, or the head of one before it, is damaged (I8).
    pub(crate) fn browse(&self, log_id: LogId, wanted: &Wanted) -> Result<Browsed, LogError> {
        let mut cuts = 0;
        loop {
            match self.browse_once(log_id, wanted) {
                // Cut between the listing of the directory and the opening of the file. What is missing for another
                // reason is missing again.
                Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound && cuts < CUTS => {
                    cuts += 1;
                }
                result => return result,
            }
        }
    }

    fn browse_once(&self, log_id: LogId, wanted: &Wanted) -> Result<Browsed, LogError> {
        let segments = segment::list(self.disk.as_ref(), &self.path)?;
        let Some(oldest) = segments.first().map(|&(first, _)| first) else { return Ok(Browsed::default()) };
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
            let mut places = file.places(log_id, *first, from.max(*first)..=to.min(end))?;
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
    /// The places of records of the segment.
    fn places(&self, log_id: LogId, first: u64, sequences: RangeInclusive<u64>) -> Result<Vec<Place>, LogError> {
        let mut places = Vec::new();
        let (mut window, mut start) = (Vec::new(), 0);
        let mut offset = segment::HEADER_BYTES as u64;
        let mut before = None;
        for sequence in first..=*sequences.end() {
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
            if sequence >= *sequences.start() {
                places.push(place);
            }
            before = Some(place);
            offset += length as u64;
        }
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
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::log::disk::RealDisk;
    use crate::log::{Beginning, Log};

    fn directory(dir: &Path) -> LogDirectory {
        LogDirectory { segment_bytes: 4_096, ..LogDirectory::new(Arc::new(RealDisk), dir.to_owned()) }
    }

    fn payload(sequence: u64) -> Vec<u8> {
        vec![0xff; 1 + (sequence as usize * 131) % 700]
    }

    fn append(log: &mut Log, count: u64) {
        for _ in 0..count {
            let sequence = log.next_sequence();
            log.append(sequence * 10, OperationId([sequence as u8; 16]), &payload(sequence)).unwrap();
        }
        log.write().unwrap();
    }

    fn newest_first(sequences: RangeInclusive<u64>, limit: u64, bytes: usize) -> Wanted {
        Wanted { sequences, limit, bytes, is_newest_first: true }
    }

    fn oldest_first(sequences: RangeInclusive<u64>, limit: u64, bytes: usize) -> Wanted {
        Wanted { is_newest_first: false, ..newest_first(sequences, limit, bytes) }
    }

    #[track_caller]
    fn assert_browses(directory: &LogDirectory, log: &Log, wanted: &Wanted, expected: &[u64]) {
        let browsed = directory.browse(log.id(), wanted).unwrap();
        let found: Vec<u64> = browsed.records.iter().map(|record| record.sequence).collect();
        assert_eq!(found, expected, "{wanted:?}");
        for record in &browsed.records {
            let sequence = record.sequence;
            assert_eq!((record.time_ms, &record.payload), (sequence * 10, &payload(sequence)));
            assert_eq!(record.operation, OperationId([sequence as u8; 16]));
        }
    }

    #[test]
    fn any_record_is_found_over_all_segments_and_after_a_cut() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(dir.path());
        let mut log = directory.begin(Beginning::genesis()).unwrap();
        append(&mut log, 60);
        assert!(directory.segments().unwrap().len() > 4);
        let all: Vec<u64> = (1..=60).collect();
        let many = 1 << 20;
        for from in 1..=60u64 {
            for limit in [1, 2, 7, 60] {
                let end = (from + limit - 1).min(60);
                let up: Vec<u64> = (from..=end).collect();
                assert_browses(&directory, &log, &oldest_first(from..=60, limit, many), &up);
                let down: Vec<u64> = (from.saturating_sub(limit - 1).max(1)..=from).rev().collect();
                assert_browses(&directory, &log, &newest_first(0..=from, limit, many), &down);
            }
        }
        assert_browses(&directory, &log, &oldest_first(1..=60, 0, many), &[]);
        assert_browses(&directory, &log, &oldest_first(RangeInclusive::new(61, 60), 9, many), &[]);
        assert_browses(&directory, &log, &oldest_first(1..=60, u64::MAX, many), &all);
        // As many as fit, and one in any case.
        assert_browses(&directory, &log, &oldest_first(3..=60, 60, 0), &[3]);
        assert_browses(&directory, &log, &oldest_first(1..=60, 60, 132 + 263), &[1, 2]);
        assert_browses(&directory, &log, &newest_first(0..=2, 60, 132 + 262), &[2]);

        log.sync().unwrap();
        assert!(log.cut_before(40).unwrap() > 0);
        let oldest = log.first_sequence().unwrap();
        assert!(oldest > 20, "{oldest}");
        let left: Vec<u64> = (oldest..=60).collect();
        assert_browses(&directory, &log, &oldest_first(1..=60, 60, many), &left);
        assert_browses(&directory, &log, &newest_first(0..=oldest + 1, 60, many), &[oldest + 1, oldest]);
        assert_browses(&directory, &log, &newest_first(0..=oldest - 1, 60, many), &[]);
        assert_eq!(directory.browse(log.id(), &newest_first(0..=60, 1, many)).unwrap().oldest, oldest);
    }

    #[test]
    fn damage_is_named_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let directory = directory(dir.path());
        let mut log = directory.begin(Beginning::genesis()).unwrap();
        append(&mut log, 5);
        let path = dir.path().join(segment::file_name(1));
        let whole = std::fs::read(&path).unwrap();
        let third = directory.browse(log.id(), &oldest_first(3..=3, 1, 0)).unwrap().records[0].offset;
        let browse = |wanted: &Wanted| directory.browse(log.id(), wanted);
        // In the payload, the sequence, the length, the magic, the checksum.
        for byte in [120, 41, 8, 1, 5] {
            let mut bytes = whole.clone();
            bytes[third as usize + byte] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            match browse(&oldest_first(1..=5, 5, 1 << 20)) {
                Err(LogError::Damaged { path: at, offset, .. }) => assert_eq!((&at, offset), (&path, third), "{byte}"),
                other => panic!("{byte}: {other:?}"),
            }
            assert_eq!(browse(&oldest_first(1..=2, 5, 1 << 20)).unwrap().records.len(), 2);
        }
        std::fs::write(&path, &whole).unwrap();
        // What was never written is no record, and neither is one of another log.
        assert!(matches!(browse(&oldest_first(6..=6, 1, 0)), Err(LogError::Damaged { .. })));
        assert!(directory.browse(LogId([9; 16]), &oldest_first(1..=5, 5, 1 << 20)).is_err());
    }
}
