//! Rollups: what came in windows becomes rows by link, host, tag and day, in one store a month.
//!
//! - `apply`: windows are counted in memory: `delta` is what came since the last flush, `names` the keys of links.
//! - `dictionary`: what stands in a store beside rows: names, members of hosts and tags, referrers.
//! - `flush`: that is merged into the stores, exactly once. `meta` is what a store says of how far it is.
//! - `maintain`: what gets old gets coarser, and months go.
//! - `row`: one row, and its bytes. `keys`: where it lies. `calendar`: days and months.
//! - `months`: the stores, of which a few are open. `live`: what is shared with those who ask.
//!
//! # Exactly once
//!
//! The entries of the journal come in order, and after a crash again from [`Rollups::position`] on. A flush merges the
//! rows in the order of their keys, some hundred in a batch that its store makes durable wholly or not at all, before
//! any later one. Each batch also writes up to which entry is being merged, and the key that it came to. So
//! after a crash a store says exactly which rows have what the flush had to add: the entries up to the same one are gathered
//! again, and merged into the rows behind that key only. What was written of names lies before the rows that need it.

mod apply;
pub(super) mod calendar;
mod delta;
mod dictionary;
mod flush;
pub(super) mod keys;
pub(super) mod live;
mod maintain;
mod meta;
pub(super) mod months;
mod names;
pub(super) mod overlay;
pub(super) mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use super::batch::{Entry, WindowId};
use super::stats::{Stats, StatsError};
use crate::store::Write;
use delta::Generation;
use live::{Layer, Live, Merged, Shared};
use months::{Month, Months, Opener};
use names::Names;

pub(super) use dictionary::{NO_REFERRER, OTHER_REFERRERS};

/// What is kept for how long, and with how much memory.
#[derive(Debug, Clone)]
pub struct RollupsConfig {
    /// The directory in which each month gets its own, such as `2026-11`.
    pub dir: PathBuf,
    /// What is counted and not yet flushed may take about this much memory, in bytes. While it is being flushed, as
    /// much again may come.
    pub memory_bytes: usize,
    /// The keys of links that are kept in memory may take this much, in bytes, and twice this at worst. One takes about
    /// 30 bytes and its length.
    pub names_bytes: usize,
    /// Each open month caches this much of its store, in bytes.
    pub cache_bytes: u64,
    /// So many months are open at a time, and more only while they are in use at once.
    pub open_months: usize,
    /// For so many days it is known in which minute the clicks were.
    pub minutes_days: u16,
    /// For so many days it is known in which quarter of an hour they were.
    pub quarters_days: u16,
    /// For so many days it is known on which day they were.
    pub days_days: u16,
    /// So many months are kept beside the one that it is; older ones are deleted.
    pub months: u16,
}

impl RollupsConfig {
    /// With everything but the directory as it is by default.
    pub fn new(dir: PathBuf) -> Self {
        RollupsConfig {
            dir,
            memory_bytes: 192 * 1024 * 1024,
            names_bytes: 80 * 1024 * 1024,
            cache_bytes: 16 * 1024 * 1024,
            open_months: 6,
            minutes_days: 2,
            quarters_days: 30,
            days_days: 400,
            months: 60,
        }
    }
}

/// Who knows the tags of a link.
pub trait LinkTags: Send + Sync {
    /// The tags that the link of a canonical key has now. It must not ask [`Stats`].
    fn tags(&self, key: &[u8]) -> Vec<String>;
}

