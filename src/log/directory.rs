//! The directory of segments: open, append, sync, rotate, cut.

use std::path::PathBuf;
use std::sync::Arc;

use super::LogError;
use super::disk::{Access, Disk, DiskFile};
use super::record::{ChainHash, LogId, OperationId, Record, RecordError, VERSION};
use super::replay::{Location, Replay};
use super::segment::{self, Cursor, Reader, SegmentHeader};
use super::tail::{End, check_end};
use crate::limits::SEGMENT_BYTES;

/// Where a log lies.
#[derive(Debug, Clone)]
pub struct LogDirectory {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The directory on it.
    pub path: PathBuf,
    /// How long its segments are, in bytes.
    pub segment_bytes: u64,
}

/// The log, open for appending. There is one per data directory, held by the one writer (I2).
pub struct Log {
    directory: LogDirectory,
    header: SegmentHeader,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// What stands in the file.
    written: Mark,
    /// Records that are appended and not yet written.
    buffer: Vec<u8>,
    /// What stands in file and buffer; its offset is that in the file.
    appended: Mark,
    durable: u64,
    /// Whether the file has lost the room that was kept for it, when it was cut.
    needs_room: bool,
    /// Whether the file may lose its name: whoever gave it that may not have lived to see that durable, or failed to
    /// make it so, and then no later sync of the directory tells.
    needs_name: bool,
    poisoned: bool,
}

/// How far a log goes.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: u64,
    next_sequence: u64,
    chain: ChainHash,
}

/// Behind which record a log is to begin: what is before it lies elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// The log's name.
    pub log_id: LogId,
    /// The term of writing.
    pub epoch: u64,
    /// The last record that is not in this log any more; 0 if none is missing.
    pub sequence: u64,
    /// The chain hash after that record.
    pub chain: ChainHash,
}

impl Beginning {
    /// Of a new log.
    pub fn genesis() -> Self {
        let log_id = LogId::random();
        Beginning { log_id, epoch: 1, sequence: 0, chain: ChainHash::genesis(log_id) }
    }
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

/// How a log ends, as it was found.
#[derive(Debug, Clone)]
pub struct LogEnd {
    /// Which log.
    pub log_id: LogId,
    /// The term of writing.
    pub epoch: u64,
    /// Its last record.
    pub sequence: u64,
    /// The chain hash after it.
    pub chain: ChainHash,
    /// What a crash left behind it.
    pub torn: Option<TornTail>,
}

impl LogDirectory {
    /// The log in `path` on a disk.
    pub fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        LogDirectory { disk, path, segment_bytes: SEGMENT_BYTES }
    }

