//! How long each of many took.

use std::time::Duration;

/// All of them, in nanoseconds; what took longer than 4 seconds counts as that.
#[derive(Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
    }

    /// These parts of them took at most so long, in microseconds: 0.5 for the median, 1 for the longest.
    pub(crate) fn quantiles<const N: usize>(&mut self, parts: [f64; N]) -> [f64; N] {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1) as f64;
        parts.map(|part| self.0.get((last * part).ceil() as usize).map_or(f64::NAN, |&nanos| f64::from(nanos) / 1e3))
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}
