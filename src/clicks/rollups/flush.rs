//! What was counted is merged into the stores of the months.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::batch::WindowId;
use super::super::stats::{Granularity, StatsError};
use super::calendar::{days_of, month_of};
use super::delta::{DayDelta, Generation, NO_HOST};
use super::live::{Layer, Merged};
use super::meta::Meta;
use super::months::Month;
use super::row::{Bounds, Frequent, OF_ALL, OF_GROUP, OF_LINK, Parts, Row};
use super::{Rollups, keys};
use crate::store::{StoreError, Write};

/// A batch of rows ends once it holds so many bytes.
const BATCH_BYTES: usize = 1024 * 1024;

/// Where one row of a generation is.
enum Source {
    All,
    Host(u32),
    Tag(u32),
    Link(u32),
}

/// The links that were clicked most on a day.
#[derive(Default)]
struct Most {
    all: Frequent,
    hosts: HashMap<u32, Frequent>,
    tags: HashMap<u32, Frequent>,
}

impl Rollups {
    /// Merges what was counted into the stores and makes it durable; up to where that is. If it fails, the next call goes
    /// on with it.
    ///
    /// While what was being merged before a crash is not gathered yet, nothing is merged.
    ///
    /// # Errors
    /// If a store can't be written.
    pub fn flush(&mut self) -> Result<WindowId, StatsError> {
        if self.pending.is_some_and(|pending| self.last < pending) {
            return Ok(self.position);
        }
        self.pending = None;
        if self.shared.live.read().flushing.is_some() {
            self.merge_all()?;
        }
        if self.last > self.position {
            {
                let mut live = self.shared.live.write();
                live.flushing = Some(std::mem::take(&mut live.current));
                self.flushing_to = self.last;
            }
            self.merge_all()?;
        }
        Ok(self.position)
    }

    fn merge_all(&mut self) -> Result<(), StatsError> {
        let Some(generation) = self.shared.live.read().flushing.as_ref().map(|layer| Arc::clone(&layer.generation))
        else {
            return Ok(());
        };
        self.write_names()?;
        let mut months: Vec<u16> = generation.days.keys().map(|day| month_of(*day)).collect();
        months.dedup();
        // Where the first is done and another has not begun, that one must know from where on it misses something.
        if months.len() > 1 {
            for number in &months {
                self.attempt(*number, |rollups, month| rollups.intend(month))?;
            }
        }
        for number in &months {
            self.attempt(*number, |rollups, month| rollups.merge_month(month, &generation))?;
        }
        let others: Vec<u16> = self.touched.keys().copied().filter(|number| !months.contains(number)).collect();
        for number in others {
            self.attempt(number, |_, month| month.sync())?;
        }
        self.position = self.flushing_to;
        self.shared.live.write().flushing = None;
        // Those of the months that are not written to any more.
        let touched = &self.touched;
        self.referrers.retain(|month, _| touched.contains_key(month));
        self.release();
        self.named.clear();
        Ok(())
    }

    /// Does something with a month. If it fails, its store is closed, and opened again with what is durable.
    pub(super) fn attempt<T>(
        &mut self,
        number: u16,
        work: impl FnOnce(&mut Self, &Arc<Month>) -> Result<T, StatsError>,
    ) -> Result<T, StatsError> {
        let month = self.month(number)?;
        let done = work(self, &month);
        if done.is_err() {
            month.fail();
            drop(month);
            // If it can't be now, whoever needs it next tries again.
            let _ = self.reopen(number);
        }
        done
    }

    /// Opens a month again whose store failed, with what is durable. Meanwhile nobody asks it anything.
    pub(super) fn reopen(&mut self, number: u16) -> Result<(), StatsError> {
        self.passes.restart(number);
        let shared = Arc::clone(&self.shared);
        let failed = self.touched.remove(&number);
        {
            let mut live = shared.live.write();
            // The one of the list of those that are open is the last then, unless somebody asks.
            let failed = failed.map(|month| Arc::downgrade(&month));
            let Some(month) = shared.months.reopen(number)? else {
                self.touched.extend(failed.and_then(|month| month.upgrade()).map(|month| (number, month)));
                return Err(StatsError::Store(StoreError::Backend(format!(
                    "{} is in use, and is opened again once it is not",
                    shared.months.path(number).display()
                ))));
            };
            show_merged(&mut live.flushing, number, &month.meta(), self.flushing_to);
            self.touched.insert(number, month);
        }
        self.write_names_again(number);
        Ok(())
    }

