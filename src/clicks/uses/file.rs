//! The file: read at the start, appended to, written anew.

use std::io;
use std::path::{Path, PathBuf};

use super::UsesError;
use super::record::{HEADER_BYTES, Header, HeaderError, RECORD_BYTES, Record, RecordError, Saved, VERSION, offset_of};
use crate::log::disk::{Access, Disk, DiskFile};

/// Most records that are written before they are synced: 2 MiB, so that the log never waits for much of this when it
/// is synced itself.
const UNSYNCED_RECORDS: usize = 64 * 1024;

/// Up to here a file may grow however little of it is needed, in bytes.
pub(super) const BYTES_MIN: u64 = 1024 * 1024;

/// Past this many times what is needed, a file is written anew.
const GROWTH_MAX: u64 = 4;

/// Records that are read at a time.
const READ_RECORDS: u64 = 2 * 1024;

/// Gives what a file holds to `found`, in the order in which it was saved; later ones replace earlier ones. A file that
/// is not there holds nothing. What a crash left of the last save is passed over.
///
/// Whether there is a file.
///
/// # Errors
/// If the file can't be read, is damaged, or is of another version. What was given until then is of no use.
pub(super) fn read(disk: &dyn Disk, path: &Path, mut found: impl FnMut(Saved)) -> Result<bool, UsesError> {
    let file = match disk.open(path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file.map_err(UsesError::io("opening", path))?,
    };
    let bytes = file.bytes().map_err(UsesError::io("reading", path))?;
    if bytes < HEADER_BYTES {
        return Err(UsesError::damaged(path, bytes, "the header is cut short"));
    }
    let mut header = [0; RECORD_BYTES];
    file.read_exact_at(&mut header, 0).map_err(UsesError::io("reading", path))?;
    let header = Header::decode(&header).map_err(|error| match error {
        HeaderError::Damaged(offset, reason) => UsesError::damaged(path, offset, reason),
        HeaderError::OtherVersion(found) => UsesError::OtherVersion { path: path.to_owned(), found, known: VERSION },
    })?;

    let records = (bytes - HEADER_BYTES) / RECORD_BYTES as u64;
    let mut durable = header.records;
    // What is behind the first unfinished record only shows whether that one was durable.
    let mut unfinished = None;
    let mut buffer = Vec::new();
    let mut number = 0;
    while number < records {
        buffer.resize((records - number).min(READ_RECORDS) as usize * RECORD_BYTES, 0);
        file.read_exact_at(&mut buffer, offset_of(number)).map_err(UsesError::io("reading", path))?;
        for bytes in buffer.as_chunks::<RECORD_BYTES>().0 {
            match Record::decode(bytes, number) {
                Ok(record) => {
                    durable = durable.max(record.durable);
                    if unfinished.is_none() {
                        found(record.saved);
                    }
                }
                Err(RecordError::Unfinished) => _ = unfinished.get_or_insert(number),
                Err(RecordError::Damaged(reason)) => {
                    return Err(UsesError::damaged(path, offset_of(number), reason));
                }
            }
            number += 1;
        }
    }
    let end = unfinished.unwrap_or(records);
    if end < durable {
        let reason = format!("record {end} is missing, and {durable} were durable");
        return Err(UsesError::damaged(path, offset_of(end), reason));
    }
    Ok(true)
}

/// A file that is written to.
pub(super) struct UsesFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// How many are in the file for sure.
    durable: u64,
    /// Those that come behind.
    waiting: Vec<u8>,
}

impl UsesFile {
    /// A new file without a header: it is none before [`UsesFile::finish`].
    pub(super) fn create(disk: &dyn Disk, path: &Path) -> Result<Self, UsesError> {
        let file = disk.open(path, Access::Create).map_err(UsesError::io("creating", path))?;
        Ok(UsesFile { file, path: path.to_owned(), durable: 0, waiting: Vec::new() })
    }

    /// Adds a record. It may be written at once, and is durable after [`UsesFile::flush`].
    ///
    /// # Errors
    /// Then the file is not to be written to any more. The same holds for the other methods.
    pub(super) fn add(&mut self, saved: Saved) -> Result<(), UsesError> {
        let waiting = self.waiting.len() / RECORD_BYTES;
        let record = Record { saved, durable: self.durable };
        self.waiting.extend_from_slice(&record.encode(self.durable + waiting as u64));
        if waiting + 1 < UNSYNCED_RECORDS {
            return Ok(());
        }
        self.flush()
    }

    /// Makes durable what was added.
    pub(super) fn flush(&mut self) -> Result<(), UsesError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let offset = offset_of(self.durable);
        self.file.write_all_at(&self.waiting, offset).map_err(UsesError::io("writing", &self.path))?;
        self.file.sync().map_err(UsesError::not_synced(&self.path))?;
        self.durable += (self.waiting.len() / RECORD_BYTES) as u64;
        self.waiting = Vec::new();
        Ok(())
    }

    /// Makes durable what was added, and gives the file its header.
    pub(super) fn finish(&mut self) -> Result<(), UsesError> {
        self.flush()?;
        let header = Header { records: self.durable };
        self.file.write_all_at(&header.encode(), 0).map_err(UsesError::io("writing", &self.path))?;
        self.file.sync().map_err(UsesError::not_synced(&self.path))
    }

    /// It has another name now.
    pub(super) fn renamed(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Whether the file may get this many records more, if it holds the counts of this many links.
    pub(super) fn has_room_for(&self, records: usize, links: usize) -> bool {
        let bytes = offset_of(self.durable + records as u64);
        bytes <= BYTES_MIN.max(GROWTH_MAX * offset_of(links as u64))
    }
}
