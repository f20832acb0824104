//! Reads a snapshot.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zstd::bulk::Decompressor;

use super::SnapshotError;
use super::format::{
    CHUNK_HEADER_BYTES, ChunkHeader, ChunkKind, HEADER_BYTES, HeaderError, MAGIC, Manifest, SnapshotHeader, Tally,
    take_entry,
};

/// Reads a snapshot from `R`, which needs no buffer: chunks are read as a whole. One chunk is in memory at a time.
pub struct SnapshotReader<R> {
    input: R,
    path: PathBuf,
    header: SnapshotHeader,
    checksum: u32,
    /// Where the next chunk begins.
    offset: u64,
    /// How many chunks of entries were read.
    chunks: u32,
    decompressor: Decompressor<'static>,
    stored: Vec<u8>,
    raw: Vec<u8>,
    /// The greatest key so far.
    last_key: Vec<u8>,
    progress: Progress,
}

enum Progress {
    Entries(Box<Tally>),
    Ended(Manifest),
    /// Nothing behind what can't be read is given out.
    Failed,
}

/// What can be wrong at a place of the file whose offset the caller knows.
enum Fault {
    Io(io::Error),
    Damaged(String),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Fault::Damaged(reason)
    }
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the header of a snapshot. The path is only for messages.
    ///
    /// # Errors
    /// If the input can't be read, is no snapshot, is one of another version, or its header is damaged.
    pub fn open(mut input: R, path: impl Into<PathBuf>) -> Result<Self, SnapshotError> {
        let path = path.into();
        let mut bytes = [0; HEADER_BYTES];
        let read = fill(&mut input, &mut bytes).map_err(SnapshotError::io("reading", &path))?;
        let magic = read.min(MAGIC.len());
        if bytes[..magic] != MAGIC[..magic] {
            return Err(SnapshotError::NotASnapshot { path });
        }
        if read < HEADER_BYTES {
            return Err(SnapshotError::damaged(&path, 0, format!("the file ends within the header, at byte {read}")));
        }
        let (header, checksum) = match SnapshotHeader::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(HeaderError::Magic) => return Err(SnapshotError::NotASnapshot { path }),
            Err(HeaderError::Version(found)) => return Err(SnapshotError::OtherVersion { path, found }),
            Err(HeaderError::Checksum { expected, found }) => {
                let reason = format!("the header has the checksum {found:08x} and should have {expected:08x}");
                return Err(SnapshotError::damaged(&path, 0, reason));
            }
        };
        let decompressor = Decompressor::new().map_err(SnapshotError::io("making ready to read", &path))?;
        Ok(SnapshotReader {
            input,
            path,
            header,
            checksum,
            offset: HEADER_BYTES as u64,
            chunks: 0,
            decompressor,
            stored: Vec::new(),
            raw: Vec::new(),
            last_key: Vec::new(),
            progress: Progress::Entries(Box::default()),
        })
    }

    /// Of which moment the snapshot is. Until the manifest has been read, only its checksum vouches for it.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// What is in the snapshot, once [`next_chunk`](Self::next_chunk) has given none: then all of it was there.
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.progress {
            Progress::Ended(manifest) => Some(manifest),
            Progress::Entries(_) | Progress::Failed => None,
        }
    }

    /// Reads and checks the next chunk, and gives its entries, key and value, in the order of their keys; none at
    /// the end, when the manifest has been compared with all that was read and nothing is behind it.
    ///
    /// What was given before an error was in the snapshot, but is not all of it.
    ///
    /// # Errors
    /// If the input can't be read or is damaged. After that there is no way on.
    pub fn next_chunk(&mut self) -> Result<Option<Entries<'_>>, SnapshotError> {
        let tally = match std::mem::replace(&mut self.progress, Progress::Failed) {
            Progress::Entries(tally) => tally,
            Progress::Ended(manifest) => {
                self.progress = Progress::Ended(manifest);
                return Ok(None);
            }
            Progress::Failed => {
                let source = io::Error::other("reading it failed before");
                return Err(SnapshotError::io("reading on in", &self.path)(source));
            }
        };
        let begin = self.offset;
        match self.read_chunk(tally) {
            Ok(progress) => self.progress = progress,
            Err(Fault::Io(source)) => return Err(SnapshotError::io("reading", &self.path)(source)),
            Err(Fault::Damaged(reason)) => return Err(SnapshotError::damaged(&self.path, begin, reason)),
        }
        if let Progress::Ended(_) = self.progress {
            let behind = fill(&mut self.input, &mut [0]);
            if !matches!(behind, Ok(0)) {
                self.progress = Progress::Failed;
            }
            return match behind {
                Ok(0) => Ok(None),
                Ok(_) => {
                    let reason = "something follows the manifest, which is the end";
                    Err(SnapshotError::damaged(&self.path, self.offset, reason))
                }
                Err(source) => Err(SnapshotError::io("reading", &self.path)(source)),
            };
        }
        Ok(Some(Entries { raw: &self.raw }))
    }

    /// Reads the next chunk into `raw` and checks all of it.
    fn read_chunk(&mut self, mut tally: Box<Tally>) -> Result<Progress, Fault> {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        match fill(&mut self.input, &mut bytes).map_err(Fault::Io)? {
            CHUNK_HEADER_BYTES => {}
            0 => return Err(Fault::Damaged("the file ends here, without a manifest".to_owned())),
            read => return Err(self.short(read)),
        }
        let chunk = ChunkHeader::decode(&bytes)?;
        self.stored.resize(chunk.stored_bytes as usize, 0);
        let read = fill(&mut self.input, &mut self.stored).map_err(Fault::Io)?;
        if read < self.stored.len() {
            return Err(self.short(CHUNK_HEADER_BYTES + read));
        }
        ChunkHeader::check(&bytes, self.checksum, &self.stored)?;
        if chunk.index != self.chunks {
            return Err(Fault::Damaged(format!("chunk {} stands where {} belongs", chunk.index, self.chunks)));
        }
        self.offset += (CHUNK_HEADER_BYTES + self.stored.len()) as u64;
        match chunk.kind {
            ChunkKind::Entries => {
                self.decompress(chunk.raw_bytes as usize)?;
                self.check_entries(&mut tally)?;
                self.chunks = self.chunks.checked_add(1).ok_or_else(|| "there are too many chunks".to_owned())?;
                Ok(Progress::Entries(tally))
            }
            ChunkKind::Manifest => {
                if chunk.raw_bytes != chunk.stored_bytes {
                    return Err(Fault::Damaged("the manifest has two lengths".to_owned()));
                }
                let manifest = Manifest::decode(&self.stored)?;
                manifest.check(&tally.manifest(self.header, self.chunks))?;
                Ok(Progress::Ended(manifest))
            }
        }
    }

    fn short(&self, read: usize) -> Fault {
        Fault::Damaged(format!("the file ends within this chunk, at byte {}", self.offset + read as u64))
    }

    /// Unpacks the stored bytes. The length was compared with the limit, and zstd gets no more room than that.
    fn decompress(&mut self, raw_bytes: usize) -> Result<(), String> {
        self.raw.clear();
        self.raw.reserve_exact(raw_bytes);
        let unpacked = self.decompressor.decompress_to_buffer(&self.stored, &mut self.raw);
        unpacked.map_err(|error| format!("the chunk can't be unpacked: {error}"))?;
        if self.raw.len() != raw_bytes {
            return Err(format!("the chunk has {} raw bytes and should have {raw_bytes}", self.raw.len()));
        }
        Ok(())
    }

    /// Sees that the raw bytes are entries that go on from those before them.
    fn check_entries(&mut self, tally: &mut Tally) -> Result<(), String> {
        let mut rest = self.raw.as_slice();
        if rest.is_empty() {
            return Err("the chunk is empty".to_owned());
        }
        let mut last_key = self.last_key.as_slice();
        while !rest.is_empty() {
            let at = self.raw.len() - rest.len();
            let (key, value) =
                take_entry(&mut rest).ok_or_else(|| format!("there is no entry at its raw byte {at}"))?;
            if key <= last_key {
                return Err(format!("the key at its raw byte {at} is not above the one before it"));
            }
            last_key = key;
            tally.add(key, value);
        }
        self.last_key = last_key.to_vec();
        Ok(())
    }
}

/// The entries of one chunk, key and value. All of them were checked.
#[derive(Debug, Clone)]
pub struct Entries<'r> {
    raw: &'r [u8],
}

impl<'r> Iterator for Entries<'r> {
    type Item = (&'r [u8], &'r [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.raw.is_empty() {
            return None;
        }
        Some(take_entry(&mut self.raw).expect("all entries were looked at before"))
    }
}

/// Reads a whole snapshot and says what is in it. The path is only for messages.
///
/// # Errors
/// If the input can't be read, or is not a whole and undamaged snapshot.
pub fn verify(input: impl Read, path: &Path) -> Result<Manifest, SnapshotError> {
    let mut reader = SnapshotReader::open(input, path)?;
    while reader.next_chunk()?.is_some() {}
    Ok(reader.manifest().expect("it was read to its end").clone())
}

/// Reads until the buffer is full or the input ends; how many bytes.
fn fill(input: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let length = buffer.len();
    while !buffer.is_empty() {
        match input.read(buffer) {
            Ok(0) => break,
            Ok(read) => buffer = &mut buffer[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length - buffer.len())
}
