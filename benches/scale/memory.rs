//! What a server takes that has all links in its cache.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::floods::ask_for_each;
use crate::report::Report;
use crate::server::{Server, Setup};
use crate::{Bench, MIB};

/// Resident beyond keys and targets, in bytes a link.
const GOAL_BYTES: f64 = 170.0;

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    // Built by all cores, as it would be.
    let cores = [bench.cores.server, bench.cores.load];
    let setup = Setup { cores: &cores, ..bench.full() };
    let server = Server::start(&setup)?;
    if !bench.preloads {
        ask_for_each(&server, bench.data.links, bench.data.links)?;
    }
    let Memory { resident, proportional, anonymous } = Memory::of(server.pid())?;
    if bench.preloads {
        let preloaded = server.line("carom: preloaded ")?.context("it did not say that it has preloaded")?;
        ensure!(!preloaded.contains("full"), "not all links are in the cache: {preloaded}");
        report.say("preloaded", preloaded);
    }
    let (links, url) = (bench.data.links as f64, bench.data.url_bytes());
    let beyond = (resident as f64 - url as f64) / links;
    let mib = |bytes: u64| format!("{} MiB", bytes / MIB);
    report.say("keys and targets", mib(url));
    report.say("resident with all links in the cache", mib(resident));
    report.say("… its proportional share", mib(proportional));
    report.say("… of it allocated", mib(anonymous));
    report.judge(
        "resident beyond keys and targets, bytes a link",
        "≤ 170",
        format!("{beyond:.1}"),
        beyond <= GOAL_BYTES,
    );
    report.detail(
        "memory",
        json!({
            "url_bytes": url, "resident_bytes": resident, "proportional_bytes": proportional,
            "anonymous_bytes": anonymous, "beyond_bytes_per_link": beyond, "preloaded": bench.preloads,
        }),
    );
    // With every link clicked once, the statistics take their time.
    server.end()?;
    Ok(())
}

/// What the kernel says of a process, in bytes.
struct Memory {
    resident: u64,
    /// Its share of what it has resident together with others.
    proportional: u64,
    /// Not backed by a file.
    anonymous: u64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let file = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        let bytes = |field: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
            Ok(kib.with_context(|| format!("{field} in {file}"))? * 1024)
        };
        Ok(Self { resident: bytes("Rss")?, proportional: bytes("Pss")?, anonymous: bytes("Anonymous")? })
    }
}
