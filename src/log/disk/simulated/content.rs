//! What is in a file, and what a crash leaves of it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Range;

use fastrand::Rng;

use super::ranges::Ranges;

/// What reaches the disk wholly or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;

/// The bytes of a sector; none stands for zeros.
type Bytes = Option<Box<[u8; SECTOR_BYTES]>>;

/// The content of a file: its sectors, and its shape, which is its length and the room it has.
///
/// Both have versions: what they were at the last sync, and after each change since then. A crash leaves any one
/// version of each sector, and any one of the shape, whatever the others are. A sector without versions is zeros.
///
/// The one thing that ties them is a cut. What is written behind it goes to other blocks of the disk, since the old
/// ones are given back with the cut. So if the cut is lost, what lay behind it before is there again and nothing of
/// what was written later; and if it is kept, the other way round.
#[derive(Debug)]
pub(super) struct Content {
    sectors: BTreeMap<u64, Sector>,
    /// The sectors that the next sync writes. Others may have versions too, if a sync failed.
    dirty: BTreeSet<u64>,
    /// Oldest first; the last is what is seen. Never empty.
    shapes: Vec<Shape>,
    /// Whether the next sync writes the shape.
    shape_dirty: bool,
    /// The lengths that the file was cut to, in the versions of the shape.
    cuts: Vec<u64>,
}

/// The versions of a sector, oldest first; the last is what is seen. Never empty.
#[derive(Debug)]
struct Sector(Vec<Version>);

#[derive(Debug)]
struct Version {
    bytes: Bytes,
    /// How many cuts came before.
    cuts: usize,
}

#[derive(Debug, Clone, Default)]
struct Shape {
    bytes: u64,
    room: Ranges,
    /// How many cuts it comes after.
    cuts: usize,
    /// It came from the one before by a write, which the file system may do in pieces.
    written: bool,
}

impl Default for Content {
    fn default() -> Self {
        Content {
            sectors: BTreeMap::new(),
            dirty: BTreeSet::new(),
            shapes: vec![Shape::default()],
            shape_dirty: false,
            cuts: Vec::new(),
        }
    }
}

impl Content {
    fn shape(&self) -> &Shape {
        self.shapes.last().expect("a file has a shape")
    }

