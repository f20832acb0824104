//! The counts of links, page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::batch::Counts;
use super::super::rollups::calendar::{day_of, day_start_s, days_of, month_of};
use super::super::rollups::keys;
use super::super::rollups::months::Month;
use super::super::rollups::row::Parts;
use super::query::days_in;
use super::{ExportRow, Granularity, Stats, StatsError, Subject, TimeRange};

impl Stats {
    /// The counts of links, by slot, in the order of ids and times: rows behind `after` (id and start of the last row seen),
    /// at most `limit`. Of `All`, a host, a tag (links that have it now are not asked: links of which a click stood under
    /// it in the same month) or one link. Links without a name are left out. What is kept no finer comes as it is kept.
    ///
    /// # Errors
    /// If what was counted can't be read.
    pub fn export(
        &self,
        subject: &Subject,
        range: TimeRange,
        granularity: Granularity,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<ExportRow>, StatsError> {
        let mut rows = Vec::new();
        let mut next = after.map_or(0, |(link, _)| link);
        while rows.len() < limit {
            let links = self.links_from(subject, range, next, limit - rows.len() + 1)?;
            let Some(last) = links.last().copied() else { break };
            for link in links {
                let seen = |row: &ExportRow| after.is_some_and(|after| (row.link, row.start_s) <= after);
                rows.extend(self.rows_of(link, range, granularity)?.into_iter().filter(|row| !seen(row)));
                if rows.len() >= limit {
                    break;
                }
            }
            let Some(behind) = last.checked_add(1) else { break };
            next = behind;
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// Links that count under a subject, from one on, ascending; at least so many if there are.
    fn links_from(&self, subject: &Subject, range: TimeRange, from: u64, count: usize) -> Result<Vec<u64>, StatsError> {
        if let Subject::Link(link) = subject {
            return Ok(Some(*link).filter(|link| *link >= from).into_iter().collect());
        }
        let mut links = BTreeSet::new();
        for number in self.months_in(days_in(range))? {
            let Some(month) = self.shared.months.get(number)? else { continue };
            links.extend(stored_links(&month, subject, from, count)?);
            if *subject == Subject::All {
                links.extend(self.shared.unflushed_links(from, number, count));
            }
        }
        // Each month gave so many, so that none is missing among the first.
        Ok(links.into_iter().take(count).collect())
    }

    fn rows_of(&self, link: u64, range: TimeRange, granularity: Granularity) -> Result<Vec<ExportRow>, StatsError> {
        let Some(key) = self.key(link, range)? else { return Ok(Vec::new()) };
        let mut slots: BTreeMap<(u64, Granularity), Counts> = BTreeMap::new();
        self.each_row(&Subject::Link(link), range, Parts::SLOTS, |_, dated| {
            let kept = dated.granularity().max(granularity);
            dated.counts(|start_s, counts| {
                if (range.from_s..range.to_s).contains(&start_s) {
                    slots.entry((slot_start_s(start_s, kept), kept)).or_default().add(counts);
                }
            });
            Ok(())
        })?;
        let slots = slots.into_iter().filter(|(_, counts)| counts.sum() > 0);
        let row = |((start_s, granularity), counts)| ExportRow { link, key: key.clone(), start_s, granularity, counts };
        Ok(slots.map(row).collect())
    }
}

/// Links in a month's store from one on, ascending.
fn stored_links(month: &Month, subject: &Subject, from: u64, count: usize) -> Result<Vec<u64>, StatsError> {
    let mut links: Vec<u64> = Vec::new();
    let (prefix, is_member) = match subject {
        Subject::Host(host) => (keys::members(keys::HOST, host.as_bytes()), true),
        Subject::Tag(tag) => (keys::members(keys::TAG, tag.as_bytes()), true),
        Subject::All | Subject::Link(_) => (vec![keys::LINK], false),
    };
    let start = [&prefix[..], &from.to_be_bytes()].concat();
    month.scan(&start, &prefix, |key, _| {
        let member = || key.strip_prefix(&prefix[..])?.try_into().ok().map(u64::from_be_bytes);
        let link = if is_member { member() } else { keys::link_of_row(key) };
        if let Some(link) = link.filter(|link| links.last() != Some(link)) {
            if links.len() == count {
                return Ok(ControlFlow::Break(()));
            }
            links.push(link);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(links)
}

/// When the slot of a time begins.
fn slot_start_s(time_s: u64, granularity: Granularity) -> u64 {
    match granularity {
        Granularity::Minute => time_s / 60 * 60,
        Granularity::Quarter => time_s / 900 * 900,
        Granularity::Day => day_start_s(day_of(time_s)),
        Granularity::Month => day_start_s(days_of(month_of(day_of(time_s))).0),
    }
}
