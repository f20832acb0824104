//! Batches that wait, in bounded memory.

use std::collections::BTreeMap;
use std::mem::take;

use ahash::{AHashMap, AHashSet};

use super::batch::{Batch, VISIT_CLASSES};

/// How far apart, in seconds, the batches may be that become one, step by step until it is enough: a minute and a quarter
/// of an hour are what the rollups keep, a day is what they keep longest.
const MERGED_S: [u64; 4] = [60, 15 * 60, 24 * 60 * 60, u64::MAX];

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Batches, before they are added up.
    pub(super) batches: usize,
    /// Counts, of 24 bytes each, before they are added up. It is looked at again when there are twice as many as were
    /// left.
    pub(super) counts: usize,
    /// Counts that are left when all of it is added up. Beyond, clicks are lost.
    pub(super) counts_max: usize,
    /// Bytes of names. Links whose name was lost are counted without it until the next start.
    pub(super) name_bytes: usize,
    /// Details. Those that come later are lost.
    pub(super) details: usize,
    /// Visits. Those that come later are lost.
    pub(super) visits: usize,
}

/// What was lost because more waited than may, and how often something was added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Squeezed {
    /// Batches that were added to another.
    pub(super) merged: u64,
    pub(super) names: u64,
    pub(super) clicks: u64,
    pub(super) details: u64,
    pub(super) visits: u64,
}

impl Squeezed {
    pub(super) fn add(&mut self, other: Squeezed) {
        self.merged += other.merged;
        self.names += other.names;
        self.clicks += other.clicks;
        self.details += other.details;
        self.visits += other.visits;
    }
}

/// Something that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waiting {
    Batch(Batch),
    /// What was counted of a link before is to be deleted.
    Forget(u64),
}

/// What waits, in order.
#[derive(Debug)]
pub(super) struct Backlog {
    bounds: Bounds,
    waiting: Vec<Waiting>,
    size: Size,
    /// At so many counts it is looked whether they can be added up.
    counts_next: usize,
    squeezed: Squeezed,
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    counts: usize,
    name_bytes: usize,
    details: usize,
    visits: usize,
}

