//! Windows are counted in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::super::batch::{Batch, Detail, VisitClass, Visitor, Window};
use super::super::stats::StatsError;
use super::calendar::{day_of, day_start_s, month_of};
use super::delta::{self, DayDelta, Generation, NO_HOST};
use super::dictionary::host_of;
use super::live::{EVENTS, Shared};
use super::months::Month;
use super::row::{DIMENSIONS, OF_ALL, country_number, counts_u64, language_number};
use super::{Rollups, keys};

/// Counts that are taken in under one lock, so that nobody who asks waits long.
const STEP: usize = 4_096;

/// Beyond so many writes that wait nothing is taken in until they are made.
const UNWRITTEN: usize = 100_000;

/// The tags of links that are new, of those that have any.
type LinksTags = HashMap<u64, Vec<String>>;

impl Rollups {
    /// Counts a window.
    pub(super) fn take_in(&mut self, window: &Window) -> Result<(), StatsError> {
        let batch = &window.batch;
        let day = day_of(batch.time_s);
        let number = month_of(day);
        if number < self.oldest && !self.shared.months.known().contains(&number) {
            self.late_clicks += batch.counts.iter().map(|count| counts_u64(&count.counts).sum()).sum::<u64>();
            return Ok(());
        }
        if window.id <= self.month(number)?.meta().applied {
            return Ok(());
        }
        if self.unwritten.values().map(VecDeque::len).sum::<usize>() >= UNWRITTEN {
            self.write_names()?;
        }
        let tags = self.attempt(number, |rollups, month| {
            rollups.load_referrers(month)?;
            for name in &batch.names {
                rollups.name(number, name.link, &name.key);
            }
            rollups.prepare(month, batch)
        })?;
        let minute = (batch.time_s.saturating_sub(day_start_s(day)) / 60).min(1_439) as u16;
        let shared = Arc::clone(&self.shared);
        for counts in batch.counts.chunks(STEP) {
            self.locked(&shared, day, &tags, |adding| {
                for count in counts {
                    adding.count(minute, count);
                }
            });
        }
        for details in batch.details.chunks(STEP) {
            self.details(&shared, number, day, &tags, details);
        }
        for visits in batch.visits.chunks(STEP) {
            self.locked(&shared, day, &tags, |adding| {
                visits.iter().for_each(|visit| adding.visit(visit.link, visit.visitor));
            });
        }
        self.push_events(&shared, &batch.details);
        // If they can't be written now, they are before the next rows.
        let _ = self.write_names();
        Ok(())
    }

    /// Looks for the names and tags of links that are new in this generation and month. Nothing is counted yet, so that
    /// it can fail; and nobody who asks waits for it.
    fn prepare(&mut self, month: &Month, batch: &Batch) -> Result<LinksTags, StatsError> {
        let day = day_of(batch.time_s);
        let links = batch.counts.iter().map(|count| count.link);
        let links = links.chain(batch.details.iter().map(|detail| detail.link));
        let links = links.chain(batch.visits.iter().map(|visit| visit.link));
        let mut new: Vec<u64> = {
            let live = self.shared.live.read();
            let delta = live.current.generation.days.get(&day);
            links.filter(|link| delta.is_none_or(|delta| delta.place(*link).is_none())).collect()
        };
        new.sort_unstable();
        new.dedup();
        let mut found = LinksTags::new();
        for link in new {
            self.find_name(month, link)?;
            let Some((key, _)) = self.names.get(link).filter(|(key, _)| !key.is_empty()) else { continue };
            let tags = self.tags.tags(key);
            if tags.is_empty() {
                continue;
            }
            tags.iter().for_each(|tag| self.write_member(month.number, keys::TAG, tag.as_bytes(), link));
            found.insert(link, tags);
        }
        Ok(found)
    }

    fn details(&mut self, shared: &Shared, number: u16, day: u16, tags: &LinksTags, details: &[Detail]) {
        let people = details.iter().filter(|detail| detail.class == VisitClass::Human);
        let values: Vec<_> = people
            .map(|detail| {
                let referrer = self.referrer(number, day, &detail.referrer);
                let values = [
                    u64::from(referrer),
                    country_number(detail.country),
                    detail.device as u64,
                    language_number(detail.language),
                ];
                (detail.link, values, detail.weight)
            })
            .collect();
        self.locked(shared, day, tags, |adding| {
            values.iter().for_each(|(link, values, weight)| adding.detail(*link, *values, *weight));
        });
    }