    /// The length, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.shape().bytes
    }

    /// The bytes that have room on the disk.
    pub(super) fn room(&self) -> &Ranges {
        &self.shape().room
    }

    /// Fills the buffer up to the end of the file; how much of it.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let length = buffer.len().min(usize::try_from(self.bytes().saturating_sub(offset)).unwrap_or(usize::MAX));
        for (index, inside, part) in parts(offset, length) {
            match self.sectors.get(&index).and_then(|sector| sector.seen().as_ref()) {
                Some(bytes) => buffer[part].copy_from_slice(&bytes[inside]),
                None => buffer[part].fill(0),
            }
        }
        length
    }

    /// Writes these bytes, which extends the file if they reach beyond its end.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let cuts = self.cuts.len();
        for (index, inside, part) in parts(offset, bytes.len()) {
            let sector = self.sectors.entry(index).or_insert_with(|| Sector(vec![Version { bytes: None, cuts }]));
            let mut written = sector.seen().clone().unwrap_or_else(|| Box::new([0; SECTOR_BYTES]));
            written[inside].copy_from_slice(&bytes[part]);
            sector.0.push(Version { bytes: Some(written), cuts });
            self.dirty.insert(index);
        }
        let end = offset + bytes.len() as u64;
        if end > self.bytes() || self.room().missing(offset..end) > 0 {
            let mut shape = Shape { bytes: end.max(self.bytes()), written: true, ..self.shape().clone() };
            shape.room.insert(offset..end);
            self.reshape(shape);
        }
    }

    /// Cuts the file, or extends it with zeros that take no room.
    pub(super) fn set_bytes(&mut self, bytes: u64) {
        let mut shape = Shape { bytes, written: false, ..self.shape().clone() };
        if bytes < self.bytes() {
            self.cuts.push(bytes);
            let cuts = self.cuts.len();
            for (index, sector) in self.sectors.range_mut(bytes / SECTOR_BYTES as u64..) {
                let left = cut(sector.seen().clone(), start(*index), bytes);
                sector.0.push(Version { bytes: left, cuts });
                self.dirty.insert(*index);
            }
            shape.room.cut(bytes);
            shape.cuts = cuts;
        }
        if bytes != self.bytes() {
            self.reshape(shape);
        }
    }

    /// Makes room up to this length, and extends the file to it.
    pub(super) fn allocate(&mut self, bytes: u64) {
        if bytes > self.bytes() || self.room().missing(0..bytes) > 0 {
            let mut shape = Shape { bytes: bytes.max(self.bytes()), written: false, ..self.shape().clone() };
            shape.room.insert(0..bytes);
            self.reshape(shape);
        }
    }

    fn reshape(&mut self, shape: Shape) {
        self.shapes.push(shape);
        self.shape_dirty = true;
    }

    pub(super) fn sync(&mut self) {
        if mem::take(&mut self.shape_dirty) {
            self.settle_cuts();
            self.shapes.drain(..self.shapes.len() - 1);
            self.shapes[0].cuts = 0;
        }
        for index in mem::take(&mut self.dirty) {
            let Some(sector) = self.sectors.get_mut(&index) else { continue };
            let seen = sector.0.pop().expect("a sector has a version");
            // Blocks on the other side of a cut are other blocks; if the sync that was to write the cut failed, a
            // crash may bring them back.
            sector.0.retain(|version| is_cut_off(&self.cuts, index, version.cuts, seen.cuts));
            sector.0.push(seen);
            if sector.0.len() == 1 && sector.seen().is_none() {
                self.sectors.remove(&index);
            }
        }
    }

    /// Applies the cuts, which are durable now, to the sectors.
    fn settle_cuts(&mut self) {
        let cuts = mem::take(&mut self.cuts);
        if cuts.is_empty() {
            return;
        }
        for (index, sector) in &mut self.sectors {
            sector.0 = mem::take(&mut sector.0)
                .into_iter()
                .filter_map(|version| version.left(&cuts, *index, cuts.len()))
                .map(|bytes| Version { bytes, cuts: 0 })
                .collect();
        }
        self.sectors.retain(|_, sector| !sector.0.is_empty());
    }

    /// What Linux does when a sync fails: the pages count as clean, though nobody knows what reached the disk.
    pub(super) fn fail_sync(&mut self) {
        self.dirty.clear();
        self.shape_dirty = false;
    }

    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let chosen = Kept::draw(rng).choose(self.shapes.len(), rng);
        let mut shape = self.shapes[chosen].clone();
        if let Some(next) = self.shapes.get(chosen + 1)
            && next.written
            && rng.bool()
        {
            // The write that followed was done up to the border of a sector.
            let borders = start_after(shape.bytes)..next.bytes.div_ceil(SECTOR_BYTES as u64);
            if !borders.is_empty() {
                shape.bytes = start(rng.u64(borders));
                shape.room = next.room.clone();
            }
        }
        let kept = Kept::draw(rng);
        let mut room = Ranges::default();
        self.shapes.iter().for_each(|shape| room.join(&shape.room));
        let mut left = BTreeMap::new();
        for (index, sector) in mem::take(&mut self.sectors) {
            let versions = sector.0.into_iter().filter_map(|version| version.left(&self.cuts, index, shape.cuts));
            let mut versions: Vec<Bytes> = versions.collect();
            if versions.is_empty() {
                continue;
            }
            let version = versions.swap_remove(kept.choose(versions.len(), rng));
            let Some(bytes) = cut(version, start(index), shape.bytes) else { continue };
            if self.shapes.len() > 1 {
                // What is there has room, also if the shape that came with it is lost, or a cut after it.
                let parts = room.within(start(index)..start(index + 1));
                parts.for_each(|part| shape.room.insert(part));
            }
            left.insert(index, Sector(vec![Version { bytes: Some(bytes), cuts: 0 }]));
        }
        shape.room.cut(shape.bytes);
        shape.cuts = 0;
        *self = Content { sectors: left, shapes: vec![shape], ..Content::default() };
    }

    /// Flips a bit in every version of the sector.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) {
        let (index, inside) = (offset / SECTOR_BYTES as u64, (offset % SECTOR_BYTES as u64) as usize);
        let cuts = self.cuts.len();
        let sector = self.sectors.entry(index).or_insert_with(|| Sector(vec![Version { bytes: None, cuts }]));
        for version in &mut sector.0 {
            version.bytes.get_or_insert_with(|| Box::new([0; SECTOR_BYTES]))[inside] ^= 1 << bit;
        }
    }
}

impl Sector {
    fn seen(&self) -> &Bytes {
        &self.0.last().expect("a sector has a version").bytes
    }
}

impl Version {
    /// What it is if that many cuts are kept; none if it lies on the other side of one.
    fn left(self, cuts: &[u64], index: u64, kept: usize) -> Option<Bytes> {
        if is_cut_off(cuts, index, self.cuts, kept) {
            return None;
        }
        let later = cuts.get(self.cuts..kept).unwrap_or_default();
        Some(later.iter().fold(self.bytes, |bytes, at| cut(bytes, start(index), *at)))
    }
}

