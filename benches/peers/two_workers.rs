//! Whether a redirect costs more CPU time where two workers share a process.
//!
//! Both cores are shared with the load, and each worker has as many connections, half of them from its own core and
//! half from the other: one worker alone; two workers; and, to tell apart what two busy cores take from each other, two
//! servers of one worker each, which share nothing but the machine.

use crate::launch::Cores;
use crate::machine::Machine;
use crate::markdown::thousands;
use crate::measure::prepare;
use crate::results::Spread;
use crate::servers::{Peer, Server, Site};
use crate::wrk::{Load, Scenario, Wrk};
use crate::{Args, launch};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Connections of each worker, from each of the two cores.
const CONNECTIONS: usize = 32;
const PEERS: [Peer; 3] = [Peer::Carom, Peer::CaromTwo, Peer::CaromOther];
/// Requests per CPU-second of two workers to those of one.
const GOAL: f64 = 0.95;

/// What is compared: which of the servers, and how many workers each has.
const ARMS: [(&str, &[usize], usize); 3] =
    [("one worker", &[0], 1), ("two workers", &[1], 2), ("two servers of one worker", &[0, 2], 1)];

#[derive(Clone, Copy)]
struct Slice {
    requests: u64,
    cpu_seconds: f64,
    per_second: f64,
}

impl Slice {
    fn per_cpu_second(&self) -> f64 {
        self.requests as f64 / self.cpu_seconds
    }
}

/// Measures and writes the results.
pub(crate) fn run(
    args: &Args,
    site: &Site<'_>,
    samples: &[PathBuf],
    wrk: &Wrk,
    cores: Cores,
    out: &Path,
) -> Result<()> {
    ensure!(!cores.shared(), "two workers need two cores");
    let mut servers = Vec::new();
    for peer in PEERS {
        servers.push(prepare(peer, site).with_context(|| peer.name())?.0);
    }
    let mut results: [Vec<Slice>; ARMS.len()] = Default::default();
    for (round, sample) in samples.iter().enumerate() {
        eprintln!("round {} of {}", round + 1, samples.len());
        for turn in 0..ARMS.len() {
            // Who goes first changes from round to round.
            let arm = (round + turn) % ARMS.len();
            launch::check_interrupt()?;
            let slice = slice(&mut servers, arm, wrk, cores, sample, args.seconds)?;
            eprintln!("  {:25} {:>9.0} requests per CPU-second", ARMS[arm].0, slice.per_cpu_second());
            results[arm].push(slice);
        }
    }
    let machine = Machine::look(cores, wrk.version.clone());
    let markdown = markdown(&machine, &servers, &results, site.links.len(), args)?;
    let slices = |slices: &[Slice]| -> Vec<_> {
        let each = slices.iter().map(|slice| {
            json!({"requests": slice.requests, "cpu_seconds": slice.cpu_seconds, "per_second": slice.per_second})
        });
        each.collect()
    };
    let arms = ARMS.iter().zip(&results).map(|(arm, results)| json!({"name": arm.0, "slices": slices(results)}));
    let json = json!({
        "date": machine.date, "cpu": machine.cpu, "kernel": machine.kernel, "wrk": machine.wrk,
        "links": site.links.len(), "slice_s": args.seconds, "arms": arms.collect::<Vec<_>>(),
    });
    let name = args.name();
    fs::write(out.join(format!("{name}.json")), format!("{json:#}\n"))?;
    fs::write(out.join(format!("{name}.md")), &markdown)?;
    print!("\n{markdown}");
    println!("\nWritten: {name}.json and {name}.md in {}", out.display());
    Ok(())
}

fn slice(servers: &mut [Server], arm: usize, wrk: &Wrk, cores: Cores, sample: &Path, seconds: u64) -> Result<Slice> {
    let (name, members, workers) = ARMS[arm];
    let mut asked: Vec<&mut Server> = Vec::new();
    let mut loads = Vec::new();
    for (_, server) in servers.iter_mut().enumerate().filter(|(n, _)| members.contains(n)) {
        for core in [cores.server, cores.load] {
            let scenario = Scenario::keeping(CONNECTIONS * workers);
            loads.push(Load { address: server.address, scenario, core });
        }
        asked.push(server);
    }
    let slices = wrk.run_all(&mut asked, &loads, sample, seconds)?;
    let errors = slices.iter().map(|slice| slice.errors.sum()).sum::<u64>();
    ensure!(errors == 0, "{name}: {errors} errors");
    Ok(Slice {
        requests: slices.iter().map(|slice| slice.requests).sum(),
        // Each has that of all.
        cpu_seconds: slices.first().context("a load")?.cpu_seconds,
        per_second: slices.iter().map(|slice| slice.per_second()).sum(),
    })
}

fn markdown(
    machine: &Machine,
    servers: &[Server],
    results: &[Vec<Slice>; ARMS.len()],
    links: usize,
    args: &Args,
) -> Result<String> {
    let Machine { cpu, kernel, date, cores, wrk } = machine;
    let mut out = String::new();
    writeln!(
        out,
        "{date}, {cpu}, Linux {kernel}; workers and {wrk} share cores {} and {}.\n{}. {} links; {} connections a worker; {} rounds of {} s.\n",
        cores.server,
        cores.load,
        servers[0].version,
        thousands(links as f64),
        CONNECTIONS * 2,
        args.rounds,
        args.seconds
    )?;
    writeln!(out, "| | requests per CPU-second (smallest–largest) | requests/s |\n| --- | ---: | ---: |")?;
    for ((name, ..), slices) in ARMS.iter().zip(results) {
        let spread = |figure: fn(&Slice) -> f64| Spread::of(slices.iter().map(figure).collect());
        let (Some(cpu), Some(rate)) = (spread(Slice::per_cpu_second), spread(|slice| slice.per_second)) else {
            continue;
        };
        let [median, min, max, rate] = [cpu.median, cpu.min, cpu.max, rate.median].map(thousands);
        writeln!(out, "| {name} | {median} ({min}–{max}) | {rate} |")?;
    }
    writeln!(out, "\n| | goal | measured (smallest–largest of the rounds) | |\n| --- | ---: | ---: | --- |")?;
    let [one, two, apart] = results;
    for (what, goal, one, other) in [
        ("two workers to one", Some(GOAL), two, one),
        ("two workers to two servers", None, two, apart),
        ("two servers to one", None, apart, one),
    ] {
        let ratios = one.iter().zip(other).map(|(one, other)| one.per_cpu_second() / other.per_cpu_second());
        let Some(Spread { median, min, max, .. }) = Spread::of(ratios.collect()) else { continue };
        let met = goal.map_or("", |goal| if median >= goal { "met" } else { "missed" });
        let goal = goal.map_or_else(String::new, |goal| format!("≥ {goal}"));
        writeln!(out, "| {what} | {goal} | {median:.3} ({min:.3}–{max:.3}) | {met} |")?;
    }
    Ok(out)
}
