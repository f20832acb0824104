//! The steps of counts over time, as a time zone has them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use utoipa::ToSchema;

use super::when::start_of;
use crate::clicks::TimeRange;

/// Most points of an answer.
pub(super) const POINTS: usize = 2_000;

/// How long a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day; 23 or 25 hours where the clocks change.
    Day,
    /// A week from Monday on (ISO 8601).
    Week,
    /// A month of the calendar.
    Month,
}

/// All, by their names, the shortest first.
pub(super) const STEPS: [(&str, Step); 5] =
    [("minute", Step::Minute), ("hour", Step::Hour), ("day", Step::Day), ("week", Step::Week), ("month", Step::Month)];

/// More points than an answer may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// The longer step that would do.
    pub(super) coarser: &'static str,
}

impl Step {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        STEPS.iter().find(|(_, step)| *step == self).map_or("", |(name, _)| name)
    }

    /// How long it usually is at least, in seconds.
    fn usual_s(self) -> i64 {
        match self {
            Step::Minute => 60,
            Step::Hour => 3_600,
            Step::Day => 86_400 - 3_600,
            Step::Week => 7 * 86_400 - 3_600,
            Step::Month => 28 * 86_400 - 3_600,
        }
    }

    /// The step in which a range is best seen.
    pub(super) fn fit_for(range: TimeRange) -> Step {
        match (range.to_s - range.from_s).div_ceil(3_600) {
            0..=3 => Step::Minute,
            4..=72 => Step::Hour,
            // A year, and one day.
            73..=8_808 => Step::Day,
            _ => Step::Month,
        }
    }

    /// Where the step begins in which a time lies.
    fn start(self, time_s: i64, zone: &TimeZone) -> Option<i64> {
        let date = || Some(Timestamp::from_second(time_s).ok()?.to_zoned(zone.clone()).date());
        match self {
            Step::Minute | Step::Hour => Some(time_s - self.into_step(time_s, zone)?),
            Step::Day | Step::Week | Step::Month => start_of(self.first_day(date()?)?, zone),
        }
    }

    /// Where the step ends that begins at a time.
    fn end(self, start_s: i64, zone: &TimeZone) -> Option<i64> {
        if matches!(self, Step::Minute | Step::Hour) {
            // Where the clocks change by half an hour, there is a shorter one.
            return Some(start_s + self.usual_s() - self.into_step(start_s, zone)?);
        }
        let date = Timestamp::from_second(start_s).ok()?.to_zoned(zone.clone()).date();
        let mut day = self.first_day(date)?;
        loop {
            day = day.checked_add(self.span()).ok()?;
            let end = start_of(day, zone)?;
            // A day that the calendar left out has no length.
            if end > start_s {
                return Some(end);
            }
        }
    }

    /// How far into a minute or hour a time lies, by the clocks of the zone.
    fn into_step(self, time_s: i64, zone: &TimeZone) -> Option<i64> {
        let offset = zone.to_offset(Timestamp::from_second(time_s).ok()?);
        Some((time_s + i64::from(offset.seconds())).rem_euclid(self.usual_s()))
    }

    /// The first day of the step in which a day lies.
    fn first_day(self, date: Date) -> Option<Date> {
        match self {
            Step::Week => date.checked_sub(Span::new().days(i64::from(date.weekday().to_monday_zero_offset()))).ok(),
            Step::Month => Some(date.first_of_month()),
            _ => Some(date),
        }
    }

    fn span(self) -> Span {
        match self {
            Step::Week => Span::new().weeks(1),
            Step::Month => Span::new().months(1),
            _ => Span::new().days(1),
        }
    }

    /// Where the steps of a range begin, and where the last one ends, in seconds since 1970: the range, widened to whole
    /// steps. They ascend.
    ///
    /// # Errors
    /// If there are more than [`POINTS`] steps.
    pub(super) fn times(self, range: TimeRange, zone: &TimeZone) -> Result<Vec<u64>, TooMany> {
        let signed = |time_s: u64| i64::try_from(time_s).unwrap_or(i64::MAX);
        let (from_s, to_s) = (signed(range.from_s), signed(range.to_s));
        let too_many = || TooMany { coarser: self.coarser(to_s - from_s) };
        // So that what is far too many is not even tried.
        if (to_s - from_s) / self.usual_s() > 2 * POINTS as i64 {
            return Err(too_many());
        }
        let mut time_s = self.start(from_s, zone).unwrap_or(from_s);
        // A week may begin before 1970.
        let mut times = vec![u64::try_from(time_s).unwrap_or(0)];
        while time_s < to_s {
            // At the end of all that can be written, the range is not widened.
            time_s = self.end(time_s, zone).unwrap_or(to_s);
            times.push(u64::try_from(time_s).unwrap_or(0));
            if times.len() > POINTS + 1 {
                return Err(too_many());
            }
        }
        Ok(times)
    }

    /// The shortest step in which so many seconds have few enough.
    fn coarser(self, range_s: i64) -> &'static str {
        let longer = STEPS.iter().skip_while(|(_, step)| *step != self).skip(1);
        let fits = |step: Step| range_s / step.usual_s() + 2 <= POINTS as i64;
        longer.into_iter().find(|(_, step)| fits(*step)).map_or(Step::Month.name(), |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::when::text;
    use super::*;
    use proptest::prelude::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn seconds(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_second().try_into().unwrap()
    }

    fn times(step: Step, from: &str, to: &str, name: &str) -> Vec<u64> {
        step.times(TimeRange { from_s: seconds(from), to_s: seconds(to) }, &zone(name)).unwrap()
    }

    fn hours(times: &[u64]) -> Vec<u64> {
        times.windows(2).map(|pair| (pair[1] - pair[0]) / 3_600).collect()
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them() {
        let autumn = times(Step::Day, "2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z", "Europe/Berlin");
        assert_eq!(hours(&autumn), [24, 25, 24]);
        let spring = times(Step::Day, "2026-03-28T00:00:00Z", "2026-03-30T00:00:00Z", "Europe/Berlin");
        assert_eq!(hours(&spring), [24, 23, 24]);
        assert_eq!(text(spring[1], &zone("Europe/Berlin")), "2026-03-29T00:00:00+01:00");
        // The summer of São Paulo began at midnight, which was left out.
        let skipped = times(Step::Day, "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z", "America/Sao_Paulo");
        assert_eq!(hours(&skipped), [24, 23, 24]);
        // In Samoa, the 30th of December 2011 was left out.
        let samoa = times(Step::Day, "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z", "Pacific/Apia");
        assert_eq!(hours(&samoa), [24, 24, 24]);
        assert_eq!(text(samoa[1], &zone("Pacific/Apia")), "2011-12-31T00:00:00+14:00");
    }

    #[test]
    fn an_hour_that_there_is_twice_is_two_hours() {
        let times = times(Step::Hour, "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z", "Europe/Berlin");
        let shown: Vec<String> = times.iter().map(|time| text(*time, &zone("Europe/Berlin"))).collect();
        assert_eq!(
            shown,
            [
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T03:00:00+01:00",
                "2026-10-25T04:00:00+01:00"
            ]
        );
    }

    #[test]
    fn hours_follow_clocks_that_are_off_by_parts_of_one() {
        let india = times(Step::Hour, "2026-11-22T00:00:00Z", "2026-11-22T01:00:00Z", "Asia/Kolkata");
        assert_eq!(text(india[0], &zone("Asia/Kolkata")), "2026-11-22T05:00:00+05:30");
        // On Lord Howe Island the clocks go back by half an hour.
        let howe = times(Step::Hour, "2026-04-04T13:00:00Z", "2026-04-04T17:00:00Z", "Australia/Lord_Howe");
        let lengths: Vec<u64> = howe.windows(2).map(|pair| (pair[1] - pair[0]) / 60).collect();
        assert_eq!(lengths, [60, 60, 30, 60, 60]);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let weeks = times(Step::Week, "2026-11-18T00:00:00Z", "2026-11-24T00:00:00Z", "UTC");
        let shown: Vec<String> = weeks.iter().map(|time| text(*time, &TimeZone::UTC)).collect();
        assert_eq!(shown, ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"]);
        let months = times(Step::Month, "2026-01-31T00:00:00Z", "2026-03-01T00:00:00Z", "UTC");
        let shown: Vec<String> = months.iter().map(|time| text(*time, &TimeZone::UTC)).collect();
        assert_eq!(shown, ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]);
    }

    #[test]
    fn too_many_points_name_a_step_that_fits() {
        let range = |days: u64| TimeRange { from_s: 0, to_s: days * 86_400 };
        assert_eq!(Step::Minute.times(range(30), &TimeZone::UTC), Err(TooMany { coarser: "hour" }));
        assert_eq!(Step::Minute.times(range(400), &TimeZone::UTC), Err(TooMany { coarser: "day" }));
        assert_eq!(Step::Day.times(range(3_000), &TimeZone::UTC), Err(TooMany { coarser: "week" }));
        assert_eq!(Step::Day.times(range(2_000), &TimeZone::UTC).unwrap().len(), POINTS + 1);
        assert_eq!(Step::Day.times(range(2_001), &TimeZone::UTC), Err(TooMany { coarser: "week" }));
    }

    #[test]
    fn a_range_is_seen_in_steps_that_fit_it() {
        let fit = |hours: u64| Step::fit_for(TimeRange { from_s: 0, to_s: hours * 3_600 }).name();
        assert_eq!((fit(3), fit(4), fit(73), fit(30 * 24), fit(366 * 24)), ("minute", "hour", "day", "day", "day"));
        assert_eq!(fit(400 * 24), "month");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn steps_ascend_cover_the_range_and_no_more(
            from_s in 0u64..4_000_000_000,
            length_s in 1u64..40_000_000,
            at in 0usize..STEPS.len(),
            name in proptest::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia",
                "Africa/Casablanca", "America/St_Johns",
            ]),
        ) {
            let (step, zone) = (STEPS[at].1, zone(name));
            let range = TimeRange { from_s, to_s: from_s + length_s };
            let times = match step.times(range, &zone) {
                Ok(times) => times,
                Err(TooMany { coarser }) => {
                    let (_, coarser) = STEPS.into_iter().find(|(name, _)| *name == coarser).unwrap();
                    prop_assert!(coarser.times(range, &zone).is_ok());
                    return Ok(());
                }
            };
            prop_assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(times[0] <= range.from_s && times[1] > range.from_s);
            prop_assert!(times[times.len() - 1] >= range.to_s && times[times.len() - 2] < range.to_s);
            // Whole steps have the same steps.
            let whole = TimeRange { from_s: times[0], to_s: times[times.len() - 1] };
            if from_s > 40 * 86_400 {
                prop_assert_eq!(step.times(whole, &zone).unwrap_or_default(), times);
            }
        }
    }
}
