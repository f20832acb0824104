//! The results as Markdown, for docs/benchmarks.md.

use crate::links::Sample;
use crate::machine::Machine;
use crate::results::{Results, Spread, goals};
use crate::servers::Peer;
use std::fmt::{self, Write};

pub(crate) fn render(results: &Results, machine: &Machine, links: usize) -> String {
    let mut out = String::new();
    write_all(&mut out, results, machine, links).expect("a string takes what it is given");
    out
}

fn write_all(out: &mut String, results: &Results, machine: &Machine, links: usize) -> fmt::Result {
    head(out, results, machine, links)?;
    speed(out, results)?;
    ratios(out, results)?;
    counting(out, results)?;
    memory(out, results)?;
    goal_table(out, results)?;
    notes(out, results)
}

fn head(out: &mut String, results: &Results, machine: &Machine, links: usize) -> fmt::Result {
    let Machine { cpu, kernel, date, cores, wrk } = machine;
    writeln!(out, "{date}, {cpu}, Linux {kernel}; servers on core {}, {wrk} on core {}.", cores.server, cores.load)?;
    let versions: Vec<&str> = results.facts.iter().map(|facts| facts.version.as_str()).collect();
    let Sample { requests, links: asked } = results.sample;
    writeln!(
        out,
        "{}. {} links; a round asks for {} of them in {} requests, over and over.\n",
        versions.join(", "),
        thousands(links as f64),
        thousands(asked as f64),
        thousands(requests as f64)
    )
}

fn speed(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(
        out,
        "| scenario | server | requests per CPU-second (min–max) | CPU share | requests/s | p50 µs | p99 µs | errors |"
    )?;
    writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (n, scenario) in results.scenarios.iter().enumerate() {
        for facts in &results.facts {
            let peer = facts.peer;
            let per_cpu_second = match results.spread(n, peer, |slice| slice.per_cpu_second()) {
                Some(Spread { median, min, max, .. }) => {
                    format!("{} ({}–{})", thousands(median), thousands(min), thousands(max))
                }
                // Without any slice there is nothing to say; with errors in each, only that.
                None if results.errors(n, peer) == 0 => continue,
                None => "–".to_owned(),
            };
            let driver = facts.driver.as_ref().map_or(String::new(), |driver| format!(", {driver}"));
            let share = results.spread(n, peer, |slice| slice.cpu_share());
            let share = share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share.median * 100.0));
            let median =
                |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| thousands(spread.median));
            let errors = match results.errors(n, peer) {
                0 => "0".to_owned(),
                count => format!("**{count}**"),
            };
            writeln!(
                out,
                "| {} | {peer}{driver} | {per_cpu_second} | {share} | {} | {} | {} | {errors} |",
                scenario.label(),
                median(results.spread(n, peer, |slice| slice.per_second())),
                median(results.latency(n, peer, |latency| latency.p50_us)),
                median(results.latency(n, peer, |latency| latency.p99_us)),
            )?;
        }
    }
    writeln!(out)
}