/// Counts what comes from the journal. One thread owns it; [`Stats`] answers others meanwhile.
pub struct Rollups {
    shared: Arc<Shared>,
    config: RollupsConfig,
    tags: Arc<dyn LinkTags>,
    names: Names,
    /// By month, the numbers of referrers.
    referrers: HashMap<u16, HashMap<Box<str>, u32>>,
    /// How many referrers came new by the clicks of a day.
    new_referrers: BTreeMap<u16, u32>,
    /// The months that were written to since the last flush, or have something to be written.
    touched: BTreeMap<u16, Arc<Month>>,
    /// What must be written before the next rows are, by month: names and what stands beside them.
    unwritten: BTreeMap<u16, VecDeque<Write>>,
    /// The names that were written since the last flush, by month.
    named: Vec<(u16, u64)>,
    /// Where the deltas of the links of a window stand, while it is taken in: memory that is used again.
    places: Vec<u32>,
    /// The last entry that was taken in.
    last: WindowId,
    /// Everything up to it is durable in the stores.
    position: WindowId,
    /// The last entry of which a store said something at the start.
    highest: WindowId,
    /// Up to which entry everything must be gathered before anything is merged: a flush did not end.
    pending: Option<WindowId>,
    /// Up to which entry what is being flushed reaches.
    flushing_to: WindowId,
    passes: maintain::Passes,
    /// No store is begun for a month before this one.
    oldest: u16,
    /// Clicks that were counted nowhere, for their month is older.
    late_clicks: u64,
    /// What is to be said.
    notes: Vec<String>,
}

impl Rollups {
    /// Opens what is in the directory, or begins it.
    ///
    /// # Errors
    /// If a store can't be read. One that is damaged is set aside, and what to do is said by
    /// [`take_notes`](Self::take_notes).
    pub fn open(config: RollupsConfig, tags: Arc<dyn LinkTags>) -> Result<(Rollups, Stats), StatsError> {
        let opener = months::on_disk(config.cache_bytes);
        Self::open_with(config, tags, opener)
    }

