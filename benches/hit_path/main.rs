//! What one redirect costs: `cargo bench --bench hit_path`.
//!
//! Times without I/O it says itself, of all and of parts. `.ci/hit_path` counts, which unlike times is the same on a busy
//! machine: it runs `--part NAME` under callgrind, which collects only inside of the function of that name; and it has
//! `--ask` ask a server that runs under callgrind, or strace.

mod client;
mod hit;

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use hit::Hits;

/// Measures what a redirect costs.
#[derive(Parser)]
struct Args {
    /// Only this part, for so many rounds
    #[arg(long)]
    part: Option<String>,
    /// Rounds through all requests
    #[arg(long, default_value_t = 20_000)]
    rounds: usize,
    /// Print how many requests a round has, and nothing else
    #[arg(long)]
    round: bool,
    /// Print the links as a file to import, and nothing else
    #[arg(long)]
    links: bool,
    /// Ask the server at this address, which has these links, and nothing else
    #[arg(long, value_name = "ADDR")]
    ask: Option<SocketAddr>,
    /// How often to ask
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// On how many connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

type Part = fn(&mut Hits, &[String], usize);

const PARTS: [(&str, Part); 7] = [
    ("whole", hit::whole),
    ("parse", hit::parse),
    ("first_parse", hit::first_parse),
    ("find", hit::find_all),
    ("decide", hit::decide_all),
    ("encode", hit::encode_all),
    // Its time is with that of `find`, which has to go before.
    ("count", hit::click),
];

fn main() -> Result<()> {
    let args = Args::parse();
    let inputs: Vec<String> = (0..hit::LINKS).map(hit::browser_request).collect();
    if args.round {
        println!("{}", hit::LINKS);
        return Ok(());
    }
    if args.links {
        println!("source,target,status");
        (0..hit::LINKS).for_each(|number| println!("{},{},302", hit::key(number), hit::target(number)));
        return Ok(());
    }
    if let Some(address) = args.ask {
        return client::ask(address, args.connections, args.requests, &inputs);
    }
    let data = tempfile::tempdir()?;
    let engine = hit::engine(data.path());
    let mut hits = Hits::new(engine.engine());
    hits.fill(engine.engine(), &inputs);
    let redirects = hits.redirects();
    hit::whole(&mut hits, &inputs, 1);
    ensure!(hits.redirects() == redirects + hit::LINKS as u64, "not every request was answered with a redirect");
    match &args.part {
        Some(name) => {
            let known = PARTS.iter().find(|(part, _)| part == name);
            let (_, part) = known.with_context(|| format!("--part {name}: there is no such part"))?;
            part(&mut hits, &inputs, args.rounds);
        }
        None => {
            for (name, part) in PARTS {
                part(&mut hits, &inputs, 100);
                let start = Instant::now();
                part(&mut hits, &inputs, args.rounds);
                let requests = (args.rounds * inputs.len()) as f64;
                println!("{name:8} {:7.1} ns", start.elapsed().as_nanos() as f64 / requests);
            }
        }
    }
    engine.close()?;
    Ok(())
}
