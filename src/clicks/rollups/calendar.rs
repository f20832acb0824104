//! Days and months in UTC, by number.

use jiff::civil::{Date, date};

/// Seconds of a day.
pub(crate) const DAY_S: u64 = 86_400;

/// Minutes of a quarter of an hour. All time zones in use differ from UTC by a multiple of it.
pub(crate) const QUARTER_MINUTES: u16 = 15;

/// 2020-01-01, where days and months are counted from, in seconds since 1970.
const EPOCH_S: u64 = 1_577_836_800;

/// The last day that can be told, in 2199: the numbers above are no days.
const LAST_DAY: u16 = u16::MAX - 1;

/// The number of the day of a time in seconds since 1970. Earlier and later times than can be told count as of the first
/// and last day.
pub(crate) fn day_of(time_s: u64) -> u16 {
    u16::try_from(time_s.saturating_sub(EPOCH_S) / DAY_S).map_or(LAST_DAY, |day| day.min(LAST_DAY))
}

/// When a day begins, in seconds since 1970.
pub(crate) fn day_start_s(day: u16) -> u64 {
    EPOCH_S + u64::from(day) * DAY_S
}

/// The number of the month of a day.
pub(crate) fn month_of(day: u16) -> u16 {
    let date = first_date().saturating_add(jiff::Span::new().days(i64::from(day)));
    // Both are small, and no date lies before 2020.
    ((date.year() - 2020) * 12 + i16::from(date.month()) - 1).unsigned_abs()
}

/// The first day of a month, and the first that is behind it.
pub(crate) fn days_of(month: u16) -> (u16, u16) {
    (first_day(month), first_day(month.saturating_add(1)))
}

fn first_day(month: u16) -> u16 {
    let days = first_of(month).since(first_date()).map_or(0, |span| span.get_days());
    u16::try_from(days).unwrap_or(LAST_DAY + 1)
}

/// The name of a month: `2026-11`.
pub(crate) fn month_name(month: u16) -> String {
    let first = first_of(month);
    format!("{:04}-{:02}", first.year(), first.month())
}

/// The month of a name. None if it is no name.
pub(crate) fn month_named(name: &str) -> Option<u16> {
    let (year, month) = name.split_once('-')?;
    let years = year.parse::<u16>().ok()?.checked_sub(2020)?;
    let month = years.checked_mul(12)?.checked_add(month.parse().ok()?)?.checked_sub(1)?;
    (month_name(month) == name).then_some(month)
}

fn first_date() -> Date {
    date(2020, 1, 1)
}

fn first_of(month: u16) -> Date {
    let month = i16::try_from(month).unwrap_or(i16::MAX).min(12 * 180);
    date(2020 + month / 12, i8::try_from(month % 12).expect("below 12") + 1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_lies_in_its_month() {
        for day in 0..=LAST_DAY {
            let (first, end) = days_of(month_of(day));
            assert!((first..end).contains(&day), "{day}: {first}..{end}");
        }
        assert_eq!(month_name(month_of(day_of(1_795_300_000))), "2026-11");
        assert_eq!(day_start_s(day_of(1_795_300_000)), 1_795_300_000 / DAY_S * DAY_S);
        assert_eq!((day_of(0), day_of(u64::MAX)), (0, LAST_DAY));
    }

    #[test]
    fn months_have_names() {
        for month in 0..month_of(LAST_DAY) {
            assert_eq!(month_named(&month_name(month)), Some(month));
        }
        for name in
            ["", "2026", "2026-13", "2026-1", "2019-12", "journal", "99999-01", "9999-01", "2026-00", "2026-10.deleted"]
        {
            assert_eq!(month_named(name), None, "{name}");
        }
    }
}
