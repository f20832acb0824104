//! Carom beside nginx, HAProxy and a server that does next to nothing, in one run: `cargo bench --bench peers`.
//!
//! All are given the same links, pinned to one core and driven by wrk from another in short slices that take
//! turns. The figure is requests per CPU-second of the server, and what counts is the ratio within a round.
//! docs/benchmarks.md says how to read it.

mod client;
mod floor;
mod floor_ring;
mod json;
mod launch;
mod links;
#[path = "../load/mod.rs"]
#[allow(dead_code, reason = "benches/scale looks at more of the answers")]
mod load;
mod machine;
mod markdown;
mod measure;
mod open_loop;
mod plot;
mod procfs;
mod random;
mod results;
mod servers;
mod two_workers;
mod wrk;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use launch::Cores;
use links::{Links, Sample};
use machine::Machine;
use measure::Plan;
use random::{Random, Zipf};
use servers::{OPEN_FILES, Peer, Site};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use wrk::{Scenario, Wrk};

const SEED: u64 = 0xca40;
/// Requests rendered for a slice. wrk goes round in them, so there have to be enough for popularity to have a tail;
/// it renders them before each slice, which takes longer the more there are. The results say how many links they
/// touch.
const SAMPLE: usize = 500_000;
const PIPELINE_CONNECTIONS: usize = 64;
/// After a slice, what was counted in it still comes into the journal and the statistics, within a second or so.
const COUNTING_REST: Duration = Duration::from_millis(1_500);

/// Compares Carom with nginx, HAProxy and a constant-answer server.
#[derive(Parser)]
struct Args {
    /// How often every scenario is measured on every server
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: u64,
    /// Length of one slice
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long each server is first asked for what each round will ask for, in seconds; 0 for not at all
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=600))]
    settle: u64,
    /// Numbers of connections, without pipelining
    #[arg(long, value_delimiter = ',', default_value = "1,64,512,4000", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: Vec<u64>,
    /// Requests sent in one go over 64 connections; 1 leaves that scenario out
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=64))]
    pipeline: u64,
    /// Clients that ask over a new connection each time, so many at once; 0 leaves that scenario out
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(..=1_000))]
    closing: u64,
    /// Only these servers
    #[arg(long, value_delimiter = ',')]
    only: Vec<Peer>,
    /// Compare Carom that counts clicks with Carom that counts them without details, and that counts none, asked
    /// by browsers
    #[arg(long, group = "kind", conflicts_with = "only")]
    counting: bool,
    /// Compare how long answers of Carom and nginx take at half and at 80 % of what nginx can answer
    #[arg(long, group = "kind", conflicts_with = "only")]
    latency: bool,
    /// Compare how long they take over 100 and over 10,000 connections, at one rate
    #[arg(long, group = "kind", conflicts_with = "only")]
    many_connections: bool,
    /// Compare Carom with two workers to Carom with one
    #[arg(long, group = "kind", conflicts_with = "only")]
    two_workers: bool,
    /// With --latency and --many-connections: let oha send the requests, which must be installed
    #[arg(long)]
    oha: bool,
    /// Send the fields that a browser sends
    #[arg(long)]
    browser: bool,
    /// Fail if a server is left out or a slice has errors
    #[arg(long)]
    all: bool,
    /// How many links there are
    #[arg(long, default_value_t = 1_000_000)]
    links: usize,
    /// Folder for peers.json, peers.md, peers.png and, while it runs, everything else [default: target/peers, or
    /// target/counting]
    #[arg(long)]
    out: Option<PathBuf>,
    /// An argument handed on to `carom serve`; may be repeated
    #[arg(long = "carom-arg", allow_hyphen_values = true)]
    carom_args: Vec<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the constant-answer server on this port
    #[arg(long, hide = true)]
    floor: Option<u16>,
    /// Be the same on io_uring
    #[arg(long, hide = true)]
    floor_ring: Option<u16>,
}