impl Backlog {
    pub(super) fn new(bounds: Bounds) -> Self {
        let (waiting, size) = (Vec::new(), Size::default());
        Backlog { bounds, waiting, size, counts_next: bounds.counts, squeezed: Squeezed::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many things wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a batch. If more waits than may, batches are added up.
    pub(super) fn put(&mut self, mut batch: Batch) {
        let (bounds, size, squeezed) = (&self.bounds, &mut self.size, &mut self.squeezed);
        let keep = |room: usize, is_there: usize, lost: &mut u64| {
            let kept = is_there.min(room);
            *lost += (is_there - kept) as u64;
            kept
        };
        let details = keep(bounds.details.saturating_sub(size.details), batch.details.len(), &mut squeezed.details);
        batch.details.truncate(details);
        let visits = keep(bounds.visits.saturating_sub(size.visits), batch.visits.len(), &mut squeezed.visits);
        batch.visits.truncate(visits);
        batch.names.retain(|name| {
            let bytes = size.name_bytes + name.key.len();
            let fits = bytes <= bounds.name_bytes;
            if fits {
                size.name_bytes = bytes
            } else {
                squeezed.names += 1
            }
            fits
        });
        size.details += details;
        size.visits += visits;
        size.counts += batch.counts.len();
        if batch.is_empty() {
            return;
        }
        self.waiting.push(Waiting::Batch(batch));
        if self.waiting.len() > self.bounds.batches || self.size.counts > self.counts_next {
            self.squeeze();
        }
    }

    /// Forgets what waits of a link, and has what came before forgotten. So batches may be moved over it.
    pub(super) fn forget(&mut self, link: u64) {
        for waiting in &mut self.waiting {
            if let Waiting::Batch(batch) = waiting {
                batch.names.retain(|name| name.link != link);
                batch.counts.retain(|count| count.link != link);
                batch.details.retain(|detail| detail.link != link);
                batch.visits.retain(|visit| visit.link != link);
            }
        }
        self.waiting.retain(|waiting| !matches!(waiting, Waiting::Batch(batch) if batch.is_empty()));
        self.waiting.push(Waiting::Forget(link));
        self.measure();
    }

    /// All that waits, in order.
    pub(super) fn take(&mut self) -> Vec<Waiting> {
        (self.size, self.counts_next) = (Size::default(), self.bounds.counts);
        take(&mut self.waiting)
    }

    /// Puts back in front what was taken and is not needed yet. Nothing may have been put meanwhile.
    pub(super) fn put_back(&mut self, waiting: Vec<Waiting>) {
        self.waiting = waiting;
        self.measure();
        self.counts_next = self.bounds.counts.max(2 * self.size.counts);
    }

    /// What was lost since it was asked last.
    pub(super) fn take_squeezed(&mut self) -> Squeezed {
        take(&mut self.squeezed)
    }

    fn measure(&mut self) {
        self.size = Size::default();
        for waiting in &self.waiting {
            let Waiting::Batch(batch) = waiting else { continue };
            self.size.counts += batch.counts.len();
            self.size.details += batch.details.len();
            self.size.visits += batch.visits.len();
            self.size.name_bytes += batch.names.iter().map(|name| name.key.len()).sum::<usize>();
        }
    }

    /// Adds up what is near in time, then what is not so near, until half of what may wait is left.
    fn squeeze(&mut self) {
        for width_s in MERGED_S {
            self.merge(width_s);
            if self.waiting.len() <= self.bounds.batches / 2 && self.size.counts <= self.bounds.counts / 2 {
                break;
            }
        }
        let counts_max = self.bounds.counts_max;
        let mut left = counts_max;
        for waiting in &mut self.waiting {
            let Waiting::Batch(batch) = waiting else { continue };
            let kept = batch.counts.len().min(left);
            left -= kept;
            let lost = batch.counts.drain(kept..).map(|count| count.counts.iter().map(|&n| u64::from(n)).sum::<u64>());
            self.squeezed.clicks += lost.sum::<u64>();
        }
        self.waiting.retain(|waiting| !matches!(waiting, Waiting::Batch(batch) if batch.is_empty()));
        self.measure();
        self.counts_next = self.bounds.counts.max(2 * self.size.counts).min(2 * counts_max);
    }

    /// Adds up batches that began in the same so many seconds. What is to be forgotten comes first: batches before it
    /// have nothing of it.
    fn merge(&mut self, width_s: u64) {
        let mut merged: BTreeMap<u64, Vec<Batch>> = BTreeMap::new();
        let mut forgotten = Vec::new();
        for waiting in take(&mut self.waiting) {
            match waiting {
                Waiting::Batch(batch) => merged.entry(batch.time_s / width_s).or_default().push(batch),
                Waiting::Forget(_) => forgotten.push(waiting),
            }
        }
        self.waiting = forgotten;
        for batches in merged.into_values() {
            self.squeezed.merged += batches.len() as u64 - 1;
            self.waiting.push(Waiting::Batch(sum(batches)));
        }
        self.measure();
    }
}

/// One batch with all that is in these, at the earliest of their times.
fn sum(mut batches: Vec<Batch>) -> Batch {
    if batches.len() == 1 {
        return batches.remove(0);
    }
    let mut sum = Batch { time_s: u64::MAX, ..Batch::default() };
    let mut places: AHashMap<u64, usize> = AHashMap::new();
    for batch in batches {
        sum.time_s = sum.time_s.min(batch.time_s);
        sum.names.extend(batch.names);
        for count in batch.counts {
            let place = *places.entry(count.link).or_insert(sum.counts.len());
            let both = sum.counts.get(place).and_then(|there| add(there.counts, count.counts));
            match both {
                Some(both) => sum.counts[place].counts = both,
                None => {
                    // It is the first of its link, or the sum has no place in 32 bits: then it goes on in another one.
                    places.insert(count.link, sum.counts.len());
                    sum.counts.push(count);
                }
            }
        }
        sum.details.extend(batch.details);
        sum.visits.extend(batch.visits);
    }
    let mut seen = AHashSet::new();
    sum.names.retain(|name| seen.insert(name.link));
    let mut seen = AHashSet::new();
    sum.visits.retain(|visit| seen.insert(*visit));
    sum
}

fn add(one: [u32; VISIT_CLASSES], other: [u32; VISIT_CLASSES]) -> Option<[u32; VISIT_CLASSES]> {
    let mut sum = one;
    for (sum, more) in sum.iter_mut().zip(other) {
        *sum = sum.checked_add(more)?;
    }
    Some(sum)
}
