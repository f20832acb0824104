//! Reading a log again, record by record, over all its segments.

use std::path::PathBuf;
use std::sync::Arc;

use super::LogError;
use super::directory::{LogDirectory, TornTail};
use super::disk::Disk;
use super::record::{LogId, Record};
use super::segment::{self, Cursor, Reader};
use super::tail::{End, check_end};

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The first sequence of its segment.
    pub segment: u64,
    /// Its offset in the segment, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub length: u32,
}

/// A reader of the log. It checks every record and every seam between segments.
pub struct Replay {
    disk: Arc<dyn Disk>,
    log_id: LogId,
    /// The segments that come after the open one, last first.
    later: Vec<(u64, PathBuf)>,
    reader: Reader,
    cursor: Cursor,
    torn: Option<TornTail>,
}

impl Replay {
    pub(crate) fn from(directory: &LogDirectory, log_id: LogId, sequence: u64) -> Result<Self, LogError> {
        let LogDirectory { disk, path: dir, .. } = directory;
        let mut later = segment::list(disk.as_ref(), dir)?;
        later.reverse();
        let newest_first = later.iter().position(|&(first, _)| first <= sequence);
        let Some(index) = newest_first else {
            let reason = format!("the segment that should hold record {sequence} is missing");
            return Err(LogError::damaged(dir, 0, reason));
        };
        let (_, path) = later[index].clone();
        later.truncate(index);
        let reader = Reader::open(disk.as_ref(), &path)?;
        let mut replay = Replay {
            disk: Arc::clone(disk),
            log_id,
            later,
            cursor: Cursor::at_start(&reader.header),
            reader,
            torn: None,
        };
        replay.check_log_id()?;
        while replay.cursor.next_sequence < sequence {
            if replay.next()?.is_none() {
                break;
            }
        }
        Ok(replay)
    }

    /// The sequence of the next record; after the last one, what the next to be appended gets.
    pub fn next_sequence(&self) -> u64 {
        self.cursor.next_sequence
    }

    /// The hash of the log before the next record.
    pub fn chain(&self) -> super::ChainHash {
        self.cursor.chain
    }

    /// The term of writing of the segment that was read last.
    pub fn epoch(&self) -> u64 {
        self.reader.header.epoch
    }

    /// The remains of a write behind the last record, once that was read.
    pub fn torn(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// The next record and its place; None at the end of the log.
    ///
    /// # Errors
    /// If a segment can't be read, is damaged, or does not follow the one before it.
    #[expect(clippy::should_implement_trait, reason = "the record borrows from the reader, which Iterator can't say")]
    pub fn next(&mut self) -> Result<Option<(Location, Record<'_>)>, LogError> {
        // A probe first: the record borrows from `self`, so it can't be held across the opening of a segment.
        let mut probe = self.cursor;
        while probe.next(&mut self.reader)?.is_none() {
            if !self.open_next_segment()? {
                return Ok(None);
            }
            probe = self.cursor;
        }
        let offset = self.cursor.offset;
        let length = (probe.offset - offset) as u32;
        self.cursor = probe;
        let segment = self.reader.header.first_sequence;
        let location = Location { segment, offset: offset as u64, length };
        let path = self.reader.path.clone();
        match Record::decode(self.reader.at(offset, length as usize)?) {
            Ok((record, _)) => Ok(Some((location, record))),
            Err(error) => Err(LogError::damaged(&path, offset as u64, error.to_string())),
        }
    }

    fn open_next_segment(&mut self) -> Result<bool, LogError> {
        let end = check_end(&mut self.reader, &self.cursor)?;
        let offset = self.cursor.offset as u64;
        let Some((_, path)) = self.later.pop() else {
            if let End::Torn(reason) = end {
                let (path, sequence) = (self.reader.path.clone(), self.cursor.next_sequence);
                self.torn = Some(TornTail { path, offset, reason, sequence });
            }
            return Ok(false);
        };
        if let End::Torn(reason) = end {
            // Before a new segment is begun the last one is synced: no write can be torn here.
            return Err(LogError::damaged(&self.reader.path, offset, reason.to_string()));
        }
        let reader = Reader::open(self.disk.as_ref(), &path)?;
        let header = reader.header;
        if header.first_sequence != self.cursor.next_sequence {
            let reason = format!(
                "the records end with {}, but the next segment begins with {}",
                self.cursor.next_sequence - 1,
                header.first_sequence
            );
            return Err(LogError::damaged(&self.reader.path, offset, reason));
        }
        if header.chain != self.cursor.chain {
            let reason = "the segment does not continue the one before it: its chain hash differs";
            return Err(LogError::damaged(&path, 0, reason));
        }
        self.cursor = Cursor::at_start(&header);
        self.reader = reader;
        self.check_log_id()?;
        Ok(true)
    }

    fn check_log_id(&self) -> Result<(), LogError> {
        if self.reader.header.log_id == self.log_id {
            return Ok(());
        }
        let reason = format!("the segment is of the log {}, this log is {}", self.reader.header.log_id, self.log_id);
        Err(LogError::damaged(&self.reader.path, 0, reason))
    }
}
