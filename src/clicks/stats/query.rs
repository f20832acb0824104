//! Counts, breakdowns, and how many different people.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::batch::Counts;
use super::super::rollups::calendar::{DAY_S, day_of, day_start_s, month_of};
use super::super::rollups::keys;
use super::super::rollups::months::Month;
use super::super::rollups::overlay::Dated;
use super::super::rollups::row::{Frequent, Parts, country_text, device_text, language_text};
use super::super::rollups::{NO_REFERRER, OTHER_REFERRERS};
use super::{Breakdown, Dimension, Granularity, Point, Series, Share, Stats, StatsError, Subject, TimeRange, Uniques};

/// What stands for the referrers that came when a month had as many as it tells apart.
const OTHERS: &str = "(other)";

/// How many standard deviations 95 % are within.
const DEVIATIONS: f64 = 1.96;

impl Stats {
    /// How often, in a range of time.
    ///
    /// # Errors
    /// If what was counted can't be read.
    pub fn totals(&self, subject: &Subject, range: TimeRange) -> Result<(Counts, Granularity), StatsError> {
        let mut sum = Counts::default();
        let mut coarsest = Granularity::Minute;
        self.each_row(subject, range, Parts::SLOTS, |_, dated| {
            let mut is_met = false;
            dated.counts(|start_s, counts| {
                if (range.from_s..range.to_s).contains(&start_s) {
                    sum.add(counts);
                }
                is_met |= is_met_by(range, start_s, dated, counts);
            });
            if is_met {
                coarsest = coarsest.max(dated.granularity());
            }
            Ok(())
        })?;
        Ok((sum, coarsest))
    }

    /// How often, in each of the steps between these times, which ascend: one fewer than there are times.
    ///
    /// # Errors
    /// If what was counted can't be read.
    pub fn series(&self, subject: &Subject, times_s: &[u64]) -> Result<Series, StatsError> {
        let steps = times_s.len().saturating_sub(1);
        let point = |start_s: &u64| Point { start_s: *start_s, counts: Counts::default() };
        let mut points: Vec<Point> = times_s[..steps].iter().map(point).collect();
        let mut granularity = Granularity::Minute;
        let (Some(from_s), Some(to_s)) = (times_s.first().copied(), times_s.last().copied()) else {
            return Ok(Series { points, granularity });
        };
        let range = TimeRange { from_s, to_s };
        self.each_row(subject, range, Parts::SLOTS, |_, dated| {
            let mut is_met = false;
            dated.counts(|start_s, counts| {
                is_met |= is_met_by(range, start_s, dated, counts);
                let step = times_s.partition_point(|time_s| *time_s <= start_s);
                if let Some(point) = step.checked_sub(1).and_then(|step| points.get_mut(step)) {
                    point.counts.add(counts);
                }
            });
            if is_met {
                granularity = granularity.max(dated.granularity());
            }
            Ok(())
        })?;
        Ok(Series { points, granularity })
    }

    /// The most frequent values of a dimension, of clicks by people, in all UTC days of which a part is in the range.
    ///
    /// # Errors
    /// If what was counted can't be read.
    pub fn breakdown(
        &self,
        subject: &Subject,
        dimension: Dimension,
        range: TimeRange,
        limit: usize,
    ) -> Result<Breakdown, StatsError> {
        let (mut total, mut details, mut squares, mut error) = (0, 0, 0u64, 0);
        let mut widened = whole_days(range);
        let mut sums: HashMap<String, u64> = HashMap::new();
        // Of one month at a time, for each that is held stays open.
        let mut of_month: Option<(Arc<Month>, HashMap<u64, u64>)> = None;
        self.each_row(subject, range, Parts::DETAILS, |month, dated| {
            widen(&mut widened, dated);
            let Some(known) = &dated.row.details else { return Ok(()) };
            total += known.weight;
            details += known.count;
            squares = squares.saturating_add(known.squares);
            let values = &known.values[dimension as usize];
            error += values.error();
            if let Some((before, values)) = of_month.take_if(|(before, _)| before.number != month.number) {
                add_texts(&mut sums, &before, dimension, values)?;
            }
            let (_, of_month) = of_month.get_or_insert_with(|| (Arc::clone(month), HashMap::new()));
            add_values(of_month, values);
            Ok(())
        })?;
        if let Some((month, values)) = of_month {
            add_texts(&mut sums, &month, dimension, values)?;
        }
        let mut shares: Vec<Share> = sums.into_iter().map(|(value, clicks)| Share { value, clicks }).collect();
        shares.sort_unstable_by(|a, b| b.clicks.cmp(&a.clicks).then_with(|| a.value.cmp(&b.value)));
        shares.truncate(limit);
        Ok(Breakdown { shares, total, error, details, squares, range: widened })
    }

