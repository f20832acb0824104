//! The directory of segments: open, append, sync, rotate.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::LogError;
use super::record::{ChainHash, LogId, OperationId, Record, RecordError};
use super::replay::{Location, Replay};
use super::segment::{self, Cursor, End, Reader, SegmentHeader};
use crate::limits::SEGMENT_BYTES;

/// The log, open for appending. There is one per data directory, held by the one writer (I2).
pub struct Log {
    dir: PathBuf,
    segment_bytes: u64,
    header: SegmentHeader,
    file: File,
    path: PathBuf,
    /// Where `buffer` belongs in the file.
    offset: u64,
    /// Records that are appended and not yet written.
    buffer: Vec<u8>,
    next_sequence: u64,
    chain: ChainHash,
    durable: u64,
    poisoned: bool,
}

/// An open log, and what was found on the way.
pub struct LogOpened {
    /// The log.
    pub log: Log,
    /// The write that a crash cut short, if there was one. It had not been acknowledged.
    pub torn: Option<TornTail>,
}

/// That the log was durable up to a record, from whoever applied it. If that record can't be read any more, it
/// is damaged or lost: no write of it was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownDurable {
    /// Of which log.
    pub log_id: LogId,
    /// Up to which record.
    pub sequence: u64,
}

/// The remains of a write that did not finish; they were cut off.
#[derive(Debug, Clone)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where in it the whole records ended, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: RecordError,
    /// The sequence that the record would have had.
    pub sequence: u64,
}

impl Log {
    /// Opens the log in `dir`, or begins one there. What a write that did not finish left behind is cut off, but
    /// nothing that is `known` to have been durable.
    ///
    /// # Errors
    /// If the directory can't be read or written, the newest segment is damaged, or the log, or what there is of
    /// one, ends before what is `known` to have been durable. Then nothing was changed.
    pub fn open(dir: &Path, known: Option<KnownDurable>) -> Result<LogOpened, LogError> {
        Self::open_with(dir, known, SEGMENT_BYTES)
    }

    /// The same with another size of segments, for tests.
    pub(crate) fn open_with(
        dir: &Path,
        known: Option<KnownDurable>,
        segment_bytes: u64,
    ) -> Result<LogOpened, LogError> {
        match (Self::newest_segment(dir)?, known) {
            (Some(path), known) => Self::open_segment(dir, path, known, segment_bytes),
            // A log that is begun here would make an end of all that was in the one that is gone.
            (None, Some(known)) if known.sequence > 0 => {
                Err(LogError::Lost { path: dir.to_owned(), last: 0, known: known.sequence })
            }
            (None, _) => Self::begin(dir, segment_bytes),
        }
    }

