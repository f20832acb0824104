//! What durability costs, on both stores: `cargo bench --bench durability`.
//!
//! Single creates beside the disk's own rate of syncs, an import of many links, the start after it, snapshots, and what
//! it takes to build the store again from a snapshot and from the log. docs/benchmarks.md says how to read it.

mod links;
mod process;
mod steps;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use carom::store::StoreKind;
use clap::{Parser, Subcommand};
use links::Order;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what durability costs.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    step: Option<Step>,
    /// Links of the import
    #[arg(long, default_value_t = 10_000_000)]
    links: u64,
    /// Links of the store that is built again from the log
    #[arg(long, default_value_t = 1_000_000)]
    log_links: u64,
    /// In which order links are imported
    #[arg(long, value_enum, default_value = "sorted")]
    order: Order,
    /// Rounds of single creates
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Length of each measurement of single creates
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Which stores
    #[arg(long, value_delimiter = ',', default_value = "sled,fjall")]
    stores: Vec<StoreKind>,
    /// Where the data lies meanwhile; it needs 8 GB for 10,000,000 links
    #[arg(long, default_value = "target/durability")]
    dir: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// One step, in a process of its own.
#[derive(Subcommand, Clone, Copy)]
enum Step {
    Creates { store: StoreKind, rounds: u64, seconds: u64 },
    Import { store: StoreKind, links: u64, order: Order },
    Start { store: StoreKind, links: u64, reads: u64 },
    Snapshot { store: StoreKind },
    Disk { store: StoreKind, links: u64 },
}

fn main() -> Result<()> {
    let args = Args::parse();
    for links in [args.links, args.log_links] {
        ensure!(links::is_permutation(links), "take another number of links than {links}: it would give some twice");
    }
    match args.step {
        Some(step) => {
            println!("{}", run(step, &args.dir)?);
            Ok(())
        }
        None => measure(&args),
    }
}

fn run(step: Step, data: &Path) -> Result<Value> {
    match step {
        Step::Creates { store, rounds, seconds } => steps::creates(store, data, rounds, seconds),
        Step::Import { store, links, order } => steps::import(store, data, links, order),
        Step::Start { store, links, reads } => steps::start(store, data, links, reads),
        Step::Snapshot { store } => steps::snapshot(store, data),
        Step::Disk { store, links } => steps::disk(store, data, links),
    }
}

/// Runs a step in a process of its own and takes what it prints.
fn step(data: &Path, arguments: &[&str]) -> Result<Value> {
    eprintln!("{}", arguments.join(" "));
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg("--dir").arg(data).args(arguments).stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the step {} failed", arguments.join(" "));
    let value = serde_json::from_slice(&output.stdout).context("what the step printed")?;
    eprintln!("  {value}");
    Ok(value)
}

fn measure(args: &Args) -> Result<()> {
    let mut results = serde_json::Map::new();
    for &store in &args.stores {
        results.insert(store.to_string(), measure_store(args, store)?);
    }
    print!("{}", table(args, &results));
    println!("\n{}", Value::Object(results));
    Ok(())
}

fn fresh(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))
}

fn measure_store(args: &Args, store: StoreKind) -> Result<Value> {
    let data = args.dir.join(store.name());
    let [name, links, log_links, rounds, seconds] = [
        store.name().to_owned(),
        args.links.to_string(),
        args.log_links.to_string(),
        args.rounds.to_string(),
        args.seconds.to_string(),
    ];
    let order = match args.order {
        Order::Sorted => "sorted",
        Order::Random => "random",
    };
    let remove_store = || std::fs::remove_dir_all(data.join("store")).context("removing the store");

    fresh(&data)?;
    let creates = step(&data, &["creates", &name, &rounds, &seconds])?;

    fresh(&data)?;
    step(&data, &["import", &name, &log_links, order])?;
    remove_store()?;
    let from_log = step(&data, &["start", &name, &log_links, "0"])?;

    fresh(&data)?;
    let import = step(&data, &["import", &name, &links, order])?;
    let start = step(&data, &["start", &name, &links, "100000"])?;
    let disk = step(&data, &["disk", &name, &links])?;
    let snapshot = step(&data, &["snapshot", &name])?;
    remove_store()?;
    let from_snapshot = step(&data, &["start", &name, &links, "0"])?;
    fresh(&data)?;
    Ok(json!({
        "creates": creates, "import": import, "start": start, "disk": disk, "snapshot": snapshot,
        "from_snapshot": from_snapshot, "from_log": from_log,
    }))
}

