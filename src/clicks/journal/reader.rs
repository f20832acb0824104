//! Reading the journal, in order, up to what was made durable a moment ago.

use std::sync::Arc;

use super::codec;
use super::frame::{self, FRAME_HEADER_BYTES, FrameError};
use super::segment::{self, HEADER_BYTES};
use super::segments::{Segment, Segments};
use super::{Journal, JournalError};
use crate::clicks::batch::{Entry, WindowId};
use crate::limits::CLICK_FRAME_BYTES;
use crate::log::disk::DiskFile;

/// Bytes that are read at a time, if no longer frame stands there.
const WINDOW_BYTES: usize = 1024 * 1024;

/// A place in the journal from which on entries are read.
#[derive(Debug)]
pub(in crate::clicks) struct JournalReader {
    segments: Arc<Segments>,
    /// The last entry that was given.
    last: WindowId,
    /// The last segment that was read to its end.
    passed: u64,
    place: Option<Place>,
    /// Bytes of the place's file, from its offset on.
    window: Vec<u8>,
    /// How many of them were read already.
    used: usize,
    read_bytes: u64,
}

#[derive(Debug)]
struct Place {
    file: Box<dyn DiskFile>,
    number: u64,
    checksum: u32,
    /// Where the next frame begins.
    offset: u64,
}

impl JournalReader {
    /// Reads what is behind this entry.
    pub(in crate::clicks) fn new(journal: &Journal, after: WindowId) -> Self {
        let segments = Arc::clone(journal.segments());
        JournalReader { segments, last: after, passed: 0, place: None, window: Vec::new(), used: 0, read_bytes: 0 }
    }

    /// The next entry. None if no more is durable yet: it may be asked again at any time.
    ///
    /// # Errors
    /// If the journal can't be read, or is damaged. It may be asked again, and stands where it stood.
    pub(in crate::clicks) fn next(&mut self) -> Result<Option<Entry>, JournalError> {
        loop {
            let Some(place) = &self.place else {
                let Some(segment) = self.segments.next(self.passed) else { return Ok(None) };
                self.enter(&segment)?;
                continue;
            };
            let number = place.number;
            // One that is gone was not needed any more.
            let segment = self.segments.get(number);
            match segment {
                Some(segment) if place.offset < segment.readable => {
                    let entry = self.read(segment.readable)?;
                    // The others were written twice, or were read before a restart.
                    if entry.id() > self.last {
                        self.last = entry.id();
                        return Ok(Some(entry));
                    }
                }
                Some(segment) if !segment.is_closed => return Ok(None),
                _ => self.leave(number),
            }
        }
    }

    /// Removes the files that hold nothing behind this entry.
    ///
    /// # Errors
    /// If one can't be removed. It may be tried again.
    pub(in crate::clicks) fn remove_before(&self, id: WindowId) -> Result<(), JournalError> {
        self.segments.remove_before(id)
    }

    /// How many bytes were read.
    pub(in crate::clicks) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    fn enter(&mut self, segment: &Segment) -> Result<(), JournalError> {
        let number = segment.header.number;
        if segment.is_closed && segment.last <= Some(self.last) {
            self.leave(number);
            return Ok(());
        }
        let (file, header) = segment::open(self.segments.disk.as_ref(), &self.segments.dir, number)?;
        if header != segment.header {
            let path = segment::path(&self.segments.dir, number);
            return Err(JournalError::damaged(&path, 0, "it is another file than it was"));
        }
        self.place = Some(Place { file, number, checksum: header.checksum(), offset: HEADER_BYTES });
        Ok(())
    }

    fn leave(&mut self, number: u64) {
        self.passed = number;
        self.place = None;
        (self.window, self.used) = (Vec::new(), 0);
    }

    /// Reads the frame at the place, of which the segment has more.
    fn read(&mut self, readable: u64) -> Result<Entry, JournalError> {
        let place = self.place.as_mut().expect("somebody looked");
        let path = || segment::path(&self.segments.dir, place.number);
        let left = usize::try_from(readable - place.offset).unwrap_or(usize::MAX);
        let mut wanted = FRAME_HEADER_BYTES;
        let frame = loop {
            if self.window.len() - self.used < wanted.min(left) {
                let bytes = left.min(wanted.max(WINDOW_BYTES));
                self.window.clear();
                self.used = 0;
                let mut window = vec![0; bytes];
                place.file.read_exact_at(&mut window, place.offset).map_err(JournalError::io("reading", &path()))?;
                self.window = window;
            }
            let end = self.window.len().min(self.used + left);
            match frame::decode(&self.window[self.used..end], place.checksum, place.offset) {
                Ok(frame) => break frame,
                Err(FrameError::Short(bytes)) if bytes <= left && bytes > wanted => wanted = bytes,
                Err(error) => return Err(JournalError::damaged(&path(), place.offset, segment::reason(error))),
            }
        };
        let entry = codec::decode(frame.entry);
        let entry = entry.map_err(|error| JournalError::damaged(&path(), place.offset, error.0))?;
        place.offset += frame.bytes() as u64;
        self.used += frame.bytes();
        self.read_bytes += frame.bytes() as u64;
        Ok(entry)
    }
}

const _: () = assert!(WINDOW_BYTES > FRAME_HEADER_BYTES && CLICK_FRAME_BYTES < u32::MAX as usize);
