//! Where some records begin, as those who passed them have learned.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::super::segment;

/// Places of records, by segment: one for about every [`SPACING_BYTES`] as far as a segment has been walked, so that
/// what they take is a small part of the log (16 bytes of 64 KiB). Only of records that stay where they are: those that
/// were acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Waypoints {
    /// By the first record of the segment; in each, sequences and offsets, both ascending.
    segments: Mutex<BTreeMap<u64, Vec<(u64, u64)>>>,
}

/// How far two of them stand apart, in bytes of the file: as much as is read at once.
const SPACING_BYTES: u64 = super::WINDOW_BYTES as u64;

impl Waypoints {
    /// The last place known that is not behind this record, in the segment that begins with the record `first`: the
    /// sequence of the record there, and its offset.
    pub(super) fn nearest(&self, first: u64, sequence: u64) -> (u64, u64) {
        let segments = self.segments.lock();
        let known = segments.get(&first).map_or(&[][..], Vec::as_slice);
        match known.partition_point(|&(known, _)| known <= sequence) {
            0 => (first, segment::HEADER_BYTES as u64),
            after => known[after - 1],
        }
    }

    /// Takes note of what a walk has passed, in ascending order.
    pub(super) fn learn(&self, first: u64, passed: &[(u64, u64)]) {
        let mut segments = self.segments.lock();
        let known = segments.entry(first).or_default();
        let mut last = known.last().map_or(segment::HEADER_BYTES as u64, |&(_, offset)| offset);
        for &(sequence, offset) in passed {
            if offset >= last + SPACING_BYTES {
                known.push((sequence, offset));
                last = offset;
            }
        }
    }

    /// Forgets segments that were cut: those before the one that begins with this record.
    pub(super) fn forget_before(&self, oldest: u64) {
        let mut segments = self.segments.lock();
        *segments = segments.split_off(&oldest);
    }
}