/// The median of a figure over rounds.
fn median(rounds: &Value, of: impl Fn(&Value) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.as_array().expect("rounds").iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn table(args: &Args, results: &serde_json::Map<String, Value>) -> String {
    let number = |value: &Value| value.as_f64().expect("a number");
    type Figure<'a> = (String, Box<dyn Fn(&Value) -> String + 'a>);
    let (links, log_links) = (args.links, args.log_links);
    let figures: Vec<Figure<'_>> = vec![
        (
            "fdatasync of the disk, per second".to_owned(),
            Box::new(move |store| {
                format!("{:.0}", median(&store["creates"]["rounds"], |round| number(&round["syncs"])))
            }),
        ),
        (
            "durable creates per second, 1 writer".to_owned(),
            Box::new(move |store| {
                format!("{:.0}", median(&store["creates"]["rounds"], |round| number(&round["one_writer"])))
            }),
        ),
        (
            "durable creates per second, 64 writers".to_owned(),
            Box::new(move |store| {
                format!("{:.0}", median(&store["creates"]["rounds"], |round| number(&round["many_writers"])))
            }),
        ),
        (
            "… over fdatasync, median of the rounds' ratios".to_owned(),
            Box::new(move |store| {
                let ratio = |round: &Value| number(&round["many_writers"]) / number(&round["syncs"]);
                format!("{:.1}", median(&store["creates"]["rounds"], ratio))
            }),
        ),
        (
            format!("import of {links} links, links per second"),
            Box::new(move |store| format!("{:.0}", number(&store["import"]["links_per_s"]))),
        ),
        (
            "… most resident, MB".to_owned(),
            Box::new(move |store| format!("{:.0}", number(&store["import"]["peak_resident_bytes"]) / 1e6)),
        ),
        ("start with them, s".to_owned(), Box::new(move |store| format!("{:.2}", number(&store["start"]["open_s"])))),
        (
            "… resident after it, MB".to_owned(),
            Box::new(move |store| format!("{:.0}", number(&store["start"]["resident_bytes"]) / 1e6)),
        ),
        (
            "random reads of the store per second, one thread".to_owned(),
            Box::new(move |store| format!("{:.0}", number(&store["start"]["reads_per_s"]))),
        ),
        (
            "store on disk over its keys and values".to_owned(),
            Box::new(move |store| format!("{:.2}", number(&store["disk"]["disk_over_raw"]))),
        ),
        (
            "snapshot of them while changes go on, s".to_owned(),
            Box::new(move |store| format!("{:.1}", number(&store["snapshot"]["seconds"]))),
        ),
        (
            "… its size, MB".to_owned(),
            Box::new(move |store| format!("{:.0}", number(&store["snapshot"]["bytes"]) / 1e6)),
        ),
        (
            "longest change meanwhile (and before), ms".to_owned(),
            Box::new(move |store| {
                let [during, before] = ["longest_change_during_ms", "longest_change_before_ms"]
                    .map(|field| number(&store["snapshot"][field]));
                format!("{during:.1} ({before:.1})")
            }),
        ),
        (
            "store built from that snapshot, s".to_owned(),
            Box::new(move |store| format!("{:.1}", number(&store["from_snapshot"]["open_s"]))),
        ),
        (
            format!("store built from the log, {log_links} links, s"),
            Box::new(move |store| format!("{:.1}", number(&store["from_log"]["open_s"]))),
        ),
    ];
    let mut text = "| |".to_owned();
    results.keys().for_each(|store| text += &format!(" {store} |"));
    text += "\n|---|";
    results.keys().for_each(|_| text += "---:|");
    text += "\n";
    for (name, figure) in figures {
        text += &format!("| {name} |");
        results.values().for_each(|store| text += &format!(" {} |", figure(store)));
        text += "\n";
    }
    text
}
