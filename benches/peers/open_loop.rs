//! How long answers take at a rate that does not wait for them, of Carom and of nginx.
//!
//! The rates are parts of what nginx can answer. Both servers get the same requests at the same rate, in slices that
//! take turns.

mod oha;
mod requests;
mod table;

use crate::launch::Cores;
use crate::load::{Connections, Pace};
use crate::machine::Machine;
use crate::measure::prepare;
use crate::servers::{Peer, Server, Site};
use crate::{Args, launch};
use anyhow::{Context, Result, bail, ensure};
use oha::Oha;
use requests::Requests;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use table::Table;

const PEERS: [Peer; 2] = [Peer::Carom, Peer::Nginx];
/// Over how many connections nginx shows what it can answer.
const PEAK_CONNECTIONS: usize = 64;
/// Before each slice, at its rate: connections and the processor's clock settle.
const SETTLE: Duration = Duration::from_millis(500);

/// What is asked of both servers.
#[derive(Clone, Copy)]
struct Case {
    connections: usize,
    /// Of what nginx can answer.
    share: f64,
}

/// For half and 80 % of the peak.
const LATENCY: [Case; 2] = [Case { connections: 64, share: 0.5 }, Case { connections: 64, share: 0.8 }];
/// The same rate over a hundred times the connections.
const MANY: [Case; 2] = [Case { connections: 100, share: 0.3 }, Case { connections: 10_000, share: 0.3 }];

/// What a server answers at most.
#[derive(Clone, Copy)]
struct Peak {
    per_second: f64,
    /// How busy its core was then: with less than all of it, the load generator was what limited it.
    busy: f64,
}

/// How long answers took in one slice, in microseconds.
#[derive(Clone, Copy)]
struct Slice {
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    per_second: f64,
    /// Requests that were due and not answered when the slice was over.
    late: u64,
}

/// Slices of a case, by server, by round.
type Slices = [Vec<Slice>; PEERS.len()];

/// Compares both and writes the results.
pub(crate) fn run(args: &Args, site: &Site<'_>, samples: &[PathBuf], cores: Cores, out: &Path) -> Result<()> {
    let cases = if args.many_connections { MANY } else { LATENCY };
    let oha = args.oha.then(|| Oha::find(site.folder, cores.load)).transpose()?;
    let mut servers = Vec::new();
    for peer in PEERS {
        servers.push(prepare(peer, site).with_context(|| peer.name())?.0);
    }
    let load = Load { core: cores.load, sleeping: cores.shared(), seconds: args.seconds, oha };
    let nginx = &servers[1];
    let peak = load.peak(nginx, &samples[0])?;
    let Peak { per_second, busy } = peak;
    eprintln!(
        "nginx answers {per_second:.0} requests/s over {PEAK_CONNECTIONS} connections, its core {:.0} % busy",
        busy * 100.0
    );

    let mut results: Vec<Slices> = cases.iter().map(|_| Slices::default()).collect();
    for (round, sample) in samples.iter().enumerate() {
        for (n, case) in cases.iter().enumerate() {
            for turn in 0..PEERS.len() {
                // Who goes first changes from round to round.
                let place = (round + turn) % PEERS.len();
                let server = &mut servers[place];
                let slice = load.slice(server, *case, per_second * case.share, sample)?;
                say(server.peer, *case, &slice);
                results[n][place].push(slice);
            }
        }
    }

    let wrong = results.iter().flatten().flatten().map(|slice| slice.late).sum::<u64>();
    let table = Table { cases: &cases, results: &results, peak, is_many: args.many_connections };
    let generator = load.oha.as_ref().map_or("own open loop", |oha| &oha.version).to_owned();
    let machine = Machine::look(cores, generator);
    let markdown = table.markdown(&machine, &servers, site.links.len(), args.rounds, args.seconds)?;
    let json = json!({
        "date": machine.date, "cpu": machine.cpu, "kernel": machine.kernel, "generator": machine.wrk,
        "links": site.links.len(), "nginx_peak_per_second": per_second, "nginx_busy_at_peak": busy, "cases": table.json(),
    });
    let name = args.name();
    fs::write(out.join(format!("{name}.json")), format!("{json:#}\n"))?;
    fs::write(out.join(format!("{name}.md")), &markdown)?;
    print!("\n{markdown}");
    println!("\nWritten: {name}.json and {name}.md in {}", out.display());
    ensure!(!args.all || wrong == 0, "{wrong} requests were not answered in time");
    Ok(())
}

fn say(peer: Peer, case: Case, slice: &Slice) {
    let Slice { p50_us, p99_us, p999_us, per_second, late } = slice;
    eprintln!(
        "  {peer:8} {:>6} connections, {per_second:>8.0} requests/s: p50 {p50_us:.0}, p99 {p99_us:.0}, p99.9 {p999_us:.0} µs; {late} late",
        case.connections
    );
}

/// Where requests come from.
struct Load {
    core: usize,
    /// Whether the core has other things to do.
    sleeping: bool,
    /// Length of a slice.
    seconds: u64,
    oha: Option<Oha>,
}

impl Load {
    /// What a server answers when the next request on each connection follows at once.
    fn peak(&self, server: &Server, sample: &Path) -> Result<Peak> {
        let mut peaks = Vec::new();
        for _ in 0..3 {
            let (length, no_stop) = (Duration::from_secs(self.seconds), AtomicBool::new(false));
            let before = server.cpu_seconds()?;
            let outcome = self.on_core(|| {
                let mut requests = Requests::read(sample)?;
                let mut connections = Connections::open(server.address, PEAK_CONNECTIONS)?;
                connections.run(&mut requests, Pace::Saturating, length, &no_stop)
            })?;
            ensure!(outcome.wrong == 0, "{} of {} answers are no redirects", outcome.wrong, outcome.answers);
            let busy = (server.cpu_seconds()? - before) / outcome.elapsed.as_secs_f64();
            peaks.push(Peak { per_second: outcome.per_second(), busy });
        }
        peaks.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
        Ok(peaks[peaks.len() / 2])
    }

    /// One slice of a case.
    fn slice(&self, server: &mut Server, case: Case, rate: f64, sample: &Path) -> Result<Slice> {
        launch::check_interrupt()?;
        server.check_alive()?;
        if let Some(oha) = &self.oha {
            return oha.slice(server, case.connections, rate, self.seconds, sample);
        }
        let (length, no_stop) = (Duration::from_secs(self.seconds), AtomicBool::new(false));
        let mut outcome = self.on_core(|| {
            let mut requests = Requests::read(sample)?;
            let mut connections = Connections::open(server.address, case.connections)?;
            let pace = Pace::PerSecond { rate, sleeping: self.sleeping };
            connections.run(&mut requests, pace, SETTLE, &no_stop)?;
            connections.run(&mut requests, pace, length, &no_stop)
        })?;
        if let Some(wrong) = &outcome.first_wrong {
            bail!("{} of {} answers of {} are no redirects: {wrong}", outcome.wrong, outcome.answers, server.peer);
        }
        let [p50_us, p99_us, p999_us] = outcome.latencies.quantiles([0.5, 0.99, 0.999]);
        Ok(Slice { p50_us, p99_us, p999_us, per_second: outcome.per_second(), late: outcome.late })
    }

    /// Does something on a thread of its own, on the load's core.
    fn on_core<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut cores = CpuSet::new();
                cores.set(self.core);
                sched_setaffinity(None, &cores).context("choosing a core")?;
                work()
            });
            thread.join().expect("a load does not panic")
        })
    }
}