    fn open_with(
        config: RollupsConfig,
        tags: Arc<dyn LinkTags>,
        opener: Opener,
    ) -> Result<(Rollups, Stats), StatsError> {
        let months = Months::new(&config.dir, opener, config.open_months)?;
        let mut live = Live::default();
        let mut newest = WindowId::default();
        let mut base: Option<WindowId> = None;
        let mut pending = None;
        let (mut highest, mut notes) = (WindowId::default(), Vec::new());
        for number in months.known() {
            let meta = match months.open(number) {
                Ok(month) => month.meta(),
                // Redirects, and the clicks of other months, don't wait until somebody has looked after it.
                Err(error @ StatsError::Damaged { .. }) => {
                    months.set_aside(number, &error);
                    notes.push(format!("{error} Until then nothing of that month is counted or told"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            newest = newest.max(meta.applied);
            highest = highest.max(meta.applied).max(meta.intent);
            if meta.is_pending() {
                base = Some(base.map_or(meta.base, |base| base.min(meta.base)));
                pending = pending.max(Some(meta.intent));
                live.current.merged.insert(number, Merged::UpTo(meta.cursor));
            }
        }
        let position = base.unwrap_or(newest);
        let shared = Arc::new(Shared { months, live: live.into(), events: Default::default() });
        let rollups = Rollups {
            shared: Arc::clone(&shared),
            names: Names::new(config.names_bytes),
            config,
            tags,
            referrers: HashMap::new(),
            new_referrers: BTreeMap::new(),
            touched: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            named: Vec::new(),
            places: Vec::new(),
            last: position,
            position,
            highest,
            pending,
            flushing_to: WindowId::default(),
            passes: maintain::Passes::default(),
            oldest: 0,
            late_clicks: 0,
            notes,
        };
        Ok((rollups, Stats::new(shared)))
    }

    /// Everything up to this entry is durable in the stores. Those behind it are to be applied, in order.
    pub fn position(&self) -> WindowId {
        self.position
    }

    /// The last entry that was known by then: ids of others are to be behind it, for what is not is taken for one that
    /// was counted.
    pub fn highest(&self) -> WindowId {
        self.highest.max(self.last)
    }

    /// What there is to say to whoever looks after the server, since it was asked last.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Clicks that were counted nowhere since it was asked last, for they came when their month was gone.
    pub fn take_late_clicks(&mut self) -> u64 {
        std::mem::take(&mut self.late_clicks)
    }

    /// Whether as much is in memory as may be.
    pub fn is_flush_due(&self) -> bool {
        self.pending.is_none_or(|pending| self.last >= pending) && self.memory_bytes() >= self.config.memory_bytes
    }

    /// About what is counted and not flushed takes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.shared.live.read().current.generation.bytes
    }

    /// A month, which stays open until the next flush. One whose store failed is opened again first.
    fn month(&mut self, number: u16) -> Result<Arc<Month>, StatsError> {
        let has_failed = self.touched.get(&number).is_some_and(|month| month.has_failed());
        if has_failed || self.shared.months.is_shut(number) {
            self.reopen(number)?;
        }
        if let Some(month) = self.touched.get(&number) {
            return Ok(Arc::clone(month));
        }
        let month = self.shared.months.open(number)?;
        self.touched.insert(number, Arc::clone(&month));
        Ok(month)
    }

    /// Deletes all rows of a link, and its name. What came before is flushed first, so that entries that come again
    /// after a crash all stand on the same side of it: that flush says in the stores how far they are, and deleting does
    /// not, for a crash may come when only some months have done it. Done again, it changes nothing.
    ///
    /// Months that are damaged are passed over, and told of when the others have done it.
    fn forget(&mut self, id: WindowId, link: u64) -> Result<(), StatsError> {
        self.flush()?;
        self.shared.events.write().forget(link);
        self.names.unwritten(link);
        let (mut failed, mut damaged) = (None, None);
        for number in self.shared.months.known() {
            match self.attempt(number, |rollups, month| rollups.forget_in(month, link)) {
                Ok(()) => {}
                Err(error @ StatsError::Damaged { .. }) if !self.shared.months.is_shut(number) => {
                    damaged.get_or_insert(error);
                }
                Err(error) => _ = failed.get_or_insert(error),
            }
        }
        self.release();
        if let Some(error) = failed {
            return Err(error);
        }
        self.position = id;
        // When it comes again, it was taken in.
        self.last = id;
        damaged.map_or(Ok(()), Err)
    }

    /// Months need not stay open any more, but those that failed: they are to be opened again in order.
    fn release(&mut self) {
        self.touched.retain(|_, month| month.has_failed());
    }

    fn forget_in(&self, month: &Month, link: u64) -> Result<(), StatsError> {
        let mut gone = vec![keys::name(link)];
        let prefix = keys::link_prefix(link);
        month.scan(&prefix, &prefix, |key, _| {
            gone.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some(name) = month.get(&gone[0])? {
            gone.push(keys::member(keys::HOST, dictionary::host_of(&name), link));
        }
        for tag in month.groups(keys::TAG)? {
            let key = keys::member(keys::TAG, &tag, link);
            if month.get(&key)?.is_some() {
                gone.push(key);
            }
        }
        let writes: Vec<Write> = gone.into_iter().map(|key| Write { key, value: None }).collect();
        for writes in writes.chunks(month.most_writes()) {
            month.wait_for_room()?;
            let _live = self.shared.live.write();
            month.write(writes.to_vec(), None)?;
        }
        month.sync()
    }

    /// Takes in an entry. One that is not behind what was taken in is ignored.
    ///
    /// # Errors
    /// If a store can't be written or read. The entry was not taken in then; it is to be applied again.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), StatsError> {
        if entry.id() <= self.last {
            return Ok(());
        }
        if self.pending.is_some_and(|pending| entry.id() > pending) || self.is_flush_due() {
            // What is gathered is all that there is of what was being merged.
            self.pending = None;
            self.flush()?;
        }
        match entry {
            Entry::Window(window) => self.take_in(window)?,
            Entry::Forget { id, link } => self.forget(*id, *link)?,
        }
        self.last = entry.id();
        Ok(())
    }
}

impl Layer {
    fn generation_mut(&mut self) -> &mut Generation {
        Arc::get_mut(&mut self.generation).expect("it is shared only once it is frozen")
    }
}