    /// How many different people.
    ///
    /// # Errors
    /// If what was counted can't be read.
    pub fn uniques(&self, subject: &Subject, range: TimeRange) -> Result<Uniques, StatsError> {
        let (mut estimate, mut variance) = (0.0, 0.0);
        let mut widened = whole_days(range);
        self.each_row(subject, range, Parts::VISITORS, |_, dated| {
            let of_row = dated.row.visitors.estimate();
            estimate += of_row.0;
            variance += of_row.1;
            widen(&mut widened, dated);
            Ok(())
        })?;
        let margin = DEVIATIONS * f64::sqrt(variance);
        Ok(Uniques { estimate, lower: (estimate - margin).max(0.0), upper: estimate + margin, range: widened })
    }

    /// Visits the rows of a subject that have a part in a range, month by month, day by day.
    pub(super) fn each_row(
        &self,
        subject: &Subject,
        range: TimeRange,
        parts: Parts,
        mut visit: impl FnMut(&Arc<Month>, &Dated) -> Result<(), StatsError>,
    ) -> Result<(), StatsError> {
        let days = days_in(range);
        for month in self.months_in(days)? {
            let Some(month) = self.shared.months.get(month)? else { continue };
            for dated in self.shared.rows(&month, subject, days, parts)? {
                visit(&month, &dated)?;
            }
        }
        Ok(())
    }

    /// The months that have some of these days, of those of which there is a store.
    pub(super) fn months_in(&self, days: (u16, u16)) -> Result<Vec<u16>, StatsError> {
        if days.0 >= days.1 {
            return Ok(Vec::new());
        }
        let (first, last) = (month_of(days.0), month_of(days.1 - 1));
        Ok(self.shared.months.known().into_iter().filter(|month| (first..=last).contains(month)).collect())
    }
}

/// The first day of which a part is in a range, and the first behind it.
pub(super) fn days_in(range: TimeRange) -> (u16, u16) {
    if range.from_s >= range.to_s {
        return (0, 0);
    }
    (day_of(range.from_s), day_of(range.to_s - 1).saturating_add(1))
}

/// Whether a slot that has clicks lies in a range, or a part of it does: also one that counts outside, by when it begins,
/// says how coarse the answer is.
fn is_met_by(range: TimeRange, start_s: u64, dated: &Dated, counts: &Counts) -> bool {
    start_s < range.to_s && start_s + dated.slot_s() > range.from_s && counts.sum() > 0
}

/// A range, widened to whole UTC days.
pub(super) fn whole_days(range: TimeRange) -> TimeRange {
    let (from, to) = days_in(range);
    TimeRange { from_s: day_start_s(from), to_s: day_start_s(to.max(from)) }
}

/// Widens a range to all days that a row is about.
pub(super) fn widen(range: &mut TimeRange, dated: &Dated) {
    range.from_s = range.from_s.min(day_start_s(dated.first_day));
    range.to_s = range.to_s.max(day_start_s(dated.end_day - 1) + DAY_S);
}

fn add_values(sums: &mut HashMap<u64, u64>, values: &Frequent) {
    for (value, weight) in values.values() {
        *sums.entry(value).or_default() += weight;
    }
}

fn add_texts(
    sums: &mut HashMap<String, u64>,
    month: &Month,
    dimension: Dimension,
    values: HashMap<u64, u64>,
) -> Result<(), StatsError> {
    for (value, weight) in values {
        let text = match dimension {
            Dimension::Referrer => referrer_text(month, value)?,
            Dimension::Country => country_text(value),
            Dimension::Device => device_text(value),
            Dimension::Language => language_text(value),
        };
        *sums.entry(text).or_default() += weight;
    }
    Ok(())
}

fn referrer_text(month: &Month, value: u64) -> Result<String, StatsError> {
    let number = u32::try_from(value).unwrap_or(OTHER_REFERRERS);
    if number == NO_REFERRER {
        return Ok(String::new());
    }
    let text = if number == OTHER_REFERRERS { None } else { month.get(&keys::referrer_text(number))? };
    // One that was met this moment may not be written yet.
    Ok(text.map_or_else(|| OTHERS.to_owned(), |text| String::from_utf8_lossy(&text).into_owned()))
}
