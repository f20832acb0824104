//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub fn unix_time_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands before 1970");
    u64::try_from(since_epoch.as_millis()).expect("the clock stands before the year 584,556,019")
}
