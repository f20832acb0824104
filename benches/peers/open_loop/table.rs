//! The results of an open loop as Markdown and as JSON.

use super::{Case, PEERS, Peak, Slice, Slices};
use crate::machine::Machine;
use crate::markdown::thousands;
use crate::results::Spread;
use crate::servers::Server;
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write;

type Figure = (&'static str, fn(&Slice) -> f64);

const FIGURES: [Figure; 3] =
    [("p50", |slice| slice.p50_us), ("p99", |slice| slice.p99_us), ("p99.9", |slice| slice.p999_us)];
/// Carom's latencies to nginx's.
const LATENCY_GOAL: f64 = 1.0;
/// The 99th percentile over many connections to that over few.
const MANY_GOAL: f64 = 1.5;

pub(super) struct Table<'a> {
    pub(super) cases: &'a [Case],
    pub(super) results: &'a [Slices],
    /// What nginx can answer.
    pub(super) peak: Peak,
    pub(super) is_many: bool,
}

impl Table<'_> {
    pub(super) fn markdown(
        &self,
        machine: &Machine,
        servers: &[Server],
        links: usize,
        rounds: u64,
        seconds: u64,
    ) -> Result<String> {
        let Machine { cpu, kernel, date, cores, wrk: generator } = machine;
        let mut out = String::new();
        writeln!(
            out,
            "{date}, {cpu}, Linux {kernel}; servers on core {}, load ({generator}) on core {}.",
            cores.server, cores.load
        )?;
        let version = |server: &Server| match &server.driver {
            Some(driver) => format!("{} with {driver}", server.version),
            None => server.version.clone(),
        };
        let versions: Vec<String> = servers.iter().map(version).collect();
        writeln!(
            out,
            "{}. {} links; {rounds} rounds of {seconds} s. nginx answers {} requests/s at most, its core {:.0} % busy.\n",
            versions.join(", "),
            thousands(links as f64),
            thousands(self.peak.per_second),
            self.peak.busy * 100.0
        )?;
        writeln!(out, "| connections | asked for | server | answered/s | p50 µs | p99 µs | p99.9 µs | late |")?;
        writeln!(out, "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")?;
        for (case, slices) in self.cases.iter().zip(self.results) {
            for (peer, slices) in PEERS.iter().zip(slices) {
                let middle = |figure: fn(&Slice) -> f64| {
                    let spread = Spread::of(slices.iter().map(figure).collect());
                    spread.map_or_else(|| "–".to_owned(), |spread| thousands(spread.median))
                };
                writeln!(
                    out,
                    "| {} | {:.0} % of the peak | {peer} | {} | {} | {} | {} | {} |",
                    thousands(case.connections as f64),
                    case.share * 100.0,
                    middle(|slice| slice.per_second),
                    middle(|slice| slice.p50_us),
                    middle(|slice| slice.p99_us),
                    middle(|slice| slice.p999_us),
                    slices.iter().map(|slice| slice.late).sum::<u64>(),
                )?;
            }
        }
        writeln!(out, "\n| | goal | measured (smallest–largest of the rounds) | |\n| --- | ---: | ---: | --- |")?;
        for (what, goal, ratio) in self.ratios() {
            let Some(Spread { median, min, max, .. }) = ratio else { continue };
            let (goal, met) = match goal {
                Some(goal) => (format!("≤ {goal}"), if median <= goal { "met" } else { "missed" }),
                None => (String::new(), ""),
            };
            writeln!(out, "| {what} | {goal} | {median:.2} ({min:.2}–{max:.2}) | {met} |")?;
        }
        Ok(out)
    }

    /// What is compared within each round, and with which goal.
    fn ratios(&self) -> Vec<(String, Option<f64>, Option<Spread>)> {
        let ratio = |one: &[Slice], other: &[Slice], figure: fn(&Slice) -> f64| {
            Spread::of(one.iter().zip(other).map(|(one, other)| figure(one) / figure(other)).collect())
        };
        let [carom, nginx] = PEERS;
        let mut ratios = Vec::new();
        if self.is_many {
            let [few, many] = [&self.results[0], &self.results[1]];
            let what = |peer| {
                let [few, many] = [self.cases[0], self.cases[1]].map(|case| thousands(case.connections as f64));
                format!("{peer}: p99 over {many} connections to p99 over {few}")
            };
            ratios.push((what(carom), Some(MANY_GOAL), ratio(&many[0], &few[0], |slice| slice.p99_us)));
            ratios.push((what(nginx), None, ratio(&many[1], &few[1], |slice| slice.p99_us)));
        }
        for (case, [of_carom, of_nginx]) in self.cases.iter().zip(self.results) {
            for (name, figure) in FIGURES {
                let connections = thousands(case.connections as f64);
                let what =
                    format!("{carom} to {nginx}, {connections} connections, {:.0} %: {name}", case.share * 100.0);
                let goal = (!self.is_many).then_some(LATENCY_GOAL);
                ratios.push((what, goal, ratio(of_carom, of_nginx, figure)));
            }
        }
        ratios
    }

    pub(super) fn json(&self) -> Value {
        let slice = |slice: &Slice| {
            json!({
                "p50_us": slice.p50_us, "p99_us": slice.p99_us, "p999_us": slice.p999_us,
                "per_second": slice.per_second, "late": slice.late,
            })
        };
        let cases = self.cases.iter().zip(self.results).map(|(case, slices)| {
            let servers = PEERS.iter().zip(slices).map(
                |(peer, slices)| json!({"name": peer.name(), "slices": slices.iter().map(slice).collect::<Vec<_>>()}),
            );
            json!({
                "connections": case.connections, "share_of_peak": case.share,
                "servers": servers.collect::<Vec<_>>(),
            })
        });
        cases.collect::<Vec<_>>().into()
    }
}
