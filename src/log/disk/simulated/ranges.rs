//! Sets of bytes of a file, as ranges.

use std::ops::Range;

/// Ranges that neither overlap nor touch, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// How many bytes are in them.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Adds a range. It may overlap what is there.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end < range.start);
        let last = self.0.partition_point(|other| other.start <= range.end);
        let touched = &self.0[first..last];
        let start = touched.first().map_or(range.start, |other| other.start.min(range.start));
        let end = touched.last().map_or(range.end, |other| other.end.max(range.end));
        self.0.splice(first..last, std::iter::once(start..end));
    }

    /// Adds all of other ranges.
    pub(super) fn join(&mut self, other: &Ranges) {
        other.0.iter().for_each(|range| self.insert(range.clone()));
    }

    /// Drops everything from this byte on.
    pub(super) fn cut(&mut self, at: u64) {
        self.0.retain(|range| range.start < at);
        if let Some(last) = self.0.last_mut() {
            last.end = last.end.min(at);
        }
    }

    /// What they have in common with a range.
    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.partition_point(|other| other.end <= range.start);
        let behind = range.end;
        let touched = self.0[first..].iter().take_while(move |other| other.start < behind);
        touched.map(move |other| other.start.max(range.start)..other.end.min(range.end))
    }

    /// How many bytes of a range are not in them.
    pub(super) fn missing(&self, range: Range<u64>) -> u64 {
        let there: u64 = self.within(range.clone()).map(|part| part.end - part.start).sum();
        range.end.saturating_sub(range.start) - there
    }

    /// Up to where a range can be added if at most so many bytes may come in.
    pub(super) fn reach(&self, range: Range<u64>, mut free: u64) -> u64 {
        let mut at = range.start;
        for part in self.within(range.clone()) {
            let gap = part.start - at;
            if gap > free {
                return at + free;
            }
            free -= gap;
            at = part.end;
        }
        range.end.min(at.saturating_add(free))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a set of single bytes.
    #[test]
    fn ranges_are_what_sets_of_bytes_are() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..300 {
            let (mut ranges, mut set) = (Ranges::default(), [false; 64]);
            for _ in 0..rng.u64(1..12) {
                let start = rng.u64(0..64);
                let end = rng.u64(start..=64);
                if rng.u8(0..5) == 0 {
                    ranges.cut(start);
                    set[start as usize..].fill(false);
                } else {
                    ranges.insert(start..end);
                    set[start as usize..end as usize].fill(true);
                }
                assert!(ranges.0.windows(2).all(|pair| pair[0].end < pair[1].start), "{ranges:?}");
            }
            assert_eq!(ranges.bytes(), set.iter().filter(|&&is_in| is_in).count() as u64);
            let start = rng.u64(0..64);
            let end = rng.u64(start..=64);
            let missing = set[start as usize..end as usize].iter().filter(|&&is_in| !is_in).count() as u64;
            assert_eq!(ranges.missing(start..end), missing);
            for free in 0..=64 {
                let reach = ranges.reach(start..end, free);
                assert!(ranges.missing(start..reach) <= free);
                assert!(reach == end || ranges.missing(start..reach + 1) > free);
            }
        }
    }
}