    /// What a month's store says of itself once a merge has begun.
    fn intention(&self, meta: Meta) -> Meta {
        if meta.applied >= self.flushing_to || meta.intent == self.flushing_to {
            return meta;
        }
        // A merge that began up to another entry and was not gathered again: what of it is missing can't be had.
        Meta { intent: self.flushing_to, base: self.position, cursor: Vec::new(), ..meta }
    }

    fn intend(&mut self, month: &Arc<Month>) -> Result<(), StatsError> {
        let meta = self.intention(month.meta());
        month.write(Vec::new(), Some(meta))?;
        month.sync()
    }

    fn merge_month(&mut self, month: &Arc<Month>, generation: &Generation) -> Result<(), StatsError> {
        self.write_names_of(month)?;
        let mut meta = self.intention(month.meta());
        if meta.applied < self.flushing_to {
            self.merge_rows(month, generation, &mut meta)?;
            meta.applied = self.flushing_to;
            meta.cursor.clear();
            month.wait_for_room()?;
            {
                let mut live = self.shared.live.write();
                month.write(Vec::new(), Some(meta))?;
                mark(&mut live.flushing, month.number, Merged::All);
            }
        }
        month.sync()
    }

    fn merge_rows(&mut self, month: &Arc<Month>, generation: &Generation, meta: &mut Meta) -> Result<(), StatsError> {
        let (first, end) = days_of(month.number);
        // Days that have no row yet need not be looked for.
        let had = meta.days;
        for day in generation.days.range(first..end).map(|(day, _)| *day) {
            meta.days |= 1 << (day - first);
        }
        meta.is_rolled = false;
        self.passes.unsettle(month.number);
        let most: BTreeMap<u16, Most> =
            generation.days.range(first..end).map(|(day, delta)| (*day, most(generation, delta))).collect();
        let mut writes = Vec::new();
        let (mut bytes, most_writes) = (0, month.most_writes());
        for (day, source) in sources(generation, first, end) {
            let delta = &generation.days[&day];
            let key = keys::row(&source.prefix(generation, delta), day);
            if key <= meta.cursor {
                continue;
            }
            let (mut row, bounds) = source.row(delta, &most[&day]);
            let old = if had >> (day - first) & 1 != 0 { month.row(&key, Parts::ALL)? } else { None };
            if let Some(mut old) = old {
                old.merge(&row, bounds);
                row = old;
            }
            if day < meta.days_before {
                row.slots.coarsen(Granularity::Day);
            } else if day < meta.quarters_before {
                row.slots.coarsen(Granularity::Quarter);
            }
            let value = row.encode();
            bytes += key.len() + value.len();
            writes.push(Write { key, value: Some(value) });
            if writes.len() >= most_writes || bytes >= BATCH_BYTES {
                self.write_rows(month, std::mem::take(&mut writes), meta)?;
                bytes = 0;
            }
        }
        if !writes.is_empty() {
            self.write_rows(month, writes, meta)?;
        }
        Ok(())
    }

    fn write_rows(&mut self, month: &Arc<Month>, writes: Vec<Write>, meta: &mut Meta) -> Result<(), StatsError> {
        if let Some(last) = writes.last() {
            meta.cursor.clone_from(&last.key);
        }
        month.wait_for_room()?;
        let mut live = self.shared.live.write();
        month.write(writes, Some(meta.clone()))?;
        mark(&mut live.flushing, month.number, Merged::UpTo(meta.cursor.clone()));
        Ok(())
    }
}