/// Whether one of the cuts between the two numbers of cuts is before this sector.
fn is_cut_off(cuts: &[u64], index: u64, from: usize, to: usize) -> bool {
    cuts[from.min(to)..from.max(to)].iter().any(|at| *at <= start(index))
}

/// How much of what was not synced a crash keeps, in one file. All and nothing are as likely as each part between,
/// which they would not be if every sector were decided alike.
#[derive(Debug, Clone, Copy)]
struct Kept {
    quarters: u8,
}

impl Kept {
    fn draw(rng: &mut Rng) -> Self {
        Kept { quarters: rng.u8(0..=4) }
    }

    /// Which of so many versions is kept. The first is what was synced.
    fn choose(self, versions: usize, rng: &mut Rng) -> usize {
        match self.quarters {
            _ if versions < 2 => 0,
            0 => 0,
            4 => versions - 1,
            quarters if rng.u8(0..4) < quarters => versions - 1,
            _ => rng.usize(0..versions - 1),
        }
    }
}

/// Puts zeros from a byte of the file on.
fn cut(bytes: Bytes, start: u64, at: u64) -> Bytes {
    match at.checked_sub(start) {
        None | Some(0) => None,
        Some(inside) if inside >= SECTOR_BYTES as u64 => bytes,
        Some(inside) => bytes.map(|mut bytes| {
            bytes[inside as usize..].fill(0);
            bytes
        }),
    }
}

/// Where a sector begins.
fn start(index: u64) -> u64 {
    index * SECTOR_BYTES as u64
}

/// The first sector that begins behind a byte.
fn start_after(offset: u64) -> u64 {
    offset / SECTOR_BYTES as u64 + 1
}

/// The sectors that a piece of the file lies in: which, the bytes in it, and the bytes of the piece.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let inside = (at % SECTOR_BYTES as u64) as usize;
        let step = (length - done).min(SECTOR_BYTES - inside);
        let part = done..done + step;
        done += step;
        (step > 0).then_some((at / SECTOR_BYTES as u64, inside..inside + step, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; content.bytes() as usize];
        assert_eq!(content.read(&mut bytes, 0), bytes.len());
        bytes
    }

    /// Whatever is done, and whatever syncs fail, each byte is one that stood there since the last sync that was
    /// good, or a zero; and what a crash leaves stays.
    #[test]
    fn a_crash_leaves_nothing_that_never_was() {
        const MOST_BYTES: usize = 5 * SECTOR_BYTES;
        for seed in 0..1_000 {
            let mut rng = Rng::with_seed(seed);
            let mut content = Content::default();
            let mut lengths = BTreeSet::from([0]);
            let mut history = vec![BTreeSet::from([0]); MOST_BYTES];
            for _ in 0..rng.usize(1..25) {
                let offset = rng.usize(0..MOST_BYTES);
                let before = all(&content).len();
                let mut is_write = false;
                match rng.u8(0..8) {
                    0 => content.set_bytes(offset as u64),
                    1 => content.allocate(offset as u64),
                    2 => {
                        content.fail_sync();
                        content.write(&[rng.u8(1..)], 0);
                    }
                    3 => {
                        // What a failed sync left in doubt stays so, and may still be left.
                        let in_doubt = content
                            .sectors
                            .iter()
                            .any(|(index, sector)| sector.0.len() > 1 && !content.dirty.contains(index))
                            || (content.shapes.len() > 1 && !content.shape_dirty);
                        content.sync();
                        if !in_doubt {
                            lengths.clear();
                            history.iter_mut().for_each(BTreeSet::clear);
                        }
                    }
                    _ => {
                        let bytes = vec![rng.u8(1..); rng.usize(0..=MOST_BYTES - offset)];
                        content.write(&bytes, offset as u64);
                        is_write = true;
                    }
                }
                let seen = all(&content);
                if is_write {
                    lengths.extend((before..seen.len()).filter(|length| length % SECTOR_BYTES == 0));
                }
                lengths.insert(seen.len());
                for (at, values) in history.iter_mut().enumerate() {
                    values.insert(seen.get(at).copied().unwrap_or(0));
                }
                assert!(content.room().bytes() <= content.bytes());
            }
            content.crash(&mut rng);
            let left = all(&content);
            assert!(lengths.contains(&left.len()), "seed {seed}: {} of {lengths:?}", left.len());
            for (at, byte) in left.iter().enumerate() {
                assert!(*byte == 0 || history[at].contains(byte), "seed {seed}: {byte} at {at}");
                assert!(*byte == 0 || content.room().missing(at as u64..at as u64 + 1) == 0, "seed {seed}: no room");
            }
            content.sync();
            content.crash(&mut rng);
            assert!(all(&content) == left, "seed {seed}");
        }
    }
}
