//! Where and when a run was made.

use crate::launch::Cores;
use crate::procfs;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    /// UTC, as in RFC 3339.
    pub(crate) date: String,
    pub(crate) cores: Cores,
    pub(crate) wrk: String,
}

impl Machine {
    pub(crate) fn look(cores: Cores, wrk: String) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { cpu: procfs::cpu_model(), kernel: procfs::kernel(), date: date(now), cores, wrk }
    }
}

/// Seconds since 1970 as a date. The years are counted from March, so that the leap day is their last:
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn date(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}
