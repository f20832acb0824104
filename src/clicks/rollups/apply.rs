//! Windows are counted in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::super::batch::{Batch, Counts, Detail, LinkCount, VisitClass, Visitor, Window};
use super::super::giving_way::giving_way;
use super::super::stats::StatsError;
use super::calendar::{day_of, day_start_s, month_of};
use super::delta::{self, DayDelta, Generation, NO_HOST};
use super::dictionary::host_of;
use super::live::{EVENTS, Shared};
use super::months::Month;
use super::row::{DIMENSIONS, OF_ALL, country_number, counts_u64, language_number};
use super::{Rollups, keys};

/// Counts that are taken in under one lock, so that nobody who asks waits long. Between two of these others have the core.
const STEP: usize = 256;

/// Beyond so many writes that wait nothing is taken in until they are made.
const UNWRITTEN: usize = 100_000;

/// The place of a link that has no delta yet.
const NO_PLACE: u32 = u32::MAX;

/// The tags of links that are new, of those that have any.
type LinksTags = HashMap<u64, Vec<String>>;

/// What is counted of a click's details, as numbers, and where.
struct Values {
    link: u64,
    place: u32,
    values: [u64; DIMENSIONS],
    weight: u32,
}

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
            for name in giving_way(&batch.names) {
                rollups.name(number, name.link, &name.key);
            }
            rollups.prepare(month, batch)
        })?;
        let minute = (batch.time_s.saturating_sub(day_start_s(day)) / 60).min(1_439) as u16;
        let shared = Arc::clone(&self.shared);
        let places = std::mem::take(&mut self.places);
        let (of_counts, others) = places.split_at(batch.counts.len());
        let (of_details, of_visits) = others.split_at(batch.details.len());
        let values = self.values(number, day, &batch.details, of_details);
        // Before anybody sees what they belong to. If they can't be written now, they are before the next rows.
        let _ = self.write_names();
        for values in values.chunks(STEP) {
            self.locked(&shared, day, &tags, |adding| values.iter().for_each(|values| adding.detail(values)));
        }
        for (visits, places) in batch.visits.chunks(STEP).zip(of_visits.chunks(STEP)) {
            self.locked(&shared, day, &tags, |adding| {
                visits.iter().zip(places).for_each(|(visit, &place)| adding.visit(visit.link, place, visit.visitor));
            });
        }
        // Last, so that who sees them sees all that belongs to them.
        for (counts, places) in batch.counts.chunks(STEP).zip(of_counts.chunks(STEP)) {
            self.locked(&shared, day, &tags, |adding| adding.counts(minute, counts, places));
        }
        self.places = places;
        self.push_events(&shared, &batch.details);
        Ok(())
    }

    /// Finds where the deltas of the links stand, of the counts, the details and the visits in this order; and the names
    /// and tags of those that are new in this generation and month. Nothing is counted yet, so that it can fail; and nobody
    /// who asks waits for it.
    fn prepare(&mut self, month: &Month, batch: &Batch) -> Result<LinksTags, StatsError> {
        let day = day_of(batch.time_s);
        let links = batch.counts.iter().map(|count| count.link);
        let links = links.chain(batch.details.iter().map(|detail| detail.link));
        let links = links.chain(batch.visits.iter().map(|visit| visit.link));
        let mut new: Vec<u64> = Vec::new();
        self.places.clear();
        {
            let live = self.shared.live.read();
            let delta = live.current.generation.days.get(&day);
            // Little but this, so that the processor looks for many at a time: each lies somewhere else in memory.
            self.places.extend(giving_way(links).map(|link| {
                let place = delta.and_then(|delta| delta.place(link));
                if place.is_none() {
                    new.push(link);
                }
                place.unwrap_or(NO_PLACE)
            }));
        }
        new.sort_unstable();
        new.dedup();
        let mut found = LinksTags::new();
        for link in giving_way(new) {
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

    /// What is counted of the details of people.
    fn values(&mut self, number: u16, day: u16, details: &[Detail], places: &[u32]) -> Vec<Values> {
        let people = details.iter().zip(places).filter(|(detail, _)| detail.class == VisitClass::Human);
        people
            .map(|(detail, place)| {
                let referrer = self.referrer(number, day, &detail.referrer);
                let values = [
                    u64::from(referrer),
                    country_number(detail.country),
                    detail.device as u64,
                    language_number(detail.language),
                ];
                Values { link: detail.link, place: *place, values, weight: detail.weight }
            })
            .collect()
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
        drop(live);
        std::thread::yield_now();
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
    /// Where the delta of a link stands that may have had no place; it is begun if there is none.
    fn place(&mut self, link: u64, place: u32) -> u32 {
        if place != NO_PLACE {
            return place;
        }
        // Another one of the batch may have begun it.
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

    fn counts(&mut self, minute: u16, counts: &[LinkCount], places: &[u32]) {
        // Where there are few hosts, links of the same host and tags often follow each other: what they have in common is added
        // up first.
        let mut all = Counts::default();
        let mut alike: Option<(u32, u32, Counts)> = None;
        for (count, &place) in counts.iter().zip(places) {
            let place = self.place(count.link, place);
            let link = self.delta.at_mut(place);
            link.count(minute, count, &mut self.generation.bytes);
            let counts = counts_u64(&count.counts);
            all.add(&counts);
            match &mut alike {
                Some((host, tags, sum)) if (*host, *tags) == (link.host, link.tags) => sum.add(&counts),
                other => {
                    let before = other.replace((link.host, link.tags, counts));
                    self.count_groups(minute, before);
                }
            }
        }
        self.count_groups(minute, alike);
        delta::count_group(&mut self.delta.all, minute, &all, &mut self.generation.bytes);
    }

    /// Counts clicks under a host and a set of tags.
    fn count_groups(&mut self, minute: u16, counts: Option<(u32, u32, Counts)>) {
        let Some((host, tags, counts)) = counts else { return };
        let bytes = &mut self.generation.bytes;
        if host != NO_HOST {
            delta::count_group(DayDelta::group(&mut self.delta.hosts, host, bytes), minute, &counts, bytes);
        }
        for tag in self.generation.tag_sets.get(tags) {
            delta::count_group(DayDelta::group(&mut self.delta.tags, *tag, bytes), minute, &counts, bytes);
        }
    }

    fn detail(&mut self, detail: &Values) {
        let Values { link, place, values, weight } = *detail;
        let place = self.place(link, place);
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

    fn visit(&mut self, link: u64, place: u32, visitor: Visitor) {
        let visitor = visitor.0 & ((1 << Visitor::BITS) - 1);
        let place = self.place(link, place);
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
