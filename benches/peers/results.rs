//! What was measured, and what it says: medians, ratios, goals.

use crate::links::Sample;
use crate::servers::Peer;
use crate::wrk::{Latency, Scenario, Slice};
use std::time::Duration;

/// What is true of a server for the whole run. Memory is in bytes.
pub(crate) struct Facts {
    pub(crate) peer: Peer,
    pub(crate) version: String,
    pub(crate) driver: Option<String>,
    pub(crate) load: Duration,
    pub(crate) import: Option<Duration>,
    pub(crate) resident_loaded: u64,
    pub(crate) resident_warm: u64,
    /// None for a server that did not last.
    pub(crate) resident_after: Option<u64>,
    /// CPU time from the first round to the end, in the slices and between them, in seconds. Likewise.
    pub(crate) cpu_seconds: Option<f64>,
}

pub(crate) struct Results {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) facts: Vec<Facts>,
    /// Servers that were not measured, or not to the end, and why.
    pub(crate) left_out: Vec<(Peer, String)>,
    /// Of how many requests a round's sample is, and of how many links, the fewest of all rounds.
    pub(crate) sample: Sample,
    rounds: usize,
    /// By scenario, server (as in `facts`), round.
    slices: Vec<Vec<Vec<Option<Slice>>>>,
}

/// Median, quartiles, smallest and largest of some figures.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) quartiles: (f64, f64),
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        // Between two figures, as far as the quantile lies between them.
        let quantile = |part: f64| {
            let place = (values.len() - 1) as f64 * part;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Self { median: quantile(0.5), quartiles: (quantile(0.25), quantile(0.75)), min, max })
    }
}

impl Results {
    pub(crate) fn new(scenarios: Vec<Scenario>, sample: Sample, rounds: usize) -> Self {
        let slices = vec![Vec::new(); scenarios.len()];
        Self { scenarios, facts: Vec::new(), left_out: Vec::new(), sample, rounds, slices }
    }

    pub(crate) fn add(&mut self, facts: Facts) {
        self.facts.push(facts);
        for scenario in &mut self.slices {
            scenario.push(vec![None; self.rounds]);
        }
    }

    pub(crate) fn record(&mut self, scenario: usize, peer: Peer, round: usize, slice: Slice) {
        let server = self.position(peer).expect("a server is added before it is measured");
        self.slices[scenario][server][round] = Some(slice);
    }

    pub(crate) fn facts_mut(&mut self, peer: Peer) -> &mut Facts {
        let server = self.position(peer).expect("a server is added before it is measured");
        &mut self.facts[server]
    }

    pub(crate) fn facts(&self, peer: Peer) -> Option<&Facts> {
        self.facts.iter().find(|facts| facts.peer == peer)
    }

    /// The slices of a server in a scenario, one a round as far as it got, those with errors among them.
    pub(crate) fn slices(&self, scenario: usize, peer: Peer) -> impl Iterator<Item = &Slice> {
        let server = self.position(peer);
        server.into_iter().flat_map(move |server| self.slices[scenario][server].iter().flatten())
    }

    fn sound_slices(&self, scenario: usize, peer: Peer) -> impl Iterator<Item = &Slice> {
        self.slices(scenario, peer).filter(|slice| slice.is_sound())
    }

    /// Over the slices without errors.
    pub(crate) fn spread(&self, scenario: usize, peer: Peer, figure: impl Fn(&Slice) -> f64) -> Option<Spread> {
        Spread::of(self.sound_slices(scenario, peer).map(figure).collect())
    }

    /// Over the slices without errors.
    pub(crate) fn latency(&self, scenario: usize, peer: Peer, figure: impl Fn(Latency) -> f64) -> Option<Spread> {
        Spread::of(self.sound_slices(scenario, peer).filter_map(|slice| slice.latency).map(figure).collect())
    }

    /// Requests per CPU-second of `one` over those of `other`, compared within each round: what moves the machine
    /// from one minute to the next moves both. A round in which either had errors does not count.
    pub(crate) fn ratio(&self, scenario: usize, one: Peer, other: Peer) -> Option<Spread> {
        let (one, other) = (self.position(one)?, self.position(other)?);
        let rounds = self.slices[scenario][one].iter().zip(&self.slices[scenario][other]);
        let sound = |slice: &Option<Slice>| slice.as_ref().filter(|slice| slice.is_sound()).map(Slice::per_cpu_second);
        let both = rounds.filter_map(|(a, b)| Some(sound(a)? / sound(b)?));
        Spread::of(both.collect())
    }

    pub(crate) fn errors(&self, scenario: usize, peer: Peer) -> u64 {
        self.slices(scenario, peer).map(|slice| slice.errors.sum()).sum()
    }

    /// CPU time of a server within its slices, in seconds.
    pub(crate) fn cpu_in_slices(&self, peer: Peer) -> f64 {
        (0..self.scenarios.len()).flat_map(|n| self.slices(n, peer)).map(|slice| slice.cpu_seconds).sum()
    }

    /// What keeps this from being a comparison of all servers on all scenarios.
    pub(crate) fn gaps(&self) -> Vec<String> {
        let mut gaps: Vec<String> = self.left_out.iter().map(|(peer, why)| format!("{peer} {why}")).collect();
        for (n, scenario) in self.scenarios.iter().enumerate() {
            for facts in &self.facts {
                match self.errors(n, facts.peer) {
                    0 => {}
                    count => gaps.push(format!("{} had {count} errors with {}", facts.peer, scenario.label())),
                }
            }
        }
        gaps
    }

    pub(crate) fn left_out_text(&self) -> String {
        let each: Vec<String> = self.left_out.iter().map(|(peer, why)| format!("{peer} {why}")).collect();
        each.join("; ")
    }

    fn position(&self, peer: Peer) -> Option<usize> {
        self.facts.iter().position(|facts| facts.peer == peer)
    }
}

/// What Carom sets out to reach.
pub(crate) struct Goal {
    pub(crate) text: String,
    pub(crate) figure: f64,
    pub(crate) met: bool,
}

/// The goals that this run can tell about.
pub(crate) fn goals(results: &Results) -> Vec<Goal> {
    let kept = Scenario::keeping;
    let pipelined = Scenario { pipelined: 16, ..kept(64) };
    let closing = Scenario { closing: true, ..kept(64) };
    let mut speed: Vec<(Scenario, Peer, f64)> = Vec::new();
    for connections in [64, 512, 4000] {
        let to = [(Peer::Floor, 0.9), (Peer::Nginx, 1.55), (Peer::Haproxy, 1.9)];
        speed.extend(to.map(|(other, at_least)| (kept(connections), other, at_least)));
    }
    speed.extend([(pipelined, Peer::Nginx, 9.0), (closing, Peer::Nginx, 1.1)]);
    let mut goals = Vec::new();
    for (scenario, other, at_least) in speed {
        let index = results.scenarios.iter().position(|&s| s == scenario);
        if let Some(ratio) = index.and_then(|index| results.ratio(index, Peer::Carom, other)) {
            goals.push(Goal {
                text: format!("{}: at least {at_least} × {other}", scenario.label()),
                figure: ratio.median,
                met: ratio.median >= at_least,
            });
        }
    }
    if let (Some(carom), Some(nginx)) = (results.facts(Peer::Carom), results.facts(Peer::Nginx)) {
        let figure = carom.resident_warm as f64 / nginx.resident_warm as f64;
        let text = "memory with every link cached: at most 0.6 × nginx".to_owned();
        goals.push(Goal { text, figure, met: figure <= 0.6 });
    }
    goals
}
