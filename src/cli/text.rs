//! Numbers and times for people.

use anyhow::Result;
use indicatif::HumanCount;

/// Prints a line to stdout, for whoever still reads it: unlike `println`, which panics if nobody does.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}
pub(super) use say;

/// Prints a line to stderr, for whoever still reads it: unlike `eprintln`, which panics if nobody does.
macro_rules! tell {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}
pub(super) use tell;

/// Nobody reads stdout any more, as behind `head`.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads stdout any more")]
pub(super) struct Unread;

/// Prints a line to stdout; for what may print many of them, and need not go on if nobody reads them.
pub(super) fn line(text: &str) -> Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => anyhow::Error::new(Unread),
        _ => anyhow::Error::new(error).context("stdout can't be written"),
    })
}

/// The same for what also says by its exit code how it went, and so goes on if nobody reads the lines any more.
pub(super) fn line_if_read(text: &str) -> Result<()> {
    line(text).or_else(|error| if error.is::<Unread>() { Ok(()) } else { Err(error) })
}

/// An error and its causes; those that the text says already are not said again.
pub(super) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A time of the API without the parts of a second.
pub(super) fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => time.to_owned(),
    }
}

/// `1 row`, `2,000 rows`.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `1 entry`, `2,000 entries`.
pub(super) fn count_of(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { more })
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> HumanCount {
    HumanCount(number)
}

/// A time in UTC (RFC 3339): `2026-01-31T23:59:59Z`.
pub(super) fn timestamp(unix_time_ms: u64) -> String {
    let seconds = unix_time_ms / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date_of(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The date so many days after 1970-01-01. Counted in years that begin with March, the leap day comes last
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn date_of(days: u64) -> (u64, u64, u64) {
    // Day 0 is 0000-03-01, and 400 years are an era.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(count(0, "row"), "0 rows");
        assert_eq!(count(1, "row"), "1 row");
        assert_eq!(count(238_269, "row"), "238,269 rows");
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = anyhow::Error::new(cause()).context(format!("no way in: {}. Ask somebody", cause()));
        assert_eq!(with_causes(&error.context("a")), "a: no way in: permission denied. Ask somebody");
        let error = anyhow::Error::new(cause()).context("no way in");
        assert_eq!(with_causes(&error), "no way in: permission denied");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(seconds * 1_000 + 999), text);
        }
    }

    #[test]
    fn dates_agree_with_those_of_http() {
        for days in (0..100_000).step_by(17) {
            let (year, month, day) = date_of(days);
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(days * 86_400);
            let http = httpdate::fmt_http_date(time);
            assert!(http.contains(&format!(", {day:02} ")) && http.contains(&format!(" {year:04} ")), "{http}");
            let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            assert!(http.contains(names[usize::try_from(month).unwrap() - 1]), "{http}: {month}");
        }
    }
}
