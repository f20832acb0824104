//! What the REST API does, beside redirects: `cargo bench --bench api`.
//!
//! Pages of links among many, each kind of filter; durable creates by many clients at once; and how long redirects take
//! meanwhile, beside how long they take when nothing else is done. docs/benchmarks.md says how to read it.

mod client;
mod creates;
mod latency;
mod links;
mod pages;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use carom::store::StoreKind;
use clap::Parser;
use client::Client;
use latency::Latencies;
use server::Server;

/// Measures the REST API.
#[derive(Parser)]
struct Args {
    /// Links that are there
    #[arg(long, default_value_t = 1_000_000)]
    links: u64,
    /// Clients that create links at the same time, each on a connection of its own
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Rounds of creates, each beside one of rest
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of each of them
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Links that they create per second, all together; 0 is as many as they can
    #[arg(long, default_value_t = 0)]
    creates: u64,
    /// Redirects that are asked for per second meanwhile
    #[arg(long, default_value_t = 1_000)]
    redirects: u64,
    /// Pages that are read with each filter
    #[arg(long, default_value_t = 300)]
    pages: usize,
    /// Which stores
    #[arg(long, value_delimiter = ',', default_value = "sled,fjall")]
    stores: Vec<StoreKind>,
    /// Where the data lies meanwhile
    #[arg(long, default_value = "target/api")]
    dir: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir)?;
    }
    std::fs::create_dir_all(&args.dir)?;
    for &store in &args.stores {
        measure(&args, store)?;
    }
    std::fs::remove_dir_all(&args.dir)?;
    Ok(())
}

fn measure(args: &Args, store: StoreKind) -> Result<()> {
    let data = args.dir.join(store.name());
    println!("## {}, {} links\n", store.name(), args.links);
    links::import(&data, store, args.links)?;
    let server = Server::start(&data)?;
    let mut client = Client::connect(&server)?;
    links::tag_some(&mut client, args.links)?;

    println!("| page of 100 links | pages | links | p50 ms | p99 ms | longest ms |\n|---|---:|---:|---:|---:|---:|");
    for filter in pages::filters(args.links) {
        let read = pages::read(&mut client, &filter, args.pages)?;
        let Latencies { p50, p99, longest, count } = read.latencies.summary();
        println!(
            "| {} | {count} | {} | {:.2} | {:.2} | {:.2} |",
            filter.name,
            read.links,
            millis(p50),
            millis(p99),
            millis(longest)
        );
    }

    println!(
        "\n| round | creates/s | p50 ms | p99 ms | redirects p99 ms at rest | meanwhile | ratio |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    let length = Duration::from_secs(args.seconds);
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let at_rest = latency::of_redirects(&server, args.redirects, args.links, length)?;
        let (created, meanwhile) = std::thread::scope(|scope| {
            let creates = scope.spawn(|| creates::run(&server, args.clients, args.creates, length, round));
            let meanwhile = latency::of_redirects(&server, args.redirects, args.links, length);
            (creates.join().expect("it does not panic"), meanwhile)
        });
        let (created, meanwhile) = (created?, meanwhile?);
        let rate = created.latencies.len() as f64 / created.elapsed.as_secs_f64();
        let each = created.latencies.summary();
        let (rest, busy) = (at_rest.summary().p99, meanwhile.summary().p99);
        let ratio = busy.as_secs_f64() / rest.as_secs_f64();
        println!(
            "| {round} | {rate:.0} | {:.2} | {:.2} | {:.3} | {:.3} | {ratio:.2} |",
            millis(each.p50),
            millis(each.p99),
            millis(rest),
            millis(busy)
        );
        rates.push(rate);
        ratios.push(ratio);
    }
    println!("\nMedians: {:.0} creates/s, redirects' p99 {:.2} × at rest\n", median(rates), median(ratios));
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