fn main() -> ExitCode {
    // `cargo test --benches` runs this program too, with whatever arguments its tests take.
    if !std::env::args().any(|arg| ["--bench", "--floor", "--floor-ring"].contains(&arg.as_str())) {
        println!("peers: nothing to test; `cargo bench --bench peers` runs the comparison");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let done = match (args.floor, args.floor_ring) {
        (Some(port), _) => floor::serve(port),
        (None, Some(port)) => floor_ring::serve(port),
        (None, None) => compare(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<()> {
    launch::catch_signals()?;
    launch::raise_open_files(OPEN_FILES)?;
    let cores = Cores::choose()?;
    if cores.shared() {
        eprintln!("only one core may be used: servers and wrk share it, which costs all of them cache and clock");
    }
    let out = args.out.clone().unwrap_or_else(|| default_out(args.name()));
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&out)?;
    if procfs::in_memory(folder.path()) {
        eprintln!("{} is in memory, not on a disk: load times will look better than they are", out.display());
    }
    // Servers change folders and users; what they are told must hold from anywhere.
    let folder_path = folder.path().canonicalize()?;

    eprintln!("making {} links", args.links);
    let links = Links::generate(args.links, SEED)?;
    let (samples, sample) = samples(args, &links, &folder_path)?;
    let site = Site {
        links: &links,
        folder: &folder_path,
        core: cores.server,
        other_core: cores.load,
        carom_args: &args.carom_args,
    };
    if args.latency || args.many_connections {
        return open_loop::run(args, &site, &samples, cores, &out);
    }
    let rest = if args.counting { COUNTING_REST } else { Duration::ZERO };
    let wrk = Wrk::find(&folder_path, cores.load, args.browser || args.counting, rest)?;
    if args.two_workers {
        return two_workers::run(args, &site, &samples, &wrk, cores, &out);
    }
    let results = measure::run(&plan(args, samples, sample), &site, &wrk)?;

    let machine = Machine::look(cores, wrk.version);
    let markdown = markdown::render(&results, &machine, links.len());
    let json = json::render(&results, &machine, links.len(), args.seconds);
    fs::write(out.join("peers.json"), format!("{json:#}\n"))?;
    fs::write(out.join("peers.md"), &markdown)?;
    plot::draw(&results, &machine, links.len(), &out.join("peers.png"))?;
    print!("\n{markdown}");
    println!("\nWritten: peers.json, peers.md and peers.png in {}", out.display());

    let carom_failed = results.left_out.iter().any(|(peer, _)| *peer == Peer::Carom);
    ensure!(!carom_failed, "this is no comparison without Carom: {}", results.left_out_text());
    let gaps = results.gaps();
    ensure!(!args.all || gaps.is_empty(), "not all servers answered all requests: {}", gaps.join("; "));
    Ok(())
}

impl Args {
    /// What is compared, and where the results go.
    fn name(&self) -> &'static str {
        match self {
            Self { counting: true, .. } => "counting",
            Self { latency: true, .. } => "latency",
            Self { many_connections: true, .. } => "many-connections",
            Self { two_workers: true, .. } => "two-workers",
            _ => "peers",
        }
    }
}

fn plan(args: &Args, samples: Vec<PathBuf>, sample: Sample) -> Plan {
    let mut scenarios: Vec<Scenario> =
        args.connections.iter().map(|&connections| Scenario::keeping(connections as usize)).collect();
    if args.pipeline > 1 {
        scenarios.push(Scenario { pipelined: args.pipeline as usize, ..Scenario::keeping(PIPELINE_CONNECTIONS) });
    }
    if args.closing > 0 {
        scenarios.push(Scenario { closing: true, ..Scenario::keeping(args.closing as usize) });
    }
    let peers = match (args.counting, &args.only[..]) {
        (true, _) => Peer::COUNTING.to_vec(),
        (false, []) => Peer::ALL.to_vec(),
        (false, only) => only.to_vec(),
    };
    Plan { peers, scenarios, samples, sample, settle: args.settle, seconds: args.seconds }
}

/// What each round asks for, and what is in the sample of the fewest links.
fn samples(args: &Args, links: &Links, folder: &Path) -> Result<(Vec<PathBuf>, Sample)> {
    let mut random = Random::new(SEED + 1);
    let zipf = Zipf::new(links.len(), &mut random);
    let mut samples = Vec::new();
    let mut sample = None;
    for round in 0..args.rounds {
        let file = folder.join(format!("sample-{round}"));
        let written = links.write_sample(&file, &zipf, SAMPLE, &mut random)?;
        sample = sample.filter(|least: &Sample| least.links <= written.links).or(Some(written));
        samples.push(file);
    }
    Ok((samples, sample.context("a run has at least one round")?))
}

/// Beside everything else that cargo builds: this program is in `target/release/deps`.
fn default_out(name: &str) -> PathBuf {
    let program = std::env::current_exe().ok();
    let target = program.as_deref().and_then(|program| program.ancestors().nth(3));
    target.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), Path::to_owned).join(name)
}
