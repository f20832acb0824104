//! Writing the journal.

use std::path::PathBuf;
use std::sync::Arc;

use super::codec::{encode_forget, encode_window};
use super::frame::{self, FRAME_HEADER_BYTES};
use super::segment::{self, HEADER_BYTES, Header, WRITE_BYTES};
use super::segments::Segments;
use super::split::split;
use super::{JournalError, segments::Segment};
use crate::clicks::backlog::{Backlog, Bounds, Squeezed, Waiting};
use crate::clicks::batch::{Batch, WindowId};
use crate::limits::{CLICK_FRAME_BYTES, CLICK_SEGMENT_BYTES};
use crate::log::disk::{Disk, DiskFile};

/// Where a journal lies, and its bounds.
#[derive(Debug, Clone)]
pub(in crate::clicks) struct JournalConfig {
    /// The directory of the files.
    pub(in crate::clicks) dir: PathBuf,
    /// Past this, another file is begun, in bytes.
    pub(in crate::clicks) segment_bytes: u64,
    /// The longest entry, in bytes.
    pub(in crate::clicks) entry_bytes: usize,
    /// It gets no longer than about this, in bytes: then all waits in memory.
    pub(in crate::clicks) bytes_max: u64,
    /// What may wait in memory.
    pub(in crate::clicks) waiting: Bounds,
}

impl JournalConfig {
    /// A journal in this directory, with everything else as usual.
    pub(in crate::clicks) fn new(dir: PathBuf) -> Self {
        JournalConfig {
            dir,
            segment_bytes: CLICK_SEGMENT_BYTES,
            entry_bytes: CLICK_FRAME_BYTES,
            bytes_max: 2 * 1024 * 1024 * 1024,
            waiting: Bounds {
                batches: 1_024,
                counts: 1024 * 1024,
                counts_max: 4 * 1024 * 1024,
                name_bytes: 64 * 1024 * 1024,
                details: 256 * 1024,
                visits: 1024 * 1024,
            },
        }
    }
}

/// The journal, open for writing.
#[derive(Debug)]
pub(in crate::clicks) struct Journal {
    config: JournalConfig,
    segments: Arc<Segments>,
    pub(super) node: u128,
    boot: u64,
    /// The number of the next file. Each is used once, however it went.
    next_number: u64,
    file: Option<Current>,
    /// What has no number yet.
    backlog: Backlog,
    /// What has one, and may be in a file already: it is written as it is, until it is durable.
    staged: Vec<Staged>,
    /// The last entry that got a number.
    numbered: WindowId,
    durable: WindowId,
    entries: u64,
}

#[derive(Debug)]
struct Current {
    file: Box<dyn DiskFile>,
    header: Header,
    checksum: u32,
    /// Up to where it is durable, which is also where it ends.
    durable: u64,
}

#[derive(Debug)]
struct Staged {
    id: WindowId,
    bytes: Vec<u8>,
}

impl Journal {
    /// Opens the journal, and looks through what is there. A new file is begun with the first entry.
    ///
    /// Ids go on behind `highest`, also if files are gone: the last entry of which the rollups know.
    ///
    /// # Errors
    /// If the directory can't be read, or a file in it is damaged or of another version.
    pub(in crate::clicks) fn open(
        disk: Arc<dyn Disk>,
        config: JournalConfig,
        highest: WindowId,
    ) -> Result<Self, JournalError> {
        let segments = Segments::open(disk, config.dir.clone())?;
        let last: Option<Header> = segments.last().map(|Segment { header, .. }| header);
        let boot = last.map_or(0, |last| last.boot).max(highest.boot) + 1;
        let durable = WindowId { boot, number: 0 };
        Ok(Journal {
            node: last.map_or_else(|| uuid::Uuid::new_v4().as_u128(), |last| last.node),
            boot,
            next_number: last.map_or(0, |last| last.number) + 1,
            file: None,
            backlog: Backlog::new(config.waiting),
            staged: Vec::new(),
            numbered: durable,
            durable,
            entries: 0,
            segments: Arc::new(segments),
            config,
        })
    }

    pub(super) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Takes clicks, which are durable after the next [`Journal::sync`] that succeeds.
    pub(in crate::clicks) fn put(&mut self, batch: Batch) {
        self.backlog.put(batch);
    }

    /// Takes note that what was counted of a link until now is to be deleted; as durable as all else.
    pub(in crate::clicks) fn forget(&mut self, link: u64) {
        self.backlog.forget(link);
    }

    /// Makes durable all that it took. It does nothing if there is nothing.
    ///
    /// # Errors
    /// If it can't be written or synced. Nothing is lost as long as this process runs: the next one that succeeds makes
    /// up for it. Until then what gets too much is added up.
    pub(in crate::clicks) fn sync(&mut self) -> Result<(), JournalError> {
        while !self.staged.is_empty() || !self.backlog.is_empty() {
            let bytes = self.segments.bytes();
            if bytes > self.config.bytes_max {
                let (path, bytes_max) = (self.config.dir.clone(), self.config.bytes_max);
                return Err(JournalError::Full { path, bytes, bytes_max });
            }
            // What may be in a file already comes first, and alone: so it does not get more, however often this fails.
            if self.staged.is_empty() {
                self.stage();
            }
            self.write()?;
        }
        Ok(())
    }