    /// The first record of each segment that there is, in order, whatever condition they are in.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn segments(&self) -> Result<Vec<(u64, PathBuf)>, LogError> {
        match segment::list(self.disk.as_ref(), &self.path) {
            Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Opens the log, or begins one if there is none. What a write that did not finish left behind is cut off, but
    /// nothing that is `known` to have been durable.
    ///
    /// # Errors
    /// If the directory can't be read or written, the newest segment is damaged, or the log, or what there is of
    /// one, ends before what is `known` to have been durable. Then nothing was changed.
    pub fn open(&self, known: &[KnownDurable]) -> Result<LogOpened, LogError> {
        let newest = self.segments()?.pop();
        segment::remove_unfinished(self.disk.as_ref(), &self.path)?;
        match (newest, known.iter().map(|known| known.sequence).max()) {
            (Some((_, path)), _) => self.open_segment(path, known),
            // A log that is begun here would make an end of all that was in the one that is gone.
            (None, Some(known)) if known > 0 => Err(LogError::Lost { path: self.path.clone(), last: 0, known }),
            (None, _) => Ok(LogOpened { log: self.begin(Beginning::genesis())?, torn: None }),
        }
    }

    /// Begins a log where there is none.
    ///
    /// # Errors
    /// If the directory can't be written.
    pub fn begin(&self, at: Beginning) -> Result<Log, LogError> {
        let LogDirectory { disk, path: dir, .. } = self;
        disk.create_dir(dir).map_err(LogError::io("creating", dir))?;
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent).map_err(LogError::not_synced(parent))?;
        }
        let Beginning { log_id, epoch, sequence, chain } = at;
        let header = SegmentHeader { log_id, epoch, first_sequence: sequence + 1, chain };
        let (file, path) = segment::create(disk.as_ref(), dir, &header, self.segment_bytes)?;
        Ok(self.log_at(header, file, path, Cursor::at_start(&header)))
    }

    /// Reads the whole log and checks every record and seam, without changing anything; calls `seen` with each
    /// record. None if there is no log.
    ///
    /// # Errors
    /// If a segment can't be read or is damaged.
    pub fn verify(&self, seen: &mut dyn FnMut(&Record<'_>)) -> Result<Option<LogEnd>, LogError> {
        let segments = self.segments()?;
        let Some((first, path)) = segments.first() else { return Ok(None) };
        let header = Reader::open(self.disk.as_ref(), path)?.header;
        let mut replay = Replay::from(self, header.log_id, *first)?;
        while let Some((_, record)) = replay.next()? {
            seen(&record);
        }
        let (sequence, chain) = (replay.next_sequence() - 1, replay.chain());
        let torn = replay.torn().cloned();
        Ok(Some(LogEnd { log_id: header.log_id, epoch: replay.epoch(), sequence, chain, torn }))
    }

    /// Opens the log to read it only: nothing is cut off or added, now or later. None if there is none.
    ///
    /// # Errors
    /// If the newest segment can't be read or is damaged.
    pub fn open_to_read(&self) -> Result<Option<Log>, LogError> {
        let Some((_, path)) = self.segments()?.pop() else { return Ok(None) };
        let mut reader = Reader::open(self.disk.as_ref(), &path)?;
        let mut cursor = Cursor::at_start(&reader.header);
        while cursor.next(&mut reader)?.is_some() {}
        check_end(&mut reader, &cursor)?;
        let file = self.disk.open(&path, Access::Read).map_err(LogError::io("opening", &path))?;
        // What is poisoned is never written to.
        Ok(Some(Log { poisoned: true, ..self.log_at(reader.header, file, path, cursor) }))
    }

    /// How many bytes may still be written to the disk.
    ///
    /// # Errors
    /// If the operating system can't say.
    pub fn free_bytes(&self) -> Result<u64, LogError> {
        self.disk.free_bytes(&self.path).map_err(LogError::io("looking for free space in", &self.path))
    }

    fn open_segment(&self, path: PathBuf, known: &[KnownDurable]) -> Result<LogOpened, LogError> {
        let disk = self.disk.as_ref();
        let mut reader = Reader::open(disk, &path)?;
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
        let end = check_end(&mut reader, &cursor)?;
        // Another log may well be shorter; but one without any record has nothing to show for itself.
        let is_empty = cursor.next_sequence == 1;
        let is_missing = |known: &&KnownDurable| {
            (known.log_id == header.log_id || is_empty) && known.sequence >= cursor.next_sequence
        };
        if let Some(known) = known.iter().filter(is_missing).max_by_key(|known| known.sequence) {
            // Before anything is cut or added (I8).
            return Err(match end {
                End::Torn(reason) if known.log_id == header.log_id => {
                    let reason =
                        format!("{reason}; store or snapshots show that record {} was durable", cursor.next_sequence);
                    LogError::damaged(&path, cursor.offset as u64, reason)
                }
                // Whole segments are gone, or zeros stand where records stood.
                _ => {
                    let last = cursor.next_sequence - 1;
                    LogError::Lost { path: self.path.clone(), last, known: known.sequence }
                }
            });
        }
        let file = disk.open(&path, Access::Write).map_err(LogError::io("opening", &path))?;
        let offset = cursor.offset as u64;
        // Cut, so that no remains of a torn write can ever follow a later record. Also where there are none: if the sync
        // failed by which the last process took something back, its cut is not durable, and what is written behind it
        // now would be lost with it (I9).
        file.set_bytes(offset).map_err(LogError::io("truncating", &path))?;
        reader.file_bytes = cursor.offset;
        let torn = match end {
            End::Clean => None,
            End::Torn(reason) => Some(TornTail { path: path.clone(), offset, reason, sequence: cursor.next_sequence }),
        };
        let needs_room = match file.allocate(self.segment_bytes) {
            Ok(()) => false,
            // That is no reason not to read what there is; it is tried again before the next record.
            Err(error) if is_full(&error) => true,
            Err(error) => return Err(LogError::io("preallocating", &path)(error)),
        };
        // Also what the last process wrote and did not live to sync: from here on it counts as durable. If its sync
        // failed, the kernel may hold these bytes for written though they never reached the disk; so they are
        // written again (I9).
        while unproven < cursor.offset {
            let bytes = reader.at(unproven, 1)?;
            let bytes = &bytes[..bytes.len().min(cursor.offset - unproven)];
            file.write_all_at(bytes, unproven as u64).map_err(LogError::io("writing", &path))?;
            unproven += bytes.len();
        }
        file.sync().map_err(LogError::not_synced(&path))?;
        // Whoever wrote a record into it had seen that its name was durable.
        let needs_name = offsets.is_empty();
        let log = Log { needs_room, needs_name, ..self.log_at(header, file, path, cursor) };
        Ok(LogOpened { log, torn })
    }

    fn log_at(&self, header: SegmentHeader, file: Box<dyn DiskFile>, path: PathBuf, cursor: Cursor) -> Log {
        let Cursor { offset, next_sequence, chain } = cursor;
        let mark = Mark { offset: offset as u64, next_sequence, chain };
        Log {
            directory: self.clone(),
            header,
            file,
            path,
            written: mark,
            buffer: Vec::new(),
            appended: mark,
            durable: next_sequence - 1,
            needs_room: false,
            needs_name: false,
            poisoned: false,
        }
    }
}

