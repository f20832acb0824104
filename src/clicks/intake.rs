//! Where workers hand over what they counted.

use std::sync::Arc;

use parking_lot::Mutex;

use super::backlog::{Backlog, Bounds, Squeezed, Waiting};
use super::batch::Batch;

/// What may wait of one worker: half a minute of batches. It is much only if the thread that takes them is stuck in a
/// write for so long. All that it holds goes on to where four times as much may wait, so that nothing is lost on the way.
const BOUNDS: Bounds = Bounds {
    batches: 64,
    counts: 256 * 1024,
    counts_max: 1024 * 1024,
    name_bytes: 16 * 1024 * 1024,
    details: 64 * 1024,
    visits: 256 * 1024,
};

/// Takes the batches of one worker.
#[derive(Debug)]
pub struct Source(Arc<Mutex<Backlog>>);

impl Source {
    /// Hands over a batch. It waits for no I/O: at most for another thread to take a list.
    ///
    /// If too many wait (64, or 262,144 counts), they are added up, which loses no click, and takes some milliseconds of
    /// this thread. Past 1,048,576 links, clicks are lost, past 65,536 details, details, past 262,144 visits, visits:
    /// `ClicksStatus` tells how many.
    pub fn put(&self, batch: Batch) {
        if !batch.is_empty() {
            self.0.lock().put(batch);
        }
    }
}

/// All sources.
#[derive(Debug, Default)]
pub(super) struct Intake(Mutex<Vec<Arc<Mutex<Backlog>>>>);

impl Intake {
    pub(super) fn source(&self) -> Source {
        let queue = Arc::new(Mutex::new(Backlog::new(BOUNDS)));
        self.0.lock().push(Arc::clone(&queue));
        Source(queue)
    }

    /// Gives all that was handed over to `take`. With it, what was lost before.
    pub(super) fn collect(&self, mut take: impl FnMut(Batch)) -> Squeezed {
        let mut squeezed = Squeezed::default();
        // Of a worker that has ended, this is the last time.
        let mut ended = Vec::new();
        let mut queues = self.0.lock();
        for queue in queues.iter() {
            if Arc::strong_count(queue) == 1 {
                ended.push(Arc::as_ptr(queue));
            }
            let waiting = {
                let mut queue = queue.lock();
                squeezed.add(queue.take_squeezed());
                queue.take()
            };
            for waiting in waiting {
                if let Waiting::Batch(batch) = waiting {
                    take(batch);
                }
            }
        }
        queues.retain(|queue| !ended.contains(&Arc::as_ptr(queue)));
        squeezed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clicks::batch::LinkCount;

    fn batch(time_s: u64, links: std::ops::Range<u64>) -> Batch {
        let counts = links.map(|link| LinkCount { link, counts: [1, 0, 0, 0] }).collect();
        Batch { time_s, counts, ..Batch::default() }
    }

    fn collect(intake: &Intake) -> (Vec<Batch>, Squeezed) {
        let mut batches = Vec::new();
        let squeezed = intake.collect(|batch| batches.push(batch));
        (batches, squeezed)
    }

    #[test]
    fn what_is_put_is_collected_once_from_each_source_also_of_those_that_have_ended() {
        let intake = Intake::default();
        let (one, two) = (intake.source(), intake.source());
        one.put(batch(1, 0..2));
        one.put(Batch::default());
        two.put(batch(1, 5..6));
        drop(two);
        assert_eq!(collect(&intake).0, [batch(1, 0..2), batch(1, 5..6)]);
        assert_eq!(collect(&intake).0, []);
        assert_eq!(intake.0.lock().len(), 1);
        one.put(batch(2, 0..1));
        assert_eq!(collect(&intake), (vec![batch(2, 0..1)], Squeezed::default()));
    }

    #[test]
    fn when_nobody_collects_batches_are_added_up_and_no_click_is_lost() {
        let intake = Intake::default();
        let source = intake.source();
        for put in 0..10_000 {
            source.put(batch(1_000_000 + put / 2, 0..10));
        }
        let (batches, squeezed) = collect(&intake);
        assert!(batches.len() <= 64 && squeezed.merged > 9_000, "{}", batches.len());
        let clicks: u32 = batches.iter().flat_map(|batch| &batch.counts).map(|count| count.counts[0]).sum();
        assert_eq!((clicks, squeezed.clicks), (100_000, 0));
    }
}