    /// The last entry that is durable; its number is 0 if none is since the start.
    pub(in crate::clicks) fn durable(&self) -> WindowId {
        self.durable
    }

    /// How many entries were made durable since the start.
    pub(in crate::clicks) fn entries(&self) -> u64 {
        self.entries
    }

    /// How much waits to be made durable.
    pub(in crate::clicks) fn waiting(&self) -> usize {
        self.backlog.len() + self.staged.len()
    }

    /// How many bytes its files have.
    pub(in crate::clicks) fn bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// What was lost or added up since it was asked last.
    pub(in crate::clicks) fn take_squeezed(&mut self) -> Squeezed {
        self.backlog.take_squeezed()
    }

    /// Gives numbers to what waits, as much as is written at a time.
    fn stage(&mut self) {
        let mut bytes = 0;
        let mut waiting = self.backlog.take().into_iter();
        while bytes < WRITE_BYTES / 2
            && let Some(next) = waiting.next()
        {
            match next {
                Waiting::Forget(link) => bytes += self.number(|id, out| encode_forget(id, link, out)),
                Waiting::Batch(batch) => {
                    let mut parts = split(batch, self.config.entry_bytes).into_iter();
                    while bytes < WRITE_BYTES / 2
                        && let Some(part) = parts.next()
                    {
                        bytes += self.number(|id, out| encode_window(id, &part, out));
                    }
                    if parts.len() > 0 {
                        waiting = parts.map(Waiting::Batch).chain(waiting).collect::<Vec<_>>().into_iter();
                    }
                }
            }
        }
        self.backlog.put_back(waiting.collect());
    }

    /// Stages an entry; how long it is, in bytes.
    fn number(&mut self, encode: impl FnOnce(WindowId, &mut Vec<u8>)) -> usize {
        self.numbered.number += 1;
        let mut bytes = Vec::new();
        encode(self.numbered, &mut bytes);
        let length = FRAME_HEADER_BYTES + bytes.len();
        self.staged.push(Staged { id: self.numbered, bytes });
        length
    }

    /// Writes what is staged, and makes it durable.
    fn write(&mut self) -> Result<(), JournalError> {
        let Some(last) = self.staged.last().map(|staged| staged.id) else { return Ok(()) };
        let mut file = match self.file.take() {
            Some(file) if file.durable < self.config.segment_bytes => file,
            full => {
                if let Some(full) = full {
                    self.segments.update(full.header.number, |segment| segment.is_closed = true);
                }
                self.begin()?
            }
        };
        let number = file.header.number;
        // Also if it fails: some of it may be there.
        self.segments.update(number, |segment| segment.last = Some(last));
        match file.append(&self.staged, &segment::path(&self.config.dir, number)) {
            Ok(()) => self.segments.update(number, |segment| segment.readable = file.durable),
            Err(error) => {
                self.segments.update(number, |segment| segment.is_closed = true);
                return Err(error);
            }
        }
        self.file = Some(file);
        self.entries += self.staged.len() as u64;
        self.durable = last;
        self.staged.clear();
        Ok(())
    }

    fn begin(&mut self) -> Result<Current, JournalError> {
        let number = self.next_number;
        self.next_number += 1;
        let before = self.segments.last().filter(|before| {
            // Of one from before the start, nobody knows what is durable.
            before.header.boot == self.boot && before.header.number + 1 == number
        });
        let previous_durable = before.map_or(0, |before| before.readable);
        let header = Header { node: self.node, boot: self.boot, number, previous_durable };
        let file = segment::create(self.segments.disk.as_ref(), &self.config.dir, &header)?;
        self.segments.push(header);
        Ok(Current { file, header, checksum: header.checksum(), durable: HEADER_BYTES })
    }
}

impl Current {
    /// Appends entries and syncs them.
    ///
    /// # Errors
    /// Then it must not be written to any more (I9).
    fn append(&mut self, staged: &[Staged], path: &std::path::Path) -> Result<(), JournalError> {
        let length = staged.iter().map(|staged| FRAME_HEADER_BYTES + staged.bytes.len()).sum();
        let mut bytes = Vec::with_capacity(length);
        for staged in staged {
            let offset = self.durable + bytes.len() as u64;
            frame::encode(&staged.bytes, self.durable, self.checksum, offset, &mut bytes);
        }
        self.file.write_all_at(&bytes, self.durable).map_err(JournalError::io("writing", path))?;
        self.file.sync().map_err(JournalError::not_synced(path))?;
        self.durable += bytes.len() as u64;
        Ok(())
    }
}
