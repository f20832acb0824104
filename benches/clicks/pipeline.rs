//! The counting of clicks as the server runs it: sources, journal, rollups. Only its clock is quicker.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use carom::clicks::{Batch, ClicksConfig, ClicksStatus, Keep, OwnedClicks, Source, Stats};
use carom::log::disk::RealDisk;

use crate::world::Tags;

/// As the server does it each half second and each minute, for time that passes some thousand times as fast.
const SYNC_INTERVAL: Duration = Duration::from_millis(20);
const MAINTAIN_INTERVAL: Duration = Duration::from_millis(50);

/// A worker hands over at most so much before what it handed over was taken; half of what may wait at all.
const WAITING_MAX: Amount = Amount { batches: 32, counts: 100_000, details: 32_000, visits: 100_000 };

/// So many entries of the journal may not be in the rollups yet before more is handed over.
const LAG_MAX: u64 = 256;

const POLL: Duration = Duration::from_micros(500);
const STUCK: Duration = Duration::from_secs(300);

/// The running pipeline, and what was handed over to it.
pub(crate) struct Pipeline {
    owned: OwnedClicks,
    sources: Vec<Source>,
    next: usize,
    waiting: Amount,
    /// Counts of links that were handed over.
    counts: u64,
}

/// How much of a batch is of which kind.
#[derive(Clone, Copy, Default)]
struct Amount {
    batches: usize,
    counts: usize,
    details: usize,
    visits: usize,
}

impl Pipeline {
    /// Opens it for so many workers, with at most so much memory for what is not in a store yet.
    pub(crate) fn open(dir: &Path, workers: usize, memory_bytes: usize) -> Result<Self> {
        let mut config = ClicksConfig::new(dir.to_owned());
        config.visits.keep = Keep::Untouched;
        config.rollups.memory_bytes = memory_bytes;
        config.pipeline.sync_interval = SYNC_INTERVAL;
        config.pipeline.maintain_interval = MAINTAIN_INTERVAL;
        let owned = OwnedClicks::open(&config, Arc::new(RealDisk), Arc::new(Tags))?;
        let sources = (0..workers).map(|_| owned.clicks().source()).collect();
        Ok(Pipeline { owned, sources, next: 0, waiting: Amount::default(), counts: 0 })
    }

    /// Hands over the next worker's batch, once there is room for it.
    pub(crate) fn put(&mut self, batch: Batch) -> Result<()> {
        let Amount { batches, counts, details, visits } = &mut self.waiting;
        *batches += 1;
        *counts += batch.counts.len();
        *details += batch.details.len();
        *visits += batch.visits.len();
        self.counts += batch.counts.len() as u64;
        self.sources[self.next].put(batch);
        self.next = (self.next + 1) % self.sources.len();
        // Of all workers together what one may: whether they share it evenly does not matter then.
        if self.waiting.is_above(&WAITING_MAX) {
            self.wait(LAG_MAX)?;
        }
        Ok(())
    }

    /// Waits until all that was handed over stands in the journal, and all but some entries of it in the rollups.
    pub(crate) fn wait(&mut self, lag: u64) -> Result<()> {
        let started = std::time::Instant::now();
        loop {
            let status = self.status();
            let ClicksStatus { merged, clicks_dropped, names_dropped, details_dropped, visits_dropped, .. } = status;
            let lost = merged + clicks_dropped + names_dropped + details_dropped + visits_dropped;
            ensure!(lost == 0, "more was handed over than could wait: {status:?}");
            ensure!(status.trouble.is_none(), "clicks can't be counted: {status:?}");
            if status.counts == self.counts && status.waiting == 0 && status.lag_windows <= lag {
                self.waiting = Amount::default();
                return Ok(());
            }
            ensure!(started.elapsed() < STUCK, "nothing was taken for {STUCK:?}: {status:?}");
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn stats(&self) -> &Stats {
        self.owned.clicks().stats()
    }

    pub(crate) fn status(&self) -> ClicksStatus {
        self.owned.clicks().status()
    }

    /// Brings all into the stores and ends the threads.
    pub(crate) fn close(self) -> Result<()> {
        Ok(self.owned.close()?)
    }
}

impl Amount {
    fn is_above(&self, most: &Amount) -> bool {
        self.batches >= most.batches
            || self.counts >= most.counts
            || self.details >= most.details
            || self.visits >= most.visits
    }
}
