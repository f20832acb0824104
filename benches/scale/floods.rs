//! Load on a server, and what it costs there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};

use crate::links::{Asking, Choice};
use crate::load::{Connections, Outcome, Pace};
use crate::server::Server;

/// Connections of a flood.
pub(crate) const CONNECTIONS: usize = 64;
/// Connections over which every link is asked for: more, since there is nothing to measure.
const WARMING_CONNECTIONS: usize = 256;
/// So many links stay in a worker's own cache.
pub(crate) const HOT_LINKS: u64 = 50_000;
/// Links that are asked for beside a flood, over so many connections.
const PROBED_LINKS: u64 = 100;
const PROBE_CONNECTIONS: usize = 16;
/// How much nicer a flood is than the thread beside it that measures time, so that this has the core when it needs it. Not the
/// most that there is: what such a thread has sent would lie in the kernel when something else keeps it from going on.
const NICENESS: i32 = 10;

/// Asks for each link up to `end`, so that caches hold them.
pub(crate) fn ask_for_each(server: &Server, end: u64, links: u64) -> Result<()> {
    let mut asking = Asking::new(Choice::Each(0, end), links, 0);
    let long = Duration::from_secs(3_600);
    let mut connections = Connections::open(server.address, WARMING_CONNECTIONS)?;
    let outcome = connections.run(&mut asking, Pace::Saturating, long, &AtomicBool::new(false))?;
    all_right(&outcome)?;
    ensure!(outcome.answers == end, "{} answers to {end} requests", outcome.answers);
    Ok(())
}

/// One kind of requests at a server for some time, from one core.
pub(crate) struct Flood {
    pub(crate) choice: Choice,
    pub(crate) pace: Pace,
    pub(crate) length: Duration,
    pub(crate) seed: u64,
}

/// What a flood came to.
pub(crate) struct Flooded {
    pub(crate) outcome: Outcome,
    /// Of the server, user and system.
    pub(crate) cpu_seconds: f64,
}

impl Flooded {
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.outcome.answers as f64 / self.cpu_seconds
    }
}

impl Flood {
    /// Floods a server from one core.
    pub(crate) fn run(self, server: &Server, links: u64, core: usize) -> Result<Flooded> {
        crate::launch::check_interrupt()?;
        let before = server.cpu_seconds()?;
        let outcome = on_thread(core, || self.ask(server, links, &AtomicBool::new(false)))?;
        let cpu_seconds = server.cpu_seconds()? - before;
        all_right(&outcome)?;
        Ok(Flooded { outcome, cpu_seconds })
    }

    /// The same with probes beside it: few links, asked for at a fixed rate. The second is what came of these.
    pub(crate) fn run_with_probes(
        self,
        server: &Server,
        links: u64,
        core: usize,
        per_second: u64,
    ) -> Result<(Flooded, Outcome)> {
        let (length, seed) = (self.length, self.seed);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let before = server.cpu_seconds()?;
            let flooding = scope.spawn(|| {
                on_thread(core, || {
                    rustix::process::nice(NICENESS).context("lowering a priority")?;
                    self.ask(server, links, &stop)
                })
            });
            let probed = probe(server, links, core, per_second, length, seed);
            stop.store(true, Ordering::Relaxed);
            let outcome = flooding.join().expect("a flood does not panic")?;
            let cpu_seconds = server.cpu_seconds()? - before;
            all_right(&outcome)?;
            Ok((Flooded { outcome, cpu_seconds }, probed?))
        })
    }

    fn ask(&self, server: &Server, links: u64, stop: &AtomicBool) -> Result<Outcome> {
        let mut asking = Asking::new(self.choice, links, self.seed);
        Connections::open(server.address, CONNECTIONS)?.run(&mut asking, self.pace, self.length, stop)
    }
}

/// Asks for few links at a fixed rate, from one core.
pub(crate) fn probe(
    server: &Server,
    links: u64,
    core: usize,
    per_second: u64,
    length: Duration,
    seed: u64,
) -> Result<Outcome> {
    crate::launch::check_interrupt()?;
    let outcome = on_thread(core, || {
        // Else sleeps are up to 50 µs too long, which is as long as an answer takes.
        set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        let mut asking = Asking::new(Choice::Uniform(0, PROBED_LINKS), links, seed);
        let pace = Pace::PerSecond { rate: per_second as f64, sleeping: true };
        Connections::open(server.address, PROBE_CONNECTIONS)?.run(&mut asking, pace, length, &AtomicBool::new(false))
    })?;
    all_right(&outcome)?;
    Ok(outcome)
}

/// Runs on a thread of its own, on one core.
fn on_thread<T: Send>(core: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut cores = CpuSet::new();
            cores.set(core);
            sched_setaffinity(None, &cores).context("choosing a core")?;
            work()
        });
        thread.join().expect("a load does not panic")
    })
}

/// A wrong answer ends the run.
pub(crate) fn all_right(outcome: &Outcome) -> Result<()> {
    let first = outcome.first_wrong.as_deref().unwrap_or_default();
    ensure!(outcome.wrong == 0, "{} of {} answers are wrong; the first: {first}", outcome.wrong, outcome.answers);
    Ok(())
}
