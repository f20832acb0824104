//! Requests for links that the cache lacks, and what other requests notice of them.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::floods::{Flood, HOT_LINKS, ask_for_each, probe};
use crate::links::Choice;
use crate::load::Pace;
use crate::report::Report;
use crate::server::{Server, Setup};
use crate::{Bench, median};

const GOAL_PER_CPU_SECOND: f64 = 60_000.0;
/// Of the 99th percentile beside misses to that at rest.
const GOAL_RATIO: f64 = 2.0;
/// A cache is as full as it gets once so many times the links that it has room for were asked for.
const FILLING: f64 = 1.5;

/// What runs beside the requests that are timed.
struct Beside {
    name: &'static str,
    choice: Choice,
    pace: Pace,
    per_cpu_second: Vec<f64>,
    per_second: Vec<f64>,
    p99_us: Vec<f64>,
    /// To the one at rest, round by round.
    ratio: Vec<f64>,
}

impl Beside {
    fn new(name: &'static str, choice: Choice, pace: Pace) -> Self {
        let none = Vec::new;
        Self { name, choice, pace, per_cpu_second: none(), per_second: none(), p99_us: none(), ratio: none() }
    }
}

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let (args, links, core) = (bench.args, bench.data.links, bench.cores.load);
    let setup = Setup { cache_mib: bench.cache_mib(args.cache_links), preload: false, ..bench.full() };
    let server = Server::start(&setup)?;
    let all = Choice::Uniform(0, links);
    let hot = Choice::Uniform(0, HOT_LINKS.min(links));
    let asked = fill(bench, &server, all)?;
    // It is built once, and gives way to requests: beside these it would take until long after the measurement has begun.
    server.wait_for_filter(&setup)?;
    ask_for_each(&server, HOT_LINKS.min(links), links)?;

    let mut sides = [
        Beside::new("as many hits as can be", hot, Pace::Saturating),
        Beside::new("misses at a fixed rate", all, Pace::PerSecond { rate: args.miss_rate as f64, sleeping: true }),
        Beside::new("as many misses as can be", all, Pace::Saturating),
    ];
    let mut at_rest = Vec::new();
    let mut asked = asked;
    for round in 0..args.rounds {
        let [rest] = probe(&server, links, core, args.probes, bench.length(), round)?.latencies.quantiles([0.99]);
        at_rest.push(rest);
        for (n, side) in sides.iter_mut().enumerate() {
            let seed = 100 + round * 10 + n as u64;
            let flood = Flood { choice: side.choice, pace: side.pace, length: bench.length(), seed };
            let (flooded, mut probed) = flood.run_with_probes(&server, links, core, args.probes)?;
            // The probes' own requests are hits, and few.
            side.per_cpu_second.push(flooded.per_cpu_second());
            side.per_second.push(flooded.outcome.per_second());
            let [p99] = probed.latencies.quantiles([0.99]);
            side.p99_us.push(p99);
            side.ratio.push(p99 / rest);
            if n > 0 {
                asked += flooded.outcome.answers;
            }
        }
    }
    let reads = server.end()?;

    let [_, _, saturating] = &sides;
    let rate = median(saturating.per_cpu_second.clone());
    let text = format!("{rate:.0}");
    report.judge("uniform keys, requests per CPU-second", "≥ 60,000", text, rate >= GOAL_PER_CPU_SECOND);
    report.say("… with a cache for", format!("{} of {links} links, {} MiB", args.cache_links, setup.cache_mib));
    report
        .say("… lookups of the store", format!("{reads} for {asked} requests of any link, and for hits between them"));
    report.say("other requests' p99, at rest", format!("{:.0} µs", median(at_rest.clone())));
    for side in &sides {
        let what = format!("… beside {}, {:.0}/s", side.name, median(side.per_second.clone()));
        let ratio = median(side.ratio.clone());
        let text = format!("{:.0} µs, {ratio:.2} × at rest", median(side.p99_us.clone()));
        if side.name.contains("misses") {
            report.judge(&what, "≤ 2 ×", text, ratio <= GOAL_RATIO);
        } else {
            report.say(what, text);
        }
    }
    let details = sides.iter().map(|side| {
        json!({
            "beside": side.name, "per_cpu_second": side.per_cpu_second, "per_second": side.per_second,
            "p99_us": side.p99_us, "to_rest": side.ratio,
        })
    });
    report.detail(
        "misses",
        json!({
            "at_rest_p99_us": at_rest, "sides": details.collect::<Vec<_>>(), "asked": asked, "store_reads": reads,
            "cache_mib": setup.cache_mib,
        }),
    );
    Ok(())
}

/// Asks until the cache is as full as it gets, or the time for it is over. How many requests that were.
fn fill(bench: &Bench<'_>, server: &Server, all: Choice) -> Result<u64> {
    let wanted = (bench.args.cache_links as f64 * FILLING) as u64;
    let mut asked = 0;
    for second in 0..bench.args.settle {
        if asked >= wanted {
            break;
        }
        let flood = Flood { choice: all, pace: Pace::Saturating, length: Duration::from_secs(1), seed: 1_000 + second };
        asked += flood.run(server, bench.data.links, bench.cores.load)?.outcome.answers;
    }
    Ok(asked)
}
