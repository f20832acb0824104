//! The files that there are: writer and reader share the list.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::segment::{self, HEADER_BYTES};
use super::{JournalError, segment::Header};
use crate::clicks::batch::WindowId;
use crate::log::disk::Disk;

/// A file of the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) header: Header,
    /// Up to which offset it may be read: of what this process wrote, what was synced.
    pub(super) readable: u64,
    /// No entry behind this one can be in it; none: it holds nothing.
    pub(super) last: Option<WindowId>,
    /// Nothing more is written to it.
    pub(super) is_closed: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    list: Mutex<Vec<Segment>>,
}

impl Segments {
    /// Makes the directory durable, and looks through what is in it.
    ///
    /// # Errors
    /// If it can't be read, or holds damage: a part of a file, or a file of another node.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, JournalError> {
        disk.create_dir(&dir).map_err(JournalError::io("creating the directory", &dir))?;
        // The directory, the one above it that may be as new, and its name.
        for dir in dir.ancestors().take(3).filter(|dir| !dir.as_os_str().is_empty()) {
            disk.sync_dir(dir).map_err(JournalError::not_synced(dir))?;
        }
        let mut list: Vec<Segment> = Vec::new();
        for number in segment::list(disk.as_ref(), &dir)? {
            let found = segment::survey(disk.as_ref(), &dir, number)?;
            if let Some(before) = list.last() {
                check(&dir, before, &found.header)?;
            }
            list.push(Segment { header: found.header, readable: found.end, last: found.last, is_closed: true });
        }
        Ok(Segments { disk, dir, list: Mutex::new(list) })
    }

    pub(super) fn last(&self) -> Option<Segment> {
        self.list.lock().last().copied()
    }

    /// Bytes in all of them, headers included.
    pub(super) fn bytes(&self) -> u64 {
        self.list.lock().iter().map(|segment| segment.readable).sum()
    }

    pub(super) fn push(&self, header: Header) {
        self.list.lock().push(Segment { header, readable: HEADER_BYTES, last: None, is_closed: false });
    }

    pub(super) fn update(&self, number: u64, change: impl FnOnce(&mut Segment)) {
        let mut list = self.list.lock();
        if let Some(segment) = list.iter_mut().rev().find(|segment| segment.header.number == number) {
            change(segment);
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<Segment> {
        self.list.lock().iter().find(|segment| segment.header.number == number).copied()
    }

    /// The first one behind this one.
    pub(super) fn next(&self, number: u64) -> Option<Segment> {
        self.list.lock().iter().find(|segment| segment.header.number > number).copied()
    }

    /// Removes files that hold nothing behind this entry, the oldest first. The newest stays, for it knows which node
    /// this is and how often it was started.
    ///
    /// # Errors
    /// If a file can't be removed: that one and later ones stay.
    pub(super) fn remove_before(&self, id: WindowId) -> Result<(), JournalError> {
        loop {
            let oldest = {
                let list = self.list.lock();
                match list.first() {
                    Some(oldest) if list.len() > 1 && oldest.is_closed && oldest.last <= Some(id) => *oldest,
                    _ => return Ok(()),
                }
            };
            let path = segment::path(&self.dir, oldest.header.number);
            match self.disk.remove(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(JournalError::io("removing", &path)(error));
                }
                _ => self.list.lock().retain(|segment| segment.header.number != oldest.header.number),
            }
        }
    }
}

/// Whether a segment goes with the one before it.
fn check(dir: &Path, before: &Segment, header: &Header) -> Result<(), JournalError> {
    let path = |number| segment::path(dir, number);
    if header.node != before.header.node {
        let reason = "it is of another data directory than the files before it";
        return Err(JournalError::damaged(&path(header.number), 16, reason));
    }
    if header.boot < before.header.boot {
        return Err(JournalError::damaged(&path(header.number), 32, "it is older than the files before it"));
    }
    if header.number == before.header.number + 1 && header.previous_durable > before.readable {
        let reason = format!("its entries end there, and it was durable up to {}", header.previous_durable);
        return Err(JournalError::damaged(&path(before.header.number), before.readable, reason));
    }
    Ok(())
}