fn ratios(out: &mut String, results: &Results) -> fmt::Result {
    if results.facts(Peer::Carom).is_none() {
        return Ok(());
    }
    let others: Vec<Peer> =
        results.facts.iter().map(|facts| facts.peer).filter(|peer| !Peer::COUNTING.contains(peer)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let titles: Vec<String> = others.iter().map(|peer| format!("to {peer}")).collect();
    writeln!(out, "Requests per CPU-second of Carom, as a ratio (smallest–largest of the rounds):\n")?;
    writeln!(out, "| scenario | {} |", titles.join(" | "))?;
    writeln!(out, "| --- |{}", " ---: |".repeat(others.len()))?;
    for (n, scenario) in results.scenarios.iter().enumerate() {
        let cells: Vec<String> =
            others.iter().map(|&peer| results.ratio(n, Peer::Carom, peer).map_or_else(String::new, times)).collect();
        writeln!(out, "| {} | {} |", scenario.label(), cells.join(" | "))?;
    }
    writeln!(out)
}

/// What the counting of clicks costs, if that was measured.
fn counting(out: &mut String, results: &Results) -> fmt::Result {
    let compared = [
        ("details to none", Peer::Carom, Peer::CaromUncounted),
        ("counts to none", Peer::CaromCounts, Peer::CaromUncounted),
        ("details to counts", Peer::Carom, Peer::CaromCounts),
    ];
    if compared.iter().any(|&(_, one, other)| results.facts(one).is_none() || results.facts(other).is_none()) {
        return Ok(());
    }
    writeln!(
        out,
        "Requests per CPU-second by how clicks are counted, as a ratio (from quartile to quartile of the rounds):\n"
    )?;
    writeln!(out, "| scenario | {} |\n| --- | ---: | ---: | ---: |", compared.map(|(name, ..)| name).join(" | "))?;
    for (n, scenario) in results.scenarios.iter().enumerate() {
        let cells = compared.map(|(_, one, other)| results.ratio(n, one, other).map_or_else(String::new, middle));
        writeln!(out, "| {} | {} |", scenario.label(), cells.join(" | "))?;
    }
    writeln!(out, "\n| | CPU s in slices | between them |\n| --- | ---: | ---: |")?;
    for facts in &results.facts {
        let within = results.cpu_in_slices(facts.peer);
        let between = facts.cpu_seconds.map_or_else(|| "–".to_owned(), |all| format!("{:.2}", all - within));
        writeln!(out, "| {} | {within:.2} | {between} |", facts.peer)?;
    }
    writeln!(out)
}

fn memory(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "| server | import s | load s | resident after load | every link asked for | after the run |")?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
    for facts in &results.facts {
        let import = facts.import.map_or_else(|| "–".to_owned(), |import| format!("{:.2}", import.as_secs_f64()));
        writeln!(
            out,
            "| {} | {import} | {:.2} | {} | {} | {} |",
            facts.peer,
            facts.load.as_secs_f64(),
            mib(facts.resident_loaded),
            mib(facts.resident_warm),
            facts.resident_after.map_or_else(|| "–".to_owned(), mib),
        )?;
    }
    writeln!(out)
}

fn goal_table(out: &mut String, results: &Results) -> fmt::Result {
    let goals = goals(results);
    if goals.is_empty() {
        return Ok(());
    }
    writeln!(out, "| goal | measured | |")?;
    writeln!(out, "| --- | ---: | --- |")?;
    for goal in goals {
        writeln!(out, "| {} | {:.2} | {} |", goal.text, goal.figure, if goal.met { "met" } else { "missed" })?;
    }
    writeln!(out)
}

fn notes(out: &mut String, results: &Results) -> fmt::Result {
    for (peer, why) in &results.left_out {
        writeln!(out, "Left out: {peer} {why}.")?;
    }
    for (n, scenario) in results.scenarios.iter().enumerate() {
        for facts in &results.facts {
            let slices: Vec<_> = results.slices(n, facts.peer).collect();
            let flagged: Vec<_> = slices.iter().filter(|slice| slice.errors.sum() > 0).collect();
            let sum = |part: fn(&crate::wrk::Errors) -> u64| -> u64 { flagged.iter().map(|s| part(&s.errors)).sum() };
            if !flagged.is_empty() {
                writeln!(
                    out,
                    "Errors: {}, {}: in {} of {} slices, which count for nothing above; connect {}, read {}, write {}, status {}, timeout {}.",
                    scenario.label(),
                    facts.peer,
                    flagged.len(),
                    slices.len(),
                    sum(|e| e.connect),
                    sum(|e| e.read),
                    sum(|e| e.write),
                    sum(|e| e.status),
                    sum(|e| e.timeout),
                )?;
            }
        }
    }
    Ok(())
}

fn times(ratio: Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max)
}

fn middle(ratio: Spread) -> String {
    let (lower, upper) = ratio.quartiles;
    format!("{:.3} ({lower:.3}–{upper:.3})", ratio.median)
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// A whole number with its thousands apart.
pub(crate) fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
