//! Looks for all that is wrong with a snapshot: unlike a reader it goes on behind what is damaged.

use std::io;
use std::path::Path;

use super::format::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_STORED_BYTES, ChunkHeader, HEADER_BYTES, Manifest, SnapshotHeader,
};
use super::{SnapshotError, SnapshotReader};
use crate::log::disk::{Access, Disk, DiskFile, FileReader};

/// What was found in the file of a snapshot.
#[derive(Debug, Default)]
pub struct SnapshotSurvey {
    /// Of which moment it is, if its header can be read.
    pub header: Option<SnapshotHeader>,
    /// What is in it, if it is whole.
    pub manifest: Option<Manifest>,
    /// All that is wrong with it, in the order in which it stands in the file.
    pub damages: Vec<SnapshotError>,
}

impl SnapshotSurvey {
    /// Reads all of a file.
    pub fn of(disk: &dyn Disk, path: &Path) -> Self {
        let mut survey = SnapshotSurvey::default();
        match survey.read(disk, path) {
            Ok(manifest) => survey.manifest = Some(manifest),
            Err(error) => {
                let behind = match &error {
                    // Every chunk is checked together with the header; if that is damaged, none can be.
                    SnapshotError::Damaged { offset, .. } if survey.header.is_some() => Some(*offset),
                    _ => None,
                };
                survey.damages.push(error);
                if let Some(offset) = behind
                    && let Err(error) = survey.look_behind(disk, path, offset)
                {
                    survey.damages.push(SnapshotError::io("reading", path)(error));
                }
            }
        }
        survey
    }

    fn read(&mut self, disk: &dyn Disk, path: &Path) -> Result<Manifest, SnapshotError> {
        let file = disk.open(path, Access::Read).map_err(SnapshotError::io("opening", path))?;
        let mut reader = SnapshotReader::open(FileReader::new(file), path)?;
        self.header = Some(*reader.header());
        while reader.next_chunk()?.is_some() {}
        Ok(reader.manifest().expect("it was read to its end").clone())
    }

    /// Finds what else is wrong behind a chunk at `damaged`.
    fn look_behind(&mut self, disk: &dyn Disk, path: &Path, damaged: u64) -> io::Result<()> {
        let file = disk.open(path, Access::Read)?;
        let bytes = file.bytes()?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let Ok((_, checksum)) = SnapshotHeader::decode(&header) else { return Ok(()) };
        let mut chunks = Chunks { file: file.as_ref(), bytes, checksum, stored: Vec::new() };
        let mut at = damaged + 1;
        while let Some(mut next) = chunks.find(at)? {
            while let Some(end) = chunks.end_of(next)? {
                next = end;
            }
            if next >= bytes {
                break;
            }
            self.damages.push(SnapshotError::damaged(path, next, "no whole chunk begins here"));
            at = next + 1;
        }
        Ok(())
    }
}

/// The chunks of a file, wherever they stand.
struct Chunks<'f> {
    file: &'f dyn DiskFile,
    bytes: u64,
    /// Of the snapshot's header.
    checksum: u32,
    stored: Vec<u8>,
}

/// Bytes that are looked through at a time for the beginning of a chunk.
const WINDOW_BYTES: u64 = 1 << 20;

impl Chunks<'_> {
    /// Where the chunk ends that begins at an offset; None if no whole one does.
    fn end_of(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let stored_at = offset + CHUNK_HEADER_BYTES as u64;
        if stored_at > self.bytes {
            return Ok(None);
        }
        let mut header = [0; CHUNK_HEADER_BYTES];
        self.file.read_exact_at(&mut header, offset)?;
        let Ok(chunk) = ChunkHeader::decode(&header) else { return Ok(None) };
        let end = stored_at + u64::from(chunk.stored_bytes);
        if end > self.bytes {
            return Ok(None);
        }
        const _: () = assert!(CHUNK_STORED_BYTES < 2 << 20, "it is read as a whole");
        self.stored.resize(chunk.stored_bytes as usize, 0);
        self.file.read_exact_at(&mut self.stored, stored_at)?;
        Ok(ChunkHeader::check(&header, self.checksum, &self.stored).is_ok().then_some(end))
    }

    /// Where the next whole chunk begins, from an offset on.
    fn find(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        while at < self.bytes {
            let mut window = vec![0; WINDOW_BYTES.min(self.bytes - at) as usize];
            self.file.read_exact_at(&mut window, at)?;
            for found in memchr::memmem::find_iter(&window, &CHUNK_MAGIC) {
                let offset = at + found as u64;
                if self.end_of(offset)?.is_some() {
                    return Ok(Some(offset));
                }
            }
            // A magic may begin in the last bytes of the window.
            at += (window.len() - (CHUNK_MAGIC.len() - 1).min(window.len() - 1)) as u64;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::snapshot::SnapshotWriter;
    use crate::log::disk::RealDisk;
    use crate::log::{ChainHash, LogId};

    #[test]
    fn every_damaged_chunk_is_found() {
        let log_id = LogId([7; 16]);
        let header = SnapshotHeader {
            log_id,
            epoch: 1,
            sequence: 9,
            chain: ChainHash::genesis(log_id),
            taken_at_ms: 5,
            replay_from: 10,
        };
        let mut writer = SnapshotWriter::with_chunk_bytes(Vec::new(), &header, 2_000).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        for index in 0..200u32 {
            let value: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(100).collect();
            writer.add(&[b"E".as_slice(), &index.to_be_bytes()].concat(), &value).unwrap();
        }
        let (bytes, manifest) = writer.finish().unwrap();
        assert!(manifest.chunks > 8);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.snapshot");
        std::fs::write(&path, &bytes).unwrap();
        let whole = SnapshotSurvey::of(&RealDisk, &path);
        assert_eq!((whole.header, whole.manifest, whole.damages.len()), (Some(header), Some(manifest), 0));

        let begins: Vec<usize> = {
            let file = RealDisk.open(&path, Access::Read).unwrap();
            let checksum = SnapshotHeader::decode(&bytes[..HEADER_BYTES].try_into().unwrap()).unwrap().1;
            let mut chunks = Chunks { file: file.as_ref(), bytes: bytes.len() as u64, checksum, stored: Vec::new() };
            std::iter::successors(Some(HEADER_BYTES as u64), |&at| chunks.end_of(at).unwrap())
                .map(|at| at as usize)
                .collect()
        };
        assert_eq!(begins.last(), Some(&bytes.len()));
        let hit = [begins[1], begins[4], begins[begins.len() - 2]];
        let mut damaged = bytes.clone();
        hit.iter().for_each(|&at| damaged[at + CHUNK_HEADER_BYTES + 3] ^= 8);
        std::fs::write(&path, &damaged).unwrap();
        let survey = SnapshotSurvey::of(&RealDisk, &path);
        let offsets: Vec<usize> = survey
            .damages
            .iter()
            .map(|error| match error {
                SnapshotError::Damaged { offset, .. } => *offset as usize,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!((offsets.as_slice(), survey.manifest), (&hit[..], None));

        damaged[HEADER_BYTES - 1] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let survey = SnapshotSurvey::of(&RealDisk, &path);
        assert_eq!((survey.damages.len(), survey.header), (1, None));
    }
}
