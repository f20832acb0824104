//! What counting clicks takes, and whether it counts rightly: `cargo bench --bench clicks`.
//!
//! Months of clicks go through the pipeline of the server in minutes, with a record of what they were; then every kind of
//! question is asked, and every count compared. docs/benchmarks.md says how to read it. What counting costs a redirect
//! is `cargo bench --bench peers -- --counting`.

mod check;
mod generate;
mod load;
mod pipeline;
#[path = "../durability/process.rs"]
mod process;
mod queries;
mod table;
mod threads;
mod truth;
mod world;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the counting of clicks.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
    /// Given by cargo
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Load clicks, measure what that takes and how long questions take, and compare every count
    Load(Load),
    /// Load fewer clicks with restarts between, and compare every count
    Exact(Exact),
}

/// How much is loaded.
#[derive(Args)]
struct Load {
    /// Clicks in all
    #[arg(long, default_value_t = 100_000_000)]
    clicks: u64,
    /// Links that they are on
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=99_000_000))]
    links: u64,
    /// People who click
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    people: u64,
    /// Days before today over which they are spread
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=365))]
    days: u64,
    /// What part of the clicks is on any link; the others follow Zipf's law
    #[arg(long, default_value_t = 0.2)]
    tail: f64,
    /// Minutes that a batch is of
    #[arg(long, default_value_t = 1)]
    batch_minutes: usize,
    /// Most details of a batch; a worker keeps 4,096 of half a second
    #[arg(long, default_value_t = 256)]
    details: usize,
    /// Memory for what is in no store yet, in MiB
    #[arg(long, default_value_t = 192)]
    memory_mib: usize,
    /// How often the pipeline is closed and opened again
    #[arg(long, default_value_t = 0)]
    restarts: u64,
    /// Seconds for maintenance after loading; a second is as good as twenty minutes of the server
    #[arg(long, default_value_t = 20)]
    settle: u64,
    /// How often each question is asked
    #[arg(long, default_value_t = 20)]
    repeats: usize,
    /// Where the clicks lie meanwhile
    #[arg(long, default_value = "target/clicks")]
    dir: PathBuf,
    /// Leave them there
    #[arg(long)]
    keep: bool,
}

/// How much is loaded to compare.
#[derive(Args)]
struct Exact {
    /// Clicks in all
    #[arg(long, default_value_t = 2_000_000)]
    clicks: u64,
    /// Links that they are on
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=99_000_000))]
    links: u64,
    /// Days before today over which they are spread
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=365))]
    days: u64,
    /// How often the pipeline is closed and opened again
    #[arg(long, default_value_t = 7)]
    restarts: u64,
    /// Memory for what is in no store yet, in MiB: little, so that it is flushed often
    #[arg(long, default_value_t = 16)]
    memory_mib: usize,
    /// Where the clicks lie meanwhile
    #[arg(long, default_value = "target/clicks")]
    dir: PathBuf,
}

fn main() -> Result<()> {
    // `cargo test --benches` runs this program too, with whatever arguments its tests take.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("clicks: nothing to test; `cargo bench --bench clicks -- load` measures");
        return Ok(());
    }
    let (load, is_exact) = match Arguments::parse().part {
        Part::Load(load) => (load, false),
        Part::Exact(exact) => (exact.into(), true),
    };
    ensure!((0.0..=1.0).contains(&load.tail), "--tail {}: from 0 to 1", load.tail);
    ensure!((1..=1_440).contains(&load.batch_minutes), "--batch-minutes {}: from 1 to 1,440", load.batch_minutes);
    ensure!((2..=4_096).contains(&load.details), "--details {}: from 2 to 4,096", load.details);
    ensure!(load.repeats > 0, "--repeats 0: at least 1");
    load::run(&load, is_exact)
}

impl From<Exact> for Load {
    fn from(Exact { clicks, links, days, restarts, memory_mib, dir }: Exact) -> Self {
        Load {
            clicks,
            links,
            people: links * 10,
            days,
            tail: 0.2,
            batch_minutes: 15,
            details: 256,
            memory_mib,
            restarts,
            settle: 2,
            repeats: 1,
            dir,
            keep: false,
        }
    }
}