    /// Whether there is a log in `dir`, in whatever condition.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn exists(dir: &Path) -> Result<bool, LogError> {
        Ok(Self::newest_segment(dir)?.is_some())
    }

    fn newest_segment(dir: &Path) -> Result<Option<PathBuf>, LogError> {
        match dir.try_exists().map_err(LogError::io("reading the directory", dir))? {
            true => Ok(segment::list(dir)?.pop().map(|(_, path)| path)),
            false => Ok(None),
        }
    }

    fn begin(dir: &Path, segment_bytes: u64) -> Result<LogOpened, LogError> {
        std::fs::create_dir_all(dir).map_err(LogError::io("creating", dir))?;
        if let Some(parent) = dir.parent() {
            segment::sync_dir(parent)?;
        }
        let log_id = LogId::random();
        let header = SegmentHeader { log_id, epoch: 1, first_sequence: 1, chain: ChainHash::genesis(log_id) };
        let (file, path) = segment::create(dir, &header, segment_bytes)?;
        let log = Self::at(dir, header, file, path, Cursor::at_start(&header), segment_bytes);
        Ok(LogOpened { log, torn: None })
    }

    fn open_segment(
        dir: &Path,
        path: PathBuf,
        known: Option<KnownDurable>,
        segment_bytes: u64,
    ) -> Result<LogOpened, LogError> {
        let mut reader = Reader::open(&path)?;
        let header = reader.header;
        let mut cursor = Cursor::at_start(&header);
        // From here on no record of the segment is shown to be durable by a later one.
        let mut unproven = segment::HEADER_BYTES;
        let mut offsets = Vec::new();
        loop {
            let offset = cursor.offset;
            let Some(record) = cursor.next(&mut reader)? else { break };
            offsets.push(offset);
            let proven = record.durable.saturating_add(1).saturating_sub(header.first_sequence) as usize;
            unproven = offsets.get(proven).copied().unwrap_or(cursor.offset).max(unproven);
        }
        let end = segment::check_end(&mut reader, &cursor)?;
        // Another log may well be shorter; but one without any record has nothing to show for itself.
        let is_empty = cursor.next_sequence == 1;
        if let Some(known) = known
            && (known.log_id == header.log_id || is_empty)
            && known.sequence >= cursor.next_sequence
        {
            // Before anything is cut or added (I8).
            return Err(match end {
                End::Torn(reason) if known.log_id == header.log_id => {
                    let reason = format!("{reason}; the store shows that record {} was durable", cursor.next_sequence);
                    LogError::damaged(&path, cursor.offset as u64, reason)
                }
                // Whole segments are gone, or zeros stand where records stood.
                _ => LogError::Lost { path: dir.to_owned(), last: cursor.next_sequence - 1, known: known.sequence },
            });
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(LogError::io("opening", &path))?;
        let offset = cursor.offset as u64;
        let torn = match end {
            End::Clean => None,
            End::Torn(reason) => {
                // Cut, so that no remains of it can ever follow a later record.
                file.set_len(offset).map_err(LogError::io("truncating", &path))?;
                Some(TornTail { path: path.clone(), offset, reason, sequence: cursor.next_sequence })
            }
        };
        segment::preallocate(&file, &path, segment_bytes)?;
        // Also what the last process wrote and did not live to sync: from here on it counts as durable. If its sync
        // failed, the kernel may hold these bytes for written though they never reached the disk; so they are
        // written again (I9).
        while unproven < cursor.offset {
            let bytes = reader.at(unproven, 1)?;
            let bytes = &bytes[..bytes.len().min(cursor.offset - unproven)];
            file.write_all_at(bytes, unproven as u64).map_err(LogError::io("writing", &path))?;
            unproven += bytes.len();
        }
        file.sync_all().map_err(LogError::io("syncing", &path))?;
        Ok(LogOpened { log: Self::at(dir, header, file, path, cursor, segment_bytes), torn })
    }

    fn at(dir: &Path, header: SegmentHeader, file: File, path: PathBuf, cursor: Cursor, segment_bytes: u64) -> Self {
        Log {
            dir: dir.to_owned(),
            segment_bytes,
            header,
            file,
            path,
            offset: cursor.offset as u64,
            buffer: Vec::new(),
            next_sequence: cursor.next_sequence,
            chain: cursor.chain,
            durable: cursor.next_sequence - 1,
            poisoned: false,
        }
    }

    /// The log's name.
    pub fn id(&self) -> LogId {
        self.header.log_id
    }

    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The hash of the log up to its last record.
    pub fn chain(&self) -> ChainHash {
        self.chain
    }

    /// Appends a record and gives its place. It is durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// If a new segment was needed and could not be had, or the log is poisoned.
    pub fn append(&mut self, time_ms: u64, operation: OperationId, payload: &[u8]) -> Result<Location, LogError> {
        let length = (super::record::HEADER_BYTES + payload.len()) as u64;
        if self.offset + self.buffer.len() as u64 + length > self.segment_bytes {
            self.rotate()?;
        }
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let start = self.buffer.len();
        let location =
            Location { segment: self.header.first_sequence, offset: self.offset + start as u64, length: length as u32 };
        let record = Record {
            log_id: self.header.log_id,
            epoch: self.header.epoch,
            sequence: self.next_sequence,
            durable: self.durable,
            time_ms,
            operation,
            chain: self.chain,
            payload,
        };
        record.encode_into(&mut self.buffer);
        self.chain = self.chain.after(&self.buffer[start..]);
        self.next_sequence += 1;
        Ok(location)
    }

    /// Puts another file in the place of the one that is written, to make writing fail; gives that back.
    #[cfg(test)]
    pub(crate) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    /// Bytes that are appended and not yet written.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what is appended to the file, without making it durable.
    ///
    /// # Errors
    /// If the file can't be written. After that nothing is written any more.
    pub fn write(&mut self) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let written = self.file.write_all_at(&self.buffer, self.offset).map_err(LogError::io("writing", &self.path));
        self.poisoned = written.is_err();
        written?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// If writing or syncing fails. After that nothing is written any more: what a failed sync left on disk is
    /// unknown, and trying it again would report a success that is none (I9).
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.write()?;
        let synced = self.file.sync_data().map_err(LogError::io("syncing", &self.path));
        self.poisoned = synced.is_err();
        synced?;
        self.durable = self.next_sequence - 1;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        // The next segment's header vouches for everything before it.
        self.sync()?;
        let header = SegmentHeader { first_sequence: self.next_sequence, chain: self.chain, ..self.header };
        let created = segment::create(&self.dir, &header, self.segment_bytes);
        self.poisoned = created.is_err();
        let (file, path) = created?;
        (self.file, self.path, self.header) = (file, path, header);
        self.offset = segment::HEADER_BYTES as u64;
        Ok(())
    }

    /// Reads the log from its record `sequence` on.
    ///
    /// # Errors
    /// If the segment that should hold it is missing or damaged.
    pub fn replay(&self, sequence: u64) -> Result<Replay, LogError> {
        Replay::from(&self.dir, self.id(), sequence)
    }

    /// Reads one record again: its sequence and payload.
    ///
    /// # Errors
    /// If it can't be read, or is damaged.
    pub fn read(&self, location: Location) -> Result<(u64, Vec<u8>), LogError> {
        let path = self.dir.join(segment::file_name(location.segment));
        let mut bytes = vec![0; location.length as usize];
        let mut read = || File::open(&path)?.read_exact_at(&mut bytes, location.offset);
        read().map_err(LogError::io("reading", &path))?;
        match Record::decode(&bytes) {
            Ok((record, _)) => Ok((record.sequence, record.payload.to_vec())),
            Err(error) => Err(LogError::damaged(&path, location.offset, error.to_string())),
        }
    }
}