    fn push_events(&mut self, shared: &Shared, details: &[Detail]) {
        let mut events = shared.events.write();
        // Of more there would be nothing left.
        for detail in &details[details.len().saturating_sub(EVENTS)..] {
            if let Some((key, _)) = self.names.get(detail.link).filter(|(key, _)| !key.is_empty()) {
                events.push(key, detail);
            }
        }
    }

    fn locked(&mut self, shared: &Shared, day: u16, tags: &LinksTags, add: impl FnOnce(&mut Adding<'_>)) {
        let mut live = shared.live.write();
        let generation = live.current.generation_mut();
        // By itself, so that both can be changed.
        let mut delta = generation.days.remove(&day).unwrap_or_default();
        let mut adding = Adding { rollups: self, generation, delta: &mut delta, links_tags: tags };
        add(&mut adding);
        generation.days.insert(day, delta);
    }
}

/// What counts, while the lock is held.
struct Adding<'a> {
    rollups: &'a mut Rollups,
    generation: &'a mut Generation,
    delta: &'a mut DayDelta,
    links_tags: &'a LinksTags,
}

impl Adding<'_> {
    /// Where the delta of a link stands; it is begun if there is none.
    fn place(&mut self, link: u64) -> u32 {
        if let Some(place) = self.delta.place(link) {
            return place;
        }
        let key = self.rollups.names.get(link).map(|(key, _)| key.to_vec()).filter(|key| !key.is_empty());
        let host = key.as_ref().map_or(NO_HOST, |key| {
            let (host, is_new) = self.generation.hosts.number(host_of(key));
            self.generation.bytes += if is_new { 2 * key.len() + 64 } else { 0 };
            host
        });
        let tags = self.links_tags.get(&link).map_or(&[][..], Vec::as_slice);
        let generation = &mut *self.generation;
        let tags: Vec<u32> = tags.iter().map(|tag| generation.tags.number(tag.as_str()).0).collect();
        let (tags, is_new) = self.generation.tag_sets.number(tags.as_slice());
        self.generation.bytes += delta::link_bytes() + if is_new { 128 } else { 0 };
        self.delta.begin(link, host, tags)
    }

    fn count(&mut self, minute: u16, count: &super::super::batch::LinkCount) {
        let place = self.place(count.link);
        let bytes = &mut self.generation.bytes;
        let link = self.delta.at_mut(place);
        link.count(minute, count, bytes);
        let (host, tags) = (link.host, link.tags);
        let counts = counts_u64(&count.counts);
        delta::count_group(&mut self.delta.all, minute, &counts, bytes);
        if host != NO_HOST {
            delta::count_group(DayDelta::group(&mut self.delta.hosts, host, bytes), minute, &counts, bytes);
        }
        for tag in self.generation.tag_sets.get(tags) {
            delta::count_group(DayDelta::group(&mut self.delta.tags, *tag, bytes), minute, &counts, bytes);
        }
    }

    fn detail(&mut self, link: u64, values: [u64; DIMENSIONS], weight: u32) {
        let place = self.place(link);
        let bytes = &mut self.generation.bytes;
        let link = self.delta.at_mut(place);
        link.detail(values, weight, bytes);
        let (host, tags) = (link.host, link.tags);
        delta::detail_group(&mut self.delta.all, values, weight, true, bytes);
        if host != NO_HOST {
            delta::detail_group(DayDelta::group(&mut self.delta.hosts, host, bytes), values, weight, false, bytes);
        }
        for tag in self.generation.tag_sets.get(tags) {
            delta::detail_group(DayDelta::group(&mut self.delta.tags, *tag, bytes), values, weight, false, bytes);
        }
    }

    fn visit(&mut self, link: u64, visitor: Visitor) {
        let visitor = visitor.0 & ((1 << Visitor::BITS) - 1);
        let place = self.place(link);
        let bytes = &mut self.generation.bytes;
        let link = self.delta.at_mut(place);
        link.visit(visitor, bytes);
        let (host, tags) = (link.host, link.tags);
        *bytes += self.delta.all.visitor(visitor, &OF_ALL);
        if host != NO_HOST {
            delta::visit_group(DayDelta::group(&mut self.delta.hosts, host, bytes), visitor, bytes);
        }
        for tag in self.generation.tag_sets.get(tags) {
            delta::visit_group(DayDelta::group(&mut self.delta.tags, *tag, bytes), visitor, bytes);
        }
    }
}
