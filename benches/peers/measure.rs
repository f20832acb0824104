//! The run itself: start, verify, warm up, then slices in turn.

use crate::client;
use crate::launch;
use crate::links::Sample;
use crate::results::{Facts, Results};
use crate::servers::{Peer, Server, Site};
use crate::wrk::{Scenario, Slice, Wrk};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Length of the slice before the first round, in seconds: connections, buffers and the processor's clock settle.
const SETTLE_S: u64 = 1;

pub(crate) struct Plan {
    pub(crate) peers: Vec<Peer>,
    pub(crate) scenarios: Vec<Scenario>,
    /// Files of paths, one a round.
    pub(crate) samples: Vec<PathBuf>,
    /// What is in the one that touches the fewest links.
    pub(crate) sample: Sample,
    /// How long each sample is asked for before anything is measured, in seconds.
    pub(crate) settle: u64,
    /// Length of a slice, in seconds.
    pub(crate) seconds: u64,
}

/// Measures all servers that can be started; the others are named in the results.
pub(crate) fn run(plan: &Plan, site: &Site<'_>, wrk: &Wrk) -> Result<Results> {
    let mut results = Results::new(plan.scenarios.clone(), plan.sample, plan.samples.len());
    let mut servers = Vec::new();
    for &peer in &plan.peers {
        match prepare(peer, site) {
            Ok((server, facts)) => {
                servers.push(server);
                results.add(facts);
            }
            Err(error) => leave_out(&mut results, peer, format!("did not start: {error:#}"))?,
        }
    }
    ensure!(!servers.is_empty(), "no server could be started: {}", results.left_out_text());

    for (n, sample) in plan.samples.iter().enumerate().filter(|_| plan.settle > 0) {
        eprintln!("settling: {} of {} samples", n + 1, plan.samples.len());
        each_in_turn(&mut servers, n, &mut results, |server, _| {
            wrk.run(server, plan.scenarios[0], sample, plan.settle).map(drop)
        })?;
    }
    for (n, &scenario) in plan.scenarios.iter().enumerate() {
        eprintln!("settling: {} of {}, {}", n + 1, plan.scenarios.len(), scenario.label());
        each_in_turn(&mut servers, n, &mut results, |server, _| {
            wrk.run(server, scenario, &plan.samples[0], SETTLE_S).map(drop)
        })?;
    }
    let before: Vec<(Peer, f64)> =
        servers.iter().map(|server| Ok((server.peer, server.cpu_seconds()?))).collect::<Result<_>>()?;
    for (round, sample) in plan.samples.iter().enumerate() {
        for (n, &scenario) in plan.scenarios.iter().enumerate() {
            eprintln!("round {} of {}: {}", round + 1, plan.samples.len(), scenario.label());
            // Who goes first changes from round to round, so that nobody always follows the same neighbour's heat.
            each_in_turn(&mut servers, round + n, &mut results, |server, results| {
                let slice = wrk.run(server, scenario, sample, plan.seconds)?;
                say(server.peer, &slice);
                results.record(n, server.peer, round, slice);
                Ok(())
            })?;
        }
    }
    for server in &servers {
        let resident = server.resident_bytes()?;
        let before = before.iter().find(|(peer, _)| *peer == server.peer).map_or(0.0, |(_, seconds)| *seconds);
        let facts = results.facts_mut(server.peer);
        facts.resident_after = Some(resident);
        facts.cpu_seconds = Some(server.cpu_seconds()? - before);
    }
    Ok(results)
}

/// Starts a server, checks what it answers and asks it for every link.
pub(crate) fn prepare(peer: Peer, site: &Site<'_>) -> Result<(Server, Facts)> {
    eprintln!("{peer}: starting");
    let mut server = peer.start(site)?;
    let resident_loaded = server.resident_bytes()?;
    client::verify(peer, server.address, site.links).context("verifying")?;
    eprintln!("{peer}: loaded in {:.2} s, answers rightly; warming up", server.load.as_secs_f64());
    client::warm_up(peer, server.address, site.links).context("warming up")?;
    server.check_alive()?;
    let facts = Facts {
        peer,
        version: server.version.clone(),
        driver: server.driver.clone(),
        load: server.load,
        import: server.import,
        resident_loaded,
        resident_warm: server.resident_bytes()?,
        resident_after: None,
        cpu_seconds: None,
    };
    Ok((server, facts))
}

/// Gives each server its turn, beginning with number `first`; one that fails is left out from here on.
fn each_in_turn(
    servers: &mut Vec<Server>,
    first: usize,
    results: &mut Results,
    mut turn: impl FnMut(&mut Server, &mut Results) -> Result<()>,
) -> Result<()> {
    let count = servers.len();
    let mut failed = Vec::new();
    for n in 0..count {
        let server = &mut servers[(first + n) % count];
        if let Err(error) = turn(server, results) {
            leave_out(results, server.peer, format!("failed: {error:#}"))?;
            failed.push(server.peer);
        }
    }
    servers.retain(|server| !failed.contains(&server.peer));
    ensure!(!servers.is_empty(), "no server is left: {}", results.left_out_text());
    Ok(())
}

/// An interrupt makes everything fail; it ends the run, where a server's own failure does not.
fn leave_out(results: &mut Results, peer: Peer, why: String) -> Result<()> {
    launch::check_interrupt()?;
    eprintln!("{peer}: {why}");
    results.left_out.push((peer, why));
    Ok(())
}

fn say(peer: Peer, slice: &Slice) {
    let errors = match slice.errors.sum() {
        0 => String::new(),
        count => format!(", {count} ERRORS"),
    };
    eprintln!(
        "  {peer:8} {:>9.0} requests per CPU-second, {:>9.0} requests/s{errors}",
        slice.per_cpu_second(),
        slice.per_second()
    );
}
