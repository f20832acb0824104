//! Times as the API has them: RFC 3339.

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};

use super::problem::quoted;

/// Most milliseconds since the Unix epoch that can be written: the last of the year 9999.
const LATEST_MS: u64 = 253_402_300_799_999;

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// The time of so many milliseconds since the Unix epoch, in UTC.
pub(crate) fn text(ms: u64) -> String {
    let since = SignedDuration::from_millis(i64::try_from(ms.min(LATEST_MS)).unwrap_or(i64::MAX));
    format!("{:.3}Z", EPOCH.saturating_add(since))
}

/// Reads a time; in milliseconds since the Unix epoch.
///
/// # Errors
/// If it is none, or lies before 1970 or after 9999 in UTC.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let ms = read(text)
        .ok_or_else(|| format!("{} is no time; write it as in `2030-12-31T23:59:59Z` (RFC 3339)", quoted(text)))?;
    let ms = u64::try_from(ms).ok().filter(|ms| *ms <= LATEST_MS);
    ms.ok_or_else(|| {
        let latest = self::text(LATEST_MS);
        format!(
            "{} lies before 1970 or after 9999; the earliest time is `{}`, the latest `{latest}`",
            quoted(text),
            self::text(0)
        )
    })
}

/// Milliseconds since the Unix epoch, if it is `2030-12-31T23:59:59Z` or like it (RFC 3339 §5.6).
fn read(text: &str) -> Option<i128> {
    if !text.is_ascii() || text.len() < "2030-12-31T23:59:59Z".len() {
        return None;
    }
    let (whole, rest) = text.split_at("2030-12-31T23:59:59".len());
    let has_shape = whole.bytes().zip("0000-00-00T00:00:00".bytes()).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte.eq_ignore_ascii_case(&shape),
    });
    if !has_shape {
        return None;
    }
    let (fraction, offset) = rest.split_at(rest.find(|at: char| at != '.' && !at.is_ascii_digit())?);
    let fraction_ms = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        None => return None,
        Some(digits) if digits.is_empty() || digits.contains('.') => return None,
        // What is finer is cut off.
        Some(digits) => format!("{digits}00")[..3].parse::<i128>().ok()?,
    };
    let time: DateTime = whole.to_ascii_uppercase().parse().ok()?;
    let ms = time.duration_since(EPOCH).as_millis() + fraction_ms;
    Some(ms - i128::from(offset_minutes(offset)?) * 60_000)
}

/// How far ahead of UTC it is: `Z`, `+01:00` or `-01:00`.
fn offset_minutes(offset: &str) -> Option<i32> {
    if offset.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, [h1, h2, b':', m1, m2]) = offset.as_bytes().split_first().map(|(sign, rest)| (*sign, rest))? else {
        return None;
    };
    let number = |tens: &u8, ones: &u8| {
        let digit = |byte: &u8| char::from(*byte).to_digit(10).and_then(|digit| i32::try_from(digit).ok());
        Some(digit(tens)? * 10 + digit(ones)?)
    };
    let (hours, minutes) = (number(h1, h2)?, number(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b'+' => Some(hours * 60 + minutes),
        b'-' => Some(-(hours * 60 + minutes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_themselves() {
        for (written, ms, shown) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000Z"),
            ("2030-12-31T23:59:59.5+01:00", 1_924_988_399_500, "2030-12-31T22:59:59.500Z"),
            ("2030-12-31t22:59:59.500999999999z", 1_924_988_399_500, "2030-12-31T22:59:59.500Z"),
            ("1969-12-31T23:30:00.25-00:45", 900_250, "1970-01-01T00:15:00.250Z"),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000, "2016-12-31T23:59:59.000Z"),
            // What people write for never.
            ("9999-12-31T23:59:59Z", 253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:59.999Z", LATEST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(parse(written), Ok(ms), "{written}");
            assert_eq!(text(ms), shown);
            assert_eq!(parse(&text(ms)), Ok(ms));
        }
        assert_eq!(parse(&text(u64::MAX)), Ok(LATEST_MS));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            "",
            "tomorrow",
            "2030-12-31",
            "2030-12-31T23:59:59",
            "2030-12-31 23:59:59Z",
            "2030-12-31T23:59Z",
            "2030-12-31T23:59:59+01:00[Europe/Berlin]",
            "2030-12-31T23:59:59+0100",
            "2030-12-31T23:59:59 01:00",
            "2030-12-31T23:59:59+24:00",
            "2030-12-31T23:59:59.Z",
            "2030-12-31T23:59:59.1.2Z",
            "2030-12-31T23:59:595Z",
            "2030-02-30T00:00:00Z",
            "2030-12-31T24:00:00Z",
            "+2030-12-31T23:59:5Z",
            "2030-12-31T23:59:59\u{ff3a}",
        ] {
            assert!(parse(wrong).is_err_and(|error| error.contains("is no time")), "{wrong}");
        }
        for beyond in ["1969-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z"] {
            assert!(
                parse(beyond).is_err_and(|error| error.contains("the latest `9999-12-31T23:59:59.999Z`")),
                "{beyond}"
            );
        }
    }
}
