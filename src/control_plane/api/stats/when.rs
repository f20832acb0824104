//! From when to when is asked.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use utoipa::IntoParams;

use super::super::Api;
use super::super::body::unknown;
use super::super::parameters::InQuery;
use super::super::problem::{Problem, quoted};
use super::super::time;
use crate::clicks::TimeRange;
use crate::clock::unix_time_ms;

/// How many days an answer is about unless told otherwise, the last of which may not be over.
const USUAL_DAYS: i64 = 30;

/// Most days that an answer is about.
const RANGE_DAYS: u64 = 3_660;

/// Longest name of a time zone that is looked for, in bytes.
const ZONE_BYTES: usize = 64;

/// Seconds in a usual day.
const DAY_S: u64 = 86_400;

/// From when to when: at most ten years.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes")]
pub(super) struct WhenParameters {
    /// From this time on (RFC 3339), or from the beginning of a day such as `2026-11-01` in `zone` [default: 30 days with
    /// the last]
    #[param(required = false, nullable = false, example = "2026-11-01")]
    from: String,
    /// Up to this time (RFC 3339), or the beginning of a day; it is not in it any more [default: now]
    #[param(required = false, nullable = false, example = "2026-12-01")]
    to: String,
    /// The time zone of days, by its name in the IANA database [default: UTC]
    #[param(max_length = 64, required = false, nullable = false, example = "Europe/Berlin")]
    zone: String,
}

/// From when to when, in which time zone.
#[derive(Debug, Clone)]
pub(super) struct When {
    /// From when to when.
    pub(super) range: TimeRange,
    /// Where days begin when.
    pub(super) zone: TimeZone,
}

impl When {
    /// The ends of the range that an answer is about: as they were asked for, in the zone that was asked for; or, widened
    /// to what is kept, in UTC.
    pub(super) fn texts(&self, range: TimeRange) -> (String, String) {
        let zone = if range == self.range { &self.zone } else { &TimeZone::UTC };
        (text(range.from_s, zone), text(range.to_s, zone))
    }
}

/// Reads it. What is wrong is said by `query`; then what is given here holds nothing.
pub(super) async fn read(query: &mut InQuery, api: &Api) -> When {
    let zone = zone(query, api).await;
    let from = query.parse("from", Moment::parse);
    let to = query.parse("to", Moment::parse);
    let now_s = unix_time_ms() / 1_000;
    let range = range(from, to, &zone, now_s).unwrap_or_else(|error| {
        query.fail("from", serde_json::Value::Null, error);
        TimeRange { from_s: 0, to_s: 1 }
    });
    When { range, zone }
}

async fn zone(query: &mut InQuery, api: &Api) -> TimeZone {
    let name = query.parse("zone", |name| match name.len() {
        1..=ZONE_BYTES => Ok(name.to_owned()),
        bytes => {
            Err(format!("it has {bytes} bytes; a name of at most {ZONE_BYTES} is expected, such as Europe/Berlin"))
        }
    });
    let Some(name) = name.filter(|name| name != "UTC") else { return TimeZone::UTC };
    // The operating system's database lies on the disk.
    let looked_up = api.blocking({
        let name = name.clone();
        move |_| Ok::<_, Problem>(find_zone(&name))
    });
    match looked_up.await {
        Ok(Ok(zone)) => zone,
        Ok(Err(reason)) => {
            query.fail("zone", name, reason);
            TimeZone::UTC
        }
        Err(problem) => {
            query.fail("zone", name, problem.detail());
            TimeZone::UTC
        }
    }
}

/// The time zone of a name.
///
/// # Errors
/// If there is none; says which one may be meant.
fn find_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let names: Vec<String> = jiff::tz::db().available().map(|known| known.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match unknown("time zone", name, &names) {
            named if named.contains("did you mean") => named,
            // There are hundreds of them.
            _ => format!("unknown time zone {}; give a name of the IANA database, such as Europe/Berlin", quoted(name)),
        }
    })
}

/// A time as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// In milliseconds since 1970.
    Time(u64),
    /// The beginning of a day.
    Date(Date),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            let date = text.parse().map_err(|_| format!("there is no day {}", quoted(text)))?;
            return Ok(Moment::Date(date));
        }
        time::parse(text).map(Moment::Time).map_err(|reason| match text {
            _ if reason.contains("lies") => reason,
            // What a `+` means in a query.
            text if text.contains(' ') => {
                format!("{} is no time; in a query, `+` is written as `%2B`", quoted(text))
            }
            text => format!(
                "{} is neither a time such as `2026-11-22T08:00:00Z` (RFC 3339) nor a day such as `2026-11-22`",
                quoted(text)
            ),
        })
    }

    /// In seconds since 1970, and whether there is a part of one more.
    fn seconds(self, zone: &TimeZone) -> Result<(u64, bool), String> {
        match self {
            // Days are counted in zones, and around the last one not all of these have a time.
            Moment::Time(ms) if Timestamp::MAX.as_second().unsigned_abs() <= ms / 1_000 => {
                Err(format!("`{}` lies at the end of 9999, beyond what clicks are counted by", time::text(ms)))
            }
            Moment::Time(ms) => Ok((ms / 1_000, ms % 1_000 > 0)),
            Moment::Date(date) => {
                let start = start_of(date, zone).and_then(|start| u64::try_from(start).ok());
                Ok((start.ok_or_else(|| format!("`{date}` lies before 1970 or after 9999"))?, false))
            }
        }
    }
}