/// Whether an error says that the disk, or what this user may have of it, is full.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

impl Log {
    /// The log's name.
    pub fn id(&self) -> LogId {
        self.header.log_id
    }

    /// The term of writing.
    pub fn epoch(&self) -> u64 {
        self.header.epoch
    }

    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.appended.next_sequence
    }

    /// The hash of the log up to its last record.
    pub fn chain(&self) -> ChainHash {
        self.appended.chain
    }

    /// The last record that is known to be durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether a record with a payload of this many bytes goes into the open segment.
    pub fn fits(&self, payload_bytes: usize) -> bool {
        let length = (super::record::HEADER_BYTES + payload_bytes) as u64;
        self.appended.offset + length <= self.directory.segment_bytes
    }

    /// Makes sure that a record with a payload of this many bytes can be appended: gets another segment if the
    /// open one has no room for it.
    ///
    /// # Errors
    /// If the disk is full: then nothing has changed, and it may be tried again. If another segment can't be had
    /// for another reason, or the log is poisoned.
    pub fn make_room(&mut self, payload_bytes: usize) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        if self.needs_name {
            // Created once more, in the place of the one that is there.
            self.begin_segment(self.header)?;
            (self.needs_name, self.needs_room) = (false, false);
        }
        if self.needs_room {
            let allocated = self.file.allocate(self.directory.segment_bytes);
            allocated.map_err(|error| self.failed("preallocating", error))?;
            self.needs_room = false;
        }
        if !self.fits(payload_bytes) {
            self.rotate()?;
        }
        Ok(())
    }

    /// Appends a record and gives its place. It is durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// As [`make_room`](Self::make_room) has them; after that, none.
    pub fn append(&mut self, time_ms: u64, operation: OperationId, payload: &[u8]) -> Result<Location, LogError> {
        self.append_judged(time_ms, operation, payload, false)
    }

    /// The same, for what was accepted or refused.
    ///
    /// # Errors
    /// The same.
    pub fn append_judged(
        &mut self,
        time_ms: u64,
        operation: OperationId,
        payload: &[u8],
        is_refused: bool,
    ) -> Result<Location, LogError> {
        self.make_room(payload.len())?;
        let start = self.buffer.len();
        let Mark { offset, next_sequence, chain } = self.appended;
        let record = Record {
            version: VERSION,
            log_id: self.header.log_id,
            epoch: self.header.epoch,
            sequence: next_sequence,
            durable: self.durable,
            time_ms,
            operation,
            is_refused,
            chain,
            payload,
        };
        record.encode_into(&mut self.buffer);
        let bytes = &self.buffer[start..];
        let length = bytes.len() as u64;
        self.appended = Mark { offset: offset + length, next_sequence: next_sequence + 1, chain: chain.after(bytes) };
        Ok(Location { segment: self.header.first_sequence, offset, length: length as u32 })
    }

    /// Bytes that are appended and not yet written.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Writes what is appended to the file, without making it durable.
    ///
    /// # Errors
    /// If the disk is full: then the log is again as it was after the last write, durably, and may be written again.
    /// If the file can't be written for another reason; after that nothing is written any more.
    pub fn write(&mut self) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        match self.file.write_all_at(&self.buffer, self.written.offset) {
            Ok(()) => {
                self.written = self.appended;
                self.buffer.clear();
                Ok(())
            }
            Err(error) => {
                if is_full(&error) {
                    self.take_back()?;
                }
                Err(self.failed("writing", error))
            }
        }
    }

    /// Makes an end of what was not wholly written, so that no record of it is ever found.
    fn take_back(&mut self) -> Result<(), LogError> {
        self.buffer.clear();
        self.appended = self.written;
        self.needs_room = true;
        if let Err(error) = self.file.set_bytes(self.written.offset) {
            // Whole records of it may be there for good.
            self.poisoned = true;
            return Err(LogError::not_synced(&self.path)(error));
        }
        self.sync_file()
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// If writing fails; see [`write`](Self::write). If syncing fails; after that nothing is written any more: what
    /// a failed sync left on disk is unknown, and trying it again would report a success that is none (I9).
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.write()?;
        self.sync_file()
    }

    fn sync_file(&mut self) -> Result<(), LogError> {
        let synced = self.file.sync();
        self.poisoned |= synced.is_err();
        synced.map_err(LogError::not_synced(&self.path))?;
        self.durable = self.written.next_sequence - 1;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        // The next segment's header vouches for everything before it.
        self.sync()?;
        let Mark { next_sequence, chain, .. } = self.appended;
        self.begin_segment(SegmentHeader { first_sequence: next_sequence, chain, ..self.header })
    }

    /// Goes on in a new segment.
    fn begin_segment(&mut self, header: SegmentHeader) -> Result<(), LogError> {
        let LogDirectory { disk, path: dir, segment_bytes } = &self.directory;
        let created = segment::create(disk.as_ref(), dir, &header, *segment_bytes);
        // Without room nothing came of it; after any other failure it is not known what did.
        self.poisoned |= created.as_ref().is_err_and(|error| !error.is_full());
        let (file, path) = created?;
        (self.file, self.path, self.header) = (file, path, header);
        self.appended.offset = segment::HEADER_BYTES as u64;
        self.written = self.appended;
        Ok(())
    }

    /// The error; if it says anything but that the disk is full, nothing is written any more.
    fn failed(&mut self, action: &'static str, error: std::io::Error) -> LogError {
        self.poisoned |= !is_full(&error);
        LogError::io(action, &self.path)(error)
    }

    /// Removes the segments that hold nothing but records before `sequence`; how many.
    ///
    /// # Errors
    /// If one can't be removed. The others are left as they are.
    pub fn cut_before(&self, sequence: u64) -> Result<u64, LogError> {
        let LogDirectory { disk, path: dir, .. } = &self.directory;
        let segments = self.directory.segments()?;
        let mut removed = 0;
        // From the oldest on: what is left is always one piece.
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            if next.0 > sequence {
                break;
            }
            disk.remove(&segment.1).map_err(LogError::io("removing", &segment.1))?;
            removed += 1;
        }
        if removed > 0 {
            disk.sync_dir(dir).map_err(LogError::not_synced(dir))?;
        }
        Ok(removed)
    }

    /// The first record that the log still has, or will have.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn first_sequence(&self) -> Result<u64, LogError> {
        Ok(self.directory.segments()?.first().map_or(self.next_sequence(), |&(first, _)| first))
    }

    /// The hash of the log up to a record that it still has, or the one before those.
    ///
    /// # Errors
    /// If the segment that should hold it is missing or damaged.
    pub fn chain_after(&self, sequence: u64) -> Result<ChainHash, LogError> {
        Ok(self.replay(sequence + 1)?.chain())
    }

    /// Reads the log from its record `sequence` on.
    ///
    /// # Errors
    /// If the segment that should hold it is missing or damaged.
    pub fn replay(&self, sequence: u64) -> Result<Replay, LogError> {
        Replay::from(&self.directory, self.id(), sequence)
    }

    /// Reads one record again: its sequence and payload.
    ///
    /// # Errors
    /// If it can't be read, or is damaged.
    pub fn read(&self, location: Location) -> Result<(u64, Vec<u8>), LogError> {
        let path = self.directory.path.join(segment::file_name(location.segment));
        let mut bytes = vec![0; location.length as usize];
        let file = self.directory.disk.open(&path, Access::Read);
        let read = file.and_then(|file| file.read_exact_at(&mut bytes, location.offset));
        read.map_err(LogError::io("reading", &path))?;
        match Record::decode(&bytes) {
            Ok((record, _)) => Ok((record.sequence, record.payload.to_vec())),
            Err(error) => Err(LogError::damaged(&path, location.offset, error.to_string())),
        }
    }
}
