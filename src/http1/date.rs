//! The `Date` field's format.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// 9999-12-31 23:59:59 UTC, the last second an IMF-fixdate can name: its year has four digits.
const LAST_SECOND: u64 = 253_402_300_799;

/// Formats a time in seconds since 1970-01-01 00:00:00 UTC as an IMF-fixdate (RFC 9110 §5.6.7), such as
/// `Sun, 06 Nov 1994 08:49:37 GMT`. A time after the year 9999 is shown as the last second of that year.
///
/// Costs about as much as parsing a request: call it once a second, not once an answer.
pub fn imf_fixdate(unix_seconds: u64) -> [u8; 29] {
    let time = UNIX_EPOCH + Duration::from_secs(unix_seconds.min(LAST_SECOND));
    let mut date = [0; 29];
    // The format has a fixed length, so it always fits.
    let written = write!(&mut date[..], "{}", httpdate::HttpDate::from(time));
    debug_assert!(written.is_ok());
    date
}
