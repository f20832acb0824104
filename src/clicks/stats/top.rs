//! The links that were clicked most.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::super::rollups::keys;
use super::super::rollups::row::{OF_ALL, Parts};
use super::query::{days_in, whole_days, widen};
use super::{Stats, StatsError, Subject, TimeRange, TopLink};

/// How many links that may be among the first are counted exactly: each takes a look at its rows.
const COUNTED: usize = 200;

/// How many more than are asked for are looked at, for sketches may have them in another order.
const SPARE: usize = 20;

impl Stats {
    /// The links that were clicked most. Of a [`Subject::Link`], that link.
    ///
    /// Sketches by UTC day say which they are; of all links and of a host the first 200 are then counted exactly in the
    /// range. The counts of a tag are of all UTC days of which a part is in the range.
    ///
    /// # Errors
    /// If what was counted can't be read.
    pub fn top(&self, subject: &Subject, range: TimeRange, limit: usize) -> Result<Vec<TopLink>, StatsError> {
        if let Subject::Link(link) = subject {
            let clicks = self.totals(subject, range)?.0.sum();
            let found = self.key(*link, range)?.filter(|_| limit > 0);
            return Ok(found.into_iter().map(|key| TopLink { link: *link, key, clicks, error: 0 }).collect());
        }
        let (mut sums, error) = self.candidates(subject, range)?;
        sums.sort_unstable_by_key(|(link, clicks)| (Reverse(*clicks), *link));
        let is_exact = !matches!(subject, Subject::Tag(_));
        let mut top = Vec::new();
        // Those without a name are left out, so that more must be looked at than are shown.
        for (place, (link, clicks)) in sums.into_iter().enumerate() {
            if top.len() >= limit.saturating_add(SPARE).min(limit.max(COUNTED)) {
                break;
            }
            let counted = is_exact && place < COUNTED;
            let clicks = if counted { self.totals(&Subject::Link(link), range)?.0.sum() } else { clicks };
            if clicks == 0 {
                continue;
            }
            if let Some(key) = self.key(link, range)? {
                top.push(TopLink { link, key, clicks, error: if counted { 0 } else { error } });
            }
        }
        top.sort_unstable_by_key(|link| (Reverse(link.clicks), link.link));
        top.truncate(limit);
        Ok(top)
    }

    /// The range that the counts of [`top`](Self::top) are about: of a tag the asked one, widened to what they are kept by.
    ///
    /// # Errors
    /// If what was counted can't be read.
    pub fn top_range(&self, subject: &Subject, range: TimeRange) -> Result<TimeRange, StatsError> {
        if !matches!(subject, Subject::Tag(_)) {
            return Ok(range);
        }
        let mut widened = whole_days(range);
        self.each_row(subject, range, Parts::NONE, |_, dated| {
            widen(&mut widened, dated);
            Ok(())
        })?;
        Ok(widened)
    }

    /// Links and how often they were clicked, never too low, and by how much at most too high.
    fn candidates(&self, subject: &Subject, range: TimeRange) -> Result<(Vec<(u64, u64)>, u64), StatsError> {
        let days = days_in(range);
        let mut sums: HashMap<u64, u64> = HashMap::new();
        let mut error = 0;
        // As often as is certain; what each row may have missed comes to all of them in the end, for a link that a row
        // does not have may have had as much.
        let mut add = |links: Vec<(u64, u64)>, of_row: u64| {
            links
                .into_iter()
                .for_each(|(link, clicks)| *sums.entry(link).or_default() += clicks.saturating_sub(of_row));
            error += of_row;
        };
        for number in self.months_in(days)? {
            let Some(month) = self.shared.months.get(number)? else { continue };
            let (rows, unflushed) = self.shared.most_clicked(&month, subject, days, OF_ALL.links.places)?;
            rows.into_iter().for_each(|dated| add(dated.row.links.values(), dated.row.links.error()));
            unflushed.into_iter().for_each(|(links, missed)| add(links, missed));
        }
        Ok((sums.into_iter().map(|(link, clicks)| (link, clicks + error)).collect(), error))
    }

    /// The key of a link, as the newest month of a range that names it has it.
    pub(super) fn key(&self, link: u64, range: TimeRange) -> Result<Option<String>, StatsError> {
        for month in self.months_in(days_in(range))?.into_iter().rev() {
            let Some(month) = self.shared.months.get(month)? else { continue };
            if let Some(key) = month.get(&keys::name(link))? {
                return Ok(Some(String::from_utf8_lossy(&key).into_owned()));
            }
        }
        Ok(None)
    }
}
