//! Rows as they are with what was counted since.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::batch::Counts;
use super::super::stats::{Granularity, StatsError, Subject};
use super::calendar::{DAY_S, day_start_s, days_of};
use super::keys::{self, WHOLE_MONTH};
use super::live::{Live, Shared};
use super::months::Month;
use super::row::{Bounds, OF_ALL, OF_GROUP, OF_LINK, Parts, Row, Slots};

/// Links and how often they were clicked, and how often at most one that is missing was.
pub(crate) type Missing = (Vec<(u64, u64)>, u64);

/// A row, and the days that it is about.
pub(crate) struct Dated {
    pub(crate) first_day: u16,
    /// The first that it is not about any more.
    pub(crate) end_day: u16,
    pub(crate) is_month: bool,
    pub(crate) row: Row,
}

impl Dated {
    /// How fine its counts are.
    pub(crate) fn granularity(&self) -> Granularity {
        if self.is_month { Granularity::Month } else { self.row.slots.granularity() }
    }

    /// How long its slots are, in seconds.
    pub(crate) fn slot_s(&self) -> u64 {
        match self.granularity() {
            Granularity::Minute => 60,
            Granularity::Quarter => 900,
            Granularity::Day | Granularity::Month => u64::from(self.end_day - self.first_day) * DAY_S,
        }
    }

    /// Its counts, with the times in seconds since 1970 at which their slots begin.
    pub(crate) fn counts(&self, mut visit: impl FnMut(u64, &Counts)) {
        let start_s = day_start_s(self.first_day);
        match &self.row.slots {
            Slots::Kept { quarters, list } if !self.is_month => {
                let slot_s = if *quarters { 900 } else { 60 };
                list.iter().for_each(|(slot, counts)| visit(start_s + u64::from(*slot) * slot_s, counts));
            }
            _ => visit(start_s, &self.row.counts),
        }
    }
}

impl Shared {
    /// The rows of a subject on some days of a month, by day, in some of their parts. `days` are a first one and one that
    /// is not asked for any more; the row of a whole month comes if it has one of them.
    ///
    /// The links that were clicked most are those of the stores; [`most_clicked`](Self::most_clicked) has the rest.
    pub(crate) fn rows(
        &self,
        month: &Arc<Month>,
        subject: &Subject,
        days: (u16, u16),
        parts: Parts,
    ) -> Result<Vec<Dated>, StatsError> {
        self.rows_while(&self.live.read(), month, subject, days, parts)
    }

    fn rows_while(
        &self,
        live: &Live,
        month: &Arc<Month>,
        subject: &Subject,
        days: (u16, u16),
        parts: Parts,
    ) -> Result<Vec<Dated>, StatsError> {
        let (first, end) = days_of(month.number);
        let (from, to) = (days.0.max(first), days.1.min(end));
        if from >= to {
            return Ok(Vec::new());
        }
        let prefix = keys::prefix(subject);
        let bounds = bounds_of(subject);
        let mut rows: BTreeMap<u16, Row> = BTreeMap::new();
        month.scan(&keys::row(&prefix, from), &prefix, |key, value| {
            match keys::split_row(key) {
                // Keys of other subjects may begin alike.
                Some((of, _)) if of != prefix => {}
                Some((_, day)) if day < to || day == WHOLE_MONTH => {
                    rows.insert(day, month.decode(key, value, parts)?);
                }
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for layer in live.layers() {
            for (&day, _) in layer.generation.days.range(from..to) {
                if layer.is_merged(month.number, &keys::row(&prefix, day)) {
                    continue;
                }
                if let Some(delta) = layer.generation.row(subject, day, parts) {
                    rows.entry(day).or_default().merge(&delta, bounds);
                }
            }
        }
        let dated = |(day, row)| {
            let is_month = day == WHOLE_MONTH;
            let (first_day, end_day) = if is_month { (first, end) } else { (day, day + 1) };
            Dated { first_day, end_day, is_month, row }
        };
        Ok(rows.into_iter().map(dated).collect())
    }

    /// The rows of a subject with the links that were clicked most, and of what is not in them the first `most` links of
    /// each day, with how often at most one that is not among them was clicked.
    pub(crate) fn most_clicked(
        &self,
        month: &Arc<Month>,
        subject: &Subject,
        days: (u16, u16),
        most: usize,
    ) -> Result<(Vec<Dated>, Vec<Missing>), StatsError> {
        let live = self.live.read();
        let rows = self.rows_while(&live, month, subject, days, Parts::LINKS)?;
        let (first, end) = days_of(month.number);
        let (from, to) = (days.0.max(first), days.1.min(end).max(days.0.max(first)));
        let prefix = keys::prefix(subject);
        let mut found = Vec::new();
        for layer in live.layers() {
            let Some(group) = layer.generation.group(subject) else { continue };
            for (&day, delta) in layer.generation.days.range(from..to) {
                if layer.is_merged(month.number, &keys::row(&prefix, day)) {
                    continue;
                }
                let under = delta.links().filter(|link| layer.generation.is_under(link, &group));
                let mut links: Vec<(u64, u64)> = under.map(|link| (link.link, link.clicks())).collect();
                let mut missed = 0;
                if links.len() > most {
                    missed = links.select_nth_unstable_by_key(most, |(_, clicks)| Reverse(*clicks)).1.1;
                    links.truncate(most);
                }
                found.push((links, missed));
            }
        }
        Ok((rows, found))
    }

    /// Links behind one that have something not in the stores, ascending.
    pub(crate) fn unflushed_links(&self, from: u64, month: u16, most: usize) -> Vec<u64> {
        let live = self.live.read();
        let (first, end) = days_of(month);
        let mut found: Vec<u64> = Vec::new();
        for layer in live.layers() {
            for (_, delta) in layer.generation.days.range(first..end) {
                found.extend(delta.links().map(|link| link.link).filter(|link| *link >= from));
            }
        }
        drop(live);
        // A link stands there once a day.
        found.sort_unstable();
        found.dedup();
        found.truncate(most);
        found
    }
}

/// What rows of a subject keep.
pub(crate) fn bounds_of(subject: &Subject) -> &'static Bounds {
    match subject {
        Subject::All => &OF_ALL,
        Subject::Host(_) | Subject::Tag(_) => &OF_GROUP,
        Subject::Link(_) => &OF_LINK,
    }
}
