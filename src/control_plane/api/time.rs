//! Times as the API has them: RFC 3339.

use jiff::Timestamp;

use super::problem::quoted;

/// Most milliseconds since the Unix epoch that can be written: the last that jiff knows, two days before
/// the end of the year 9999.
const LATEST_MS: u64 = 253_402_207_200_000;

/// The time of so many milliseconds since the Unix epoch, in UTC.
pub(crate) fn text(ms: u64) -> String {
    let ms = i64::try_from(ms.min(LATEST_MS)).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

/// Reads a time; in milliseconds since the Unix epoch.
///
/// # Errors
/// If it is none, or lies before 1970.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("{} is no time; write it as in `2030-12-31T23:59:59Z` (RFC 3339)", quoted(text));
    let time: Timestamp = text.parse().map_err(|_| wrong())?;
    let ms = u64::try_from(time.as_millisecond()).ok().filter(|ms| *ms <= LATEST_MS);
    ms.ok_or_else(|| format!("{} lies before 1970 or after 9999", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_themselves() {
        for (written, ms, shown) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000Z"),
            ("2030-12-31T23:59:59.5+01:00", 1_924_988_399_500, "2030-12-31T22:59:59.500Z"),
        ] {
            assert_eq!(parse(written).unwrap(), ms);
            assert_eq!(text(ms), shown);
            assert_eq!(parse(&text(ms)).unwrap(), ms);
        }
        assert_eq!(parse(&text(u64::MAX)).unwrap(), LATEST_MS);
        for wrong in ["", "tomorrow", "2030-12-31", "2030-12-31T23:59:59", "1969-12-31T23:59:59Z"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
