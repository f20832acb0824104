//! What this process and its threads have had of the processor.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time by the name of the thread; those with the same name together.
#[derive(Clone, Default)]
pub(crate) struct CpuTimes(BTreeMap<String, Duration>);

impl CpuTimes {
    /// Until now, of all threads that are there.
    pub(crate) fn now() -> Result<Self> {
        let mut times = BTreeMap::new();
        for task in std::fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            // A thread may end between the two.
            let Ok(name) = std::fs::read_to_string(path.join("comm")) else { continue };
            let Ok(schedule) = std::fs::read_to_string(path.join("schedstat")) else { continue };
            *times.entry(name.trim().to_owned()).or_default() += on_cpu(&schedule)?;
        }
        Ok(CpuTimes(times))
    }

    /// Adds others.
    pub(crate) fn add(&mut self, others: &CpuTimes) {
        for (name, time) in &others.0 {
            *self.0.entry(name.clone()).or_default() += *time;
        }
    }

    /// Of a thread, by its name, of which the kernel keeps 15 bytes.
    pub(crate) fn of(&self, name: &str) -> Duration {
        self.0.get(&name[..name.len().min(15)]).copied().unwrap_or_default()
    }
}

/// Of this thread, until now.
pub(crate) fn own() -> Result<Duration> {
    on_cpu(&std::fs::read_to_string("/proc/thread-self/schedstat")?)
}

/// Of all threads, also those that have ended, until now; to 10 ms.
pub(crate) fn of_process() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is a name, which may hold anything; user and system time are fields 14 and 15 (proc(5)).
    let (_, rest) = stat.rsplit_once(')').context("/proc/self/stat has no name")?;
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0)).sum();
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

fn on_cpu(schedule: &str) -> Result<Duration> {
    let ns = schedule.split(' ').next().and_then(|ns| ns.parse().ok()).context("schedstat of a thread")?;
    Ok(Duration::from_nanos(ns))
}
