//! A flood of requests for what is not there, in turns with hits.

use anyhow::Result;
use serde_json::json;

use crate::floods::{Flood, HOT_LINKS, ask_for_each};
use crate::links::{Choice, MOST};
use crate::load::Pace;
use crate::report::Report;
use crate::server::Server;
use crate::{Bench, median};

/// Of requests per CPU-second, unknown keys to hits.
const GOAL_RATIO: f64 = 0.9;

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let (links, core) = (bench.data.links, bench.cores.load);
    let hot = HOT_LINKS.min(links);
    let server = Server::start(&bench.full())?;
    ask_for_each(&server, hot, links)?;
    let (mut hits, mut unknown, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut flooded = 0;
    // The round before the first is not counted: connections, buffers and the processor's clock settle.
    for round in 0..=bench.args.rounds {
        let run = |choice, seed| -> Result<_> {
            let flood = Flood { choice, pace: Pace::Saturating, length: bench.length(), seed };
            let flood = flood.run(&server, links, core)?;
            Ok((flood.per_cpu_second(), flood.outcome.answers))
        };
        let hit = || run(Choice::Uniform(0, hot), round);
        let absent = || run(Choice::Uniform(links, MOST), round);
        // Who goes first changes from round to round.
        let (hit, absent) = if round % 2 == 0 {
            let hit = hit()?;
            (hit, absent()?)
        } else {
            let absent = absent()?;
            (hit()?, absent)
        };
        flooded += absent.1;
        if round > 0 {
            hits.push(hit.0);
            unknown.push(absent.0);
            ratios.push(absent.0 / hit.0);
        }
    }
    // What is not in the cache from the start is read once.
    let expected = if bench.preloads { 0 } else { hot };
    let reads = server.end()?.saturating_sub(expected);

    let ratio = median(ratios.clone());
    report.say("hits, requests per CPU-second", format!("{:.0}", median(hits.clone())));
    report.say("unknown keys, requests per CPU-second", format!("{:.0}", median(unknown.clone())));
    report.judge("… to hits", "≥ 0.9", format!("{ratio:.2}"), ratio >= GOAL_RATIO);
    let share = reads as f64 / flooded as f64 * 100.0;
    report.judge("… reads of the store", "0", format!("{reads} of {flooded}, {share:.2} %"), reads == 0);
    report.detail(
        "unknown",
        json!({"hits": hits, "unknown": unknown, "ratios": ratios, "asked": flooded, "store_reads": reads}),
    );
    Ok(())
}
