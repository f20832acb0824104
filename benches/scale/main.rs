//! One server with ten million links: `cargo bench --bench scale`.
//!
//! Memory, start, keys that the cache lacks, keys that are not there, and changes under load, each against its goal.
//! docs/benchmarks.md says how to read it.

mod change;
mod data;
mod floods;
#[path = "../peers/launch.rs"]
#[allow(dead_code, reason = "benches/peers starts more kinds of servers")]
mod launch;
mod links;
#[path = "../load/mod.rs"]
mod load;
#[path = "../peers/machine.rs"]
#[allow(dead_code, reason = "benches/peers says more of it")]
mod machine;
mod memory;
mod misses;
#[path = "../peers/procfs.rs"]
#[allow(dead_code, reason = "benches/peers asks for more")]
mod procfs;
mod report;
mod server;
mod start;
mod unknown;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carom::store::StoreKind;
use clap::{Parser, ValueEnum};
use data::Data;
use launch::Cores;
use report::Report;
use server::Setup;

/// Files that may be open: connections, and some.
const OPEN_FILES: u64 = 4_096;
const MIB: u64 = 1 << 20;

/// Measures one server with very many links.
#[derive(Parser)]
struct Args {
    /// Links that are there
    #[arg(long, default_value_t = 10_000_000)]
    links: u64,
    /// Links that the cache has room for, where it has not for all
    #[arg(long, default_value_t = 1_000_000)]
    cache_links: u64,
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_value = "memory,start,misses,unknown,change")]
    parts: Vec<Part>,
    /// How often
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: u64,
    /// Length of each measurement under load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Most seconds for which the cache is filled by requests before misses are measured
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    settle: u64,
    /// Misses per second where they are not as many as can be
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    miss_rate: u64,
    /// Redirects of few links that are asked for per second beside other load
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    probes: u64,
    /// Fill the cache by asking for every link, instead of by `--preload`
    #[arg(long)]
    ask_all: bool,
    /// Which store
    #[arg(long, default_value = "fjall")]
    store: StoreKind,
    /// Where the data lies, also for the next run; it needs some 5 GB for 10,000,000 links
    #[arg(long, default_value = "target/scale")]
    dir: PathBuf,
    /// Measure this program instead of the one that was built with the benchmark
    #[arg(long, default_value = env!("CARGO_BIN_EXE_carom"), hide_default_value = true)]
    program: PathBuf,
    /// An argument handed on to `carom serve`; may be repeated
    #[arg(long = "carom-arg", allow_hyphen_values = true)]
    carom_args: Vec<String>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// What a server takes that has all links in its cache
    Memory,
    /// Until the first answer
    Start,
    /// Requests for links that the cache lacks
    Misses,
    /// Requests for what is not there
    Unknown,
    /// Single changes under load
    Change,
}

fn main() -> ExitCode {
    // `cargo test --benches` runs this program too, with whatever arguments its tests take.
    if !std::env::args().any(|arg| arg == "--bench") {
        println!("scale: nothing to test; `cargo bench --bench scale` runs it");
        return ExitCode::SUCCESS;
    }
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    launch::catch_signals()?;
    launch::raise_open_files(OPEN_FILES)?;
    ensure!(args.cache_links <= args.links, "--cache-links {}: at most --links {}", args.cache_links, args.links);
    let bench = Bench::new(args)?;
    let mut report = Report::new(&bench);
    for &part in &args.parts {
        eprintln!("== {part:?}");
        match part {
            Part::Memory => memory::measure(&bench, &mut report),
            Part::Start => start::measure(&bench, &mut report),
            Part::Misses => misses::measure(&bench, &mut report),
            Part::Unknown => unknown::measure(&bench, &mut report),
            Part::Change => change::measure(&bench, &mut report),
        }
        .with_context(|| format!("{part:?}").to_lowercase())?;
    }
    report.write(&args.dir)
}

/// What all parts share.
struct Bench<'a> {
    args: &'a Args,
    data: Data,
    cores: Cores,
    program: PathBuf,
    /// Whether the cache is filled before the server listens, where it is to hold all links.
    preloads: bool,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args) -> Result<Self> {
        let program = args.program.canonicalize().with_context(|| format!("finding {}", args.program.display()))?;
        let data = Data::prepare(&program, &args.dir, args.store, args.links)?;
        let help = Command::new(&program).args(["serve", "--help"]).output().context("asking carom for help")?;
        let can_preload = String::from_utf8_lossy(&help.stdout).contains("--preload");
        if !can_preload && !args.ask_all {
            eprintln!("{} can't preload: caches are filled by asking for every link", program.display());
        }
        Ok(Self { args, data, cores: Cores::choose()?, program, preloads: can_preload && !args.ask_all })
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }

    /// One worker on the first core, with room for all links, all of them in the cache if it can be told so, without API.
    fn full(&self) -> Setup<'_> {
        Setup {
            program: &self.program,
            data: &self.data.dir,
            links: self.data.links,
            first: 0,
            cores: std::slice::from_ref(&self.cores.server),
            workers: 1,
            cache_mib: self.cache_mib(self.data.links * 2),
            preload: self.preloads,
            admin: false,
            more: &self.args.carom_args,
            output: self.args.dir.join("carom.log"),
        }
    }

    /// Memory in which so many links fit into a cache.
    fn cache_mib(&self, links: u64) -> u64 {
        (links * (self.data.url_bytes() / self.data.links + CACHED_BYTES)).div_ceil(MIB)
    }
}

/// What a link takes in the shared cache beside its key and target, in bytes, about.
const CACHED_BYTES: u64 = 40;

/// The middle one, or the upper one of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
