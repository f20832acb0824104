//! A batch that is too long for one entry, in several.

use super::codec::{COUNT_BYTES, FIXED_BYTES, VISIT_BYTES, detail_bytes, name_bytes};
use crate::clicks::batch::Batch;

/// Splits a batch so that each part takes at most so many bytes as an entry. Names come before all else, as they were
/// told. A name or detail that would take more than a part alone, which no key and no host can, is left out.
pub(super) fn split(batch: Batch, bytes_max: usize) -> Vec<Batch> {
    let names: usize = batch.names.iter().map(name_bytes).sum();
    let details: usize = batch.details.iter().map(detail_bytes).sum();
    let bytes = FIXED_BYTES + names + batch.counts.len() * COUNT_BYTES + details + batch.visits.len() * VISIT_BYTES;
    if bytes <= bytes_max {
        return vec![batch];
    }
    let mut parts = Parts { parts: Vec::new(), time_s: batch.time_s, bytes: 0, bytes_max };
    for name in batch.names {
        let bytes = name_bytes(&name);
        parts.with_room(bytes, |part| part.names.push(name));
    }
    for count in batch.counts {
        parts.with_room(COUNT_BYTES, |part| part.counts.push(count));
    }
    for detail in batch.details {
        let bytes = detail_bytes(&detail);
        parts.with_room(bytes, |part| part.details.push(detail));
    }
    for visit in batch.visits {
        parts.with_room(VISIT_BYTES, |part| part.visits.push(visit));
    }
    parts.parts
}

struct Parts {
    parts: Vec<Batch>,
    time_s: u64,
    /// What the last one takes at most.
    bytes: usize,
    bytes_max: usize,
}

impl Parts {
    fn with_room(&mut self, bytes: usize, put: impl FnOnce(&mut Batch)) {
        if FIXED_BYTES + bytes > self.bytes_max {
            return;
        }
        if self.bytes + bytes > self.bytes_max || self.parts.is_empty() {
            self.parts.push(Batch { time_s: self.time_s, ..Batch::default() });
            self.bytes = FIXED_BYTES;
        }
        self.bytes += bytes;
        put(self.parts.last_mut().expect("there is one by now"));
    }
}