/// Says what of a layer is in a store that was opened again.
fn show_merged(layer: &mut Option<Layer>, number: u16, meta: &Meta, flushing_to: WindowId) {
    let Some(layer) = layer else { return };
    if meta.applied >= flushing_to {
        layer.merged.insert(number, Merged::All);
    } else if meta.intent == flushing_to {
        layer.merged.insert(number, Merged::UpTo(meta.cursor.clone()));
    } else {
        layer.merged.remove(&number);
    }
}

fn mark(layer: &mut Option<Layer>, month: u16, merged: Merged) {
    if let Some(layer) = layer {
        layer.merged.insert(month, merged);
    }
}

/// All rows of the days, in the order of their keys.
fn sources(generation: &Generation, first: u16, end: u16) -> Vec<(u16, Source)> {
    let days = || generation.days.range(first..end);
    let mut sources: Vec<(u16, Source)> = days().map(|(day, _)| (*day, Source::All)).collect();
    let numbers = |rows: &[Option<Box<Row>>]| -> Vec<u32> {
        (0u32..).zip(rows).filter(|(_, row)| row.is_some()).map(|(number, _)| number).collect()
    };
    let mut hosts: Vec<(u32, u16)> =
        days().flat_map(|(day, delta)| numbers(&delta.hosts).into_iter().map(|number| (number, *day))).collect();
    hosts.sort_by_cached_key(|(number, day)| (keys::group(keys::HOST, generation.hosts.get(*number)), *day));
    sources.extend(hosts.into_iter().map(|(number, day)| (day, Source::Host(number))));
    let mut links: Vec<(u64, u16, u32)> = days()
        .flat_map(|(day, delta)| (0u32..).zip(delta.links()).map(|(place, link)| (link.link, *day, place)))
        .collect();
    links.sort_unstable();
    sources.extend(links.into_iter().map(|(_, day, place)| (day, Source::Link(place))));
    let mut tags: Vec<(u32, u16)> =
        days().flat_map(|(day, delta)| numbers(&delta.tags).into_iter().map(|number| (number, *day))).collect();
    tags.sort_by_cached_key(|(number, day)| (keys::group(keys::TAG, generation.tags.get(*number).as_bytes()), *day));
    sources.extend(tags.into_iter().map(|(number, day)| (day, Source::Tag(number))));
    sources
}

impl Source {
    fn prefix(&self, generation: &Generation, delta: &DayDelta) -> Vec<u8> {
        match self {
            Source::All => vec![keys::ALL],
            Source::Host(number) => keys::group(keys::HOST, generation.hosts.get(*number)),
            Source::Tag(number) => keys::group(keys::TAG, generation.tags.get(*number).as_bytes()),
            Source::Link(place) => keys::link_prefix(delta.link_at(*place).link),
        }
    }

    fn row(&self, delta: &DayDelta, most: &Most) -> (Row, &'static Bounds) {
        let group = |rows: &[Option<Box<Row>>], number: u32, links: &HashMap<u32, Frequent>| {
            let row = rows.get(number as usize).and_then(Option::as_deref).cloned().unwrap_or_default();
            Row { links: links.get(&number).cloned().unwrap_or_default(), ..row }
        };
        match self {
            Source::All => (Row { links: most.all.clone(), ..delta.all.clone() }, &OF_ALL),
            Source::Host(number) => (group(&delta.hosts, *number, &most.hosts), &OF_GROUP),
            Source::Tag(number) => (group(&delta.tags, *number, &most.tags), &OF_GROUP),
            Source::Link(place) => (delta.link_at(*place).row(Parts::ALL), &OF_LINK),
        }
    }
}

/// The links that were clicked most, of exact counts.
fn most(generation: &Generation, delta: &DayDelta) -> Most {
    let mut most = Most::default();
    for link in delta.links() {
        let clicks = link.clicks();
        if clicks == 0 {
            continue;
        }
        most.all.add(link.link, clicks, OF_ALL.links);
        if link.host != NO_HOST {
            most.hosts.entry(link.host).or_default().add(link.link, clicks, OF_GROUP.links);
        }
        for tag in generation.tag_sets.get(link.tags).iter() {
            most.tags.entry(*tag).or_default().add(link.link, clicks, OF_GROUP.links);
        }
    }
    most
}
