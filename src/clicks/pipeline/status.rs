//! How the counting of clicks stands.

use parking_lot::Mutex;

use crate::clicks::backlog::Squeezed;
use crate::clicks::batch::Batch;

/// How the counting of clicks stands. Numbers are since the start, unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClicksStatus {
    /// Entries of the journal that were made durable.
    pub windows: u64,
    /// When the journal was last found with nothing that is not durable, in milliseconds since 1970; 0 if never.
    pub synced_at_ms: u64,
    /// How long the files of the journal are now, in bytes.
    pub journal_bytes: u64,
    /// Batches that wait in memory now to be made durable.
    pub waiting: u64,
    /// Entries that are durable and not in the statistics yet; of those from before the start, it is not known.
    pub lag_windows: u64,
    /// Counts of a link that workers handed over.
    pub counts: u64,
    /// Clicks of all classes that these add up to.
    pub clicks: u64,
    /// Details that workers handed over.
    pub details: u64,
    /// For how many clicks these stand: the sum of their weights, an estimate of how many there were to keep details of.
    pub detailed_clicks: u64,
    /// Visits that workers handed over.
    pub visits: u64,
    /// Batches that were added to another one because too many waited: their clicks count at the time of the first.
    pub merged: u64,
    /// Clicks that were lost because too many links waited.
    pub clicks_dropped: u64,
    /// Names that were lost: their links are counted without name, under all links only, until the next start.
    pub names_dropped: u64,
    /// Details that were lost because too many waited.
    pub details_dropped: u64,
    /// Visits that were lost because too many waited.
    pub visits_dropped: u64,
    /// Clicks that were lost because they came when their month was no longer kept.
    pub late_dropped: u64,
    /// How often the statistics were flushed.
    pub flushes: u64,
    /// What keeps clicks from being made durable, or from the statistics.
    pub trouble: Option<String>,
}

impl ClicksStatus {
    /// Clicks that were lost, because too many waited or because their month was no longer kept when they came.
    pub fn lost_clicks(&self) -> u64 {
        self.clicks_dropped + self.late_dropped
    }

    /// Of which part of the clicks whose details were to be kept they were; None if there were none.
    pub fn kept_share(&self) -> Option<f64> {
        (self.detailed_clicks > 0).then(|| self.details as f64 / self.detailed_clicks as f64)
    }
}

#[derive(Debug, Default)]
pub(super) struct SharedStatus(Mutex<Status>);

#[derive(Debug, Default)]
struct Status {
    told: ClicksStatus,
    /// Entries since the start that are in the statistics.
    applied: u64,
    journal_trouble: Option<String>,
    statistics_trouble: Option<String>,
    /// A thread has panicked, which is never over.
    panic: Option<String>,
}

impl SharedStatus {
    pub(super) fn get(&self) -> ClicksStatus {
        let status = self.0.lock();
        let trouble =
            status.panic.as_ref().or(status.journal_trouble.as_ref()).or(status.statistics_trouble.as_ref()).cloned();
        let lag_windows = status.told.windows.saturating_sub(status.applied);
        ClicksStatus { lag_windows, trouble, ..status.told.clone() }
    }

    pub(super) fn journal_trouble(&self) -> Option<String> {
        let status = self.0.lock();
        status.panic.as_ref().or(status.journal_trouble.as_ref()).cloned()
    }

    /// Counts what was handed over.
    pub(super) fn took(&self, batch: &Batch) {
        let told = &mut self.0.lock().told;
        told.counts += batch.counts.len() as u64;
        told.clicks += batch.counts.iter().flat_map(|count| count.counts).map(u64::from).sum::<u64>();
        told.details += batch.details.len() as u64;
        told.detailed_clicks += batch.details.iter().map(|detail| u64::from(detail.weight)).sum::<u64>();
        told.visits += batch.visits.len() as u64;
    }

    pub(super) fn squeezed(&self, squeezed: Squeezed) {
        let told = &mut self.0.lock().told;
        told.merged += squeezed.merged;
        told.clicks_dropped += squeezed.clicks;
        told.names_dropped += squeezed.names;
        told.details_dropped += squeezed.details;
        told.visits_dropped += squeezed.visits;
    }

    pub(super) fn journal(&self, change: impl FnOnce(&mut ClicksStatus)) {
        change(&mut self.0.lock().told);
    }

    pub(super) fn applied(&self, entries: u64) {
        self.0.lock().applied += entries;
    }

    pub(super) fn late(&self, clicks: u64) {
        self.0.lock().told.late_dropped += clicks;
    }

    /// A thread has panicked: the first one that did is told.
    pub(super) fn set_panic(&self, error: String) {
        self.0.lock().panic.get_or_insert(error);
    }

    pub(super) fn flushed(&self) {
        self.0.lock().told.flushes += 1;
    }

    /// Whether that is news: trouble where there was none, or the other way round.
    pub(super) fn set_journal_trouble(&self, trouble: Option<String>) -> bool {
        set(&mut self.0.lock().journal_trouble, trouble)
    }

    /// The same of the statistics.
    pub(super) fn set_statistics_trouble(&self, trouble: Option<String>) -> bool {
        set(&mut self.0.lock().statistics_trouble, trouble)
    }
}

fn set(known: &mut Option<String>, trouble: Option<String>) -> bool {
    let is_news = known.is_some() != trouble.is_some();
    *known = trouble;
    is_news
}