/// When a day begins, in seconds since 1970. None if that is beyond what can be written.
pub(super) fn start_of(date: Date, zone: &TimeZone) -> Option<i64> {
    // Not every day begins at midnight.
    let zoned = date.to_zoned(zone.clone()).and_then(|midnight| midnight.start_of_day()).ok()?;
    Some(zoned.timestamp().as_second())
}

/// What is between two moments, or up to one, or up to now.
fn range(from: Option<Moment>, to: Option<Moment>, zone: &TimeZone, now_s: u64) -> Result<TimeRange, String> {
    // The second that has begun is in it.
    let (to_s, is_more) = to.map_or(Ok((now_s, true)), |to| to.seconds(zone))?;
    let to_s = to_s + u64::from(is_more);
    let from_s = match from {
        Some(from) => from.seconds(zone)?.0,
        None => usual_start(to_s, zone),
    };
    if from_s >= to_s {
        return Err("`from` has to lie before `to`, which is now if it is left out".to_owned());
    }
    if to_s - from_s > RANGE_DAYS * DAY_S {
        return Err(format!("more than {RANGE_DAYS} days lie between `from` and `to`; ask for parts"));
    }
    Ok(TimeRange { from_s, to_s })
}

/// The beginning of the day from which on there are the usual number up to a time.
fn usual_start(to_s: u64, zone: &TimeZone) -> u64 {
    let last = i64::try_from(to_s.saturating_sub(1)).ok().and_then(|last| Timestamp::from_second(last).ok());
    let first =
        last.and_then(|last| last.to_zoned(zone.clone()).date().checked_sub(Span::new().days(USUAL_DAYS - 1)).ok());
    let start = first.and_then(|first| start_of(first, zone));
    start.and_then(|start| u64::try_from(start).ok()).unwrap_or(0)
}

/// A time in a zone, as RFC 3339 has it.
pub(super) fn text(seconds: u64, zone: &TimeZone) -> String {
    let Some(time) = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()) else {
        return String::new();
    };
    match zone {
        utc if *utc == TimeZone::UTC => time.to_string(),
        zone => time.display_with_offset(zone.to_offset(time)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T07:30:00Z.
    const NOW_S: u64 = 1_795_332_600;

    fn asked(from: Option<&str>, to: Option<&str>, zone: &str) -> Result<(String, String), String> {
        let zone = find_zone(zone)?;
        let moment = |text: Option<&str>| text.map(Moment::parse).transpose();
        let TimeRange { from_s, to_s } = range(moment(from)?, moment(to)?, &zone, NOW_S)?;
        Ok((text(from_s, &zone), text(to_s, &zone)))
    }

    #[track_caller]
    fn holds(from: Option<&str>, to: Option<&str>, zone: &str, expected: (&str, &str)) {
        assert_eq!(asked(from, to, zone), Ok((expected.0.to_owned(), expected.1.to_owned())));
    }

    #[test]
    fn thirty_days_with_today_are_meant_unless_told_otherwise() {
        holds(None, None, "UTC", ("2026-10-24T00:00:00Z", "2026-11-22T07:30:01Z"));
        // The clocks went back on the 25th of October.
        holds(None, None, "Europe/Berlin", ("2026-10-24T00:00:00+02:00", "2026-11-22T08:30:01+01:00"));
        // Tokyo is further on in the day, and here it is the same day still.
        holds(None, None, "Asia/Tokyo", ("2026-10-24T00:00:00+09:00", "2026-11-22T16:30:01+09:00"));
        holds(None, Some("2026-03-01"), "UTC", ("2026-01-30T00:00:00Z", "2026-03-01T00:00:00Z"));
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        holds(
            Some("2026-10-01"),
            Some("2026-11-01"),
            "Europe/Berlin",
            ("2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"),
        );
        // There was no midnight in São Paulo when its summer began.
        holds(
            Some("2018-11-04"),
            Some("2018-11-05"),
            "America/Sao_Paulo",
            ("2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"),
        );
        // A part of a second is in it.
        holds(
            Some("2026-11-01T00:00:00.9Z"),
            Some("2026-11-01T00:00:01.1Z"),
            "UTC",
            ("2026-11-01T00:00:00Z", "2026-11-01T00:00:02Z"),
        );
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_way_out() {
        for (from, to, part) in [
            ("2026-11-23", None, "`from` has to lie before `to`"),
            ("2026-11-01", Some("2026-11-01"), "`from` has to lie before `to`"),
            ("2026-02-30", None, "there is no day `2026-02-30`"),
            ("yesterday", None, "nor a day such as `2026-11-22`"),
            ("2026-11-01T00:00:00 01:00", None, "`%2B`"),
            ("1969-12-31", None, "before 1970"),
            ("1969-12-31T00:00:00Z", None, "before 1970"),
            ("2000-01-01", None, "more than 3660 days"),
            ("9999-12-31T23:59:59-01:00", None, "9999"),
            ("9999-12-31T23:59:59Z", None, "9999"),
        ] {
            let error = asked(Some(from), to, "UTC").expect_err(from);
            assert!(error.contains(part), "{from}: {error}");
        }
        assert!(find_zone("Europe/Berln").unwrap_err().contains("did you mean `Europe/Berlin`?"));
        assert!(find_zone("../../etc/passwd").unwrap_err().contains("IANA"));
    }
}
