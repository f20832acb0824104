//! The seam between the log and the disk: everything that log and snapshots read and write goes through
//! [`Disk`], so that tests can put one in its place that loses, tears, fills up and fails.
//!
//! The methods are those of a file system, with what POSIX leaves open left open: a read or a write may be short,
//! what is not synced may be lost in any part, and a name is durable only once its directory is synced.

mod real;
#[cfg(test)]
pub(crate) mod simulated;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;

pub use real::RealDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new, empty file to read and write. One that is there already is emptied.
    Create,
}

/// A file system, as far as log and snapshots need one.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// If there is none, or the operating system refuses.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// If there is no such directory, or it can't be read.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// Creates a directory and what is missing above it. Existing ones are left as they are.
    ///
    /// # Errors
    /// If the operating system refuses.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name in the same directory; one that has it already is replaced.
    ///
    /// # Errors
    /// If the operating system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// If there is none, or the operating system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// If the operating system refuses; then it is not known which are.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// How many bytes may still be written to the file system that holds a directory.
    ///
    /// # Errors
    /// If the operating system can't say.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile: Send + Sync + Debug {
    /// How long it is, in bytes.
    ///
    /// # Errors
    /// If the operating system can't say.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads at most as many bytes as fit; how many. 0 is the end of the file.
    ///
    /// # Errors
    /// If the file can't be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of these bytes, from the first on; how many.
    ///
    /// # Errors
    /// If the file can't be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// If the operating system refuses.
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;

    /// Extends the file with zeros to this length, if it is shorter, and has the disk keep room for all of it.
    ///
    /// # Errors
    /// If there is no room, or the operating system refuses.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Makes durable what was written, and the length.
    ///
    /// # Errors
    /// If it may not be. Then it must not be tried again (I9).
    fn sync(&self) -> io::Result<()>;

    /// Has what was synced read from the disk again the next time, as far as that can be had.
    fn evict(&self) {}

    /// Fills the buffer.
    ///
    /// # Errors
    /// If the file can't be read, or ends before.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of these bytes.
    ///
    /// # Errors
    /// If the file can't be written. Some of the bytes may be.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Reads a file from its beginning, as a stream.
#[derive(Debug)]
pub struct FileReader {
    file: Box<dyn DiskFile>,
    offset: u64,
}

impl FileReader {
    /// A stream of this file.
    pub fn new(file: Box<dyn DiskFile>) -> Self {
        FileReader { file, offset: 0 }
    }
}

impl io::Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Writes a file from its beginning, as a stream. It is synced now and then, so that the sync of another file, such as
/// the log, never has to wait until much of this one is written.
#[derive(Debug)]
pub struct FileWriter {
    file: Box<dyn DiskFile>,
    offset: u64,
    synced: u64,
}

/// Most bytes of a [`FileWriter`] that are not synced.
const UNSYNCED_BYTES: u64 = 2 * 1024 * 1024;

impl FileWriter {
    /// A stream into this file.
    pub fn new(file: Box<dyn DiskFile>) -> Self {
        FileWriter { file, offset: 0, synced: 0 }
    }

    /// The file.
    pub fn file(&self) -> &dyn DiskFile {
        self.file.as_ref()
    }
}

impl io::Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.offset)?;
        self.offset += written as u64;
        if self.offset - self.synced >= UNSYNCED_BYTES {
            self.file.sync()?;
            self.synced = self.offset;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
