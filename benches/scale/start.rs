//! From the start of the program to the first right answer.

use anyhow::Result;
use serde_json::json;

use crate::report::Report;
use crate::server::{Server, Setup};
use crate::{Bench, median};

/// With the cache filled before, and without, in seconds.
const GOALS_S: [(bool, &str, f64); 2] = [(false, "≤ 1", 1.0), (true, "≤ 5", 5.0)];

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let cores = [bench.cores.server, bench.cores.load];
    // One first, which leaves the files in the page cache.
    Server::start(&Setup { cores: &cores, preload: false, ..bench.full() })?.end()?;
    let mut details = Vec::new();
    for (preload, goal, goal_s) in GOALS_S {
        if preload && !bench.preloads {
            report.say("start with preloading", "not measured");
            continue;
        }
        let mut runs = Vec::new();
        for round in 0..bench.args.rounds {
            // Another link each time, somewhere among all.
            let first = (round + 1).wrapping_mul(0x9e37_79b9) % bench.data.links;
            let server = Server::start(&Setup { cores: &cores, workers: 2, preload, first, ..bench.full() })?;
            runs.push(server.first_answer.as_secs_f64());
            server.end()?;
        }
        let middle = median(runs.clone());
        let what =
            if preload { "start with preloading, s to the first answer" } else { "start, s to the first answer" };
        report.judge(what, goal, format!("{middle:.2}"), middle <= goal_s);
        details.push(json!({"preload": preload, "seconds": runs}));
    }
    report.detail("start", details.into());
    Ok(())
}
