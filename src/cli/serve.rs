//! `carom serve`: answer requests.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum, ValueHint};

use super::Exit;
use super::counting::ClickArguments;
use super::import::{ImportOptions, ImportOutcome, RowChains, check_header, import_file};
use super::open::{self, DEFAULT_DATA, MIB, STORE_CACHE_MIB, StoreArguments};
use super::text;
use crate::config::{DriverChoice, Durability, ServeConfig};
use crate::control_plane::{self, AdminConfig, AdminPlane, ControlPlane};
use crate::data_plane::{self, Served};
use crate::engine::{EngineConfig, FilterKeeper, OwnedEngine, Preloaded};
use crate::limits::DISK_RESERVE_BYTES;
use crate::link::{Host, LinkKey};

/// Answer requests with redirects
#[derive(Args)]
pub(super) struct RawArguments {
    /// Where the links are kept; it is created if it is missing
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    data: PathBuf,
    #[command(flatten)]
    store: StoreArguments,
    /// What is done before a change is acknowledged: where its record is by then
    #[arg(long, value_enum, default_value_t)]
    durability: Durability,
    /// Take a snapshot after so much log, in MiB; the log before the snapshots that are kept is removed
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    snapshot_log_mib: u64,
    /// How many of these snapshots are kept
    #[arg(long, value_name = "N", default_value_t = 2)]
    snapshots_kept: usize,
    /// Free space on the disk below which no change is accepted, in MiB; 0 for none
    #[arg(long, value_name = "N", default_value_t = DISK_RESERVE_BYTES / MIB)]
    disk_reserve_mib: u64,
    /// How long opening the store may take; after that it is set aside and built again
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    store_open_timeout: u64,
    /// IP address and port to listen on, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = listen_address)]
    listen: SocketAddr,
    /// IP address and port of the admin API, such as 127.0.0.1:9090; `none` to go without it. Whoever reaches it
    /// and has a token can change everything: keep it from the public
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090", value_parser = admin_address)]
    admin: AdminAddress,
    /// Requests per second that one token may make of the admin API
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    admin_rate: u32,
    /// Import this CSV file first, as `carom import` does; with invalid rows in it, nothing is served
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    import: Option<PathBuf>,
    /// Threads that answer requests [default: as many as the cores that the process may use]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How to wait for the network
    #[arg(long, value_enum, default_value = "auto")]
    driver: Driver,
    /// Memory for the cache of links, in MiB
    #[arg(long, value_name = "N", default_value_t = 512)]
    cache_mib: u64,
    /// Fill the cache from the store before the first request is taken, until all links are in it or it is full
    #[arg(long)]
    preload: bool,
    /// Memory for the store's own cache, in MiB; fjall takes a 16th of what the store has on the disk, up to 256 MiB, if that is
    /// more
    #[arg(long, value_name = "N", default_value_t = STORE_CACHE_MIB)]
    store_cache_mib: u64,
    /// How long open requests may take to end when carom is asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u64,
    /// How long a connection may wait for its next request
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    idle_timeout: u64,
    /// How long a request may take to arrive once it has begun
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    header_timeout: u64,
    /// How long a client may take to read an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    write_timeout: u64,
    /// Most connections that one worker keeps open
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    max_connections: usize,
    #[command(flatten)]
    clicks: ClickArguments,
}

/// Names are left to others: one may stand for many addresses, and for others tomorrow.
fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "give an IP address and port, such as 127.0.0.1:8080")
}

/// Where the admin API listens, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AdminAddress(Option<SocketAddr>);

fn admin_address(text: &str) -> Result<AdminAddress, &'static str> {
    if text == "none" {
        return Ok(AdminAddress(None));
    }
    let address = text.parse().map_err(|_| "give an IP address and port, such as 127.0.0.1:9090, or none")?;
    Ok(AdminAddress(Some(address)))
}

/// How the workers wait for the network.
#[derive(Clone, Copy, ValueEnum)]
enum Driver {
    /// io_uring if the kernel allows it, else epoll
    Auto,
    /// io_uring, or not at all
    Uring,
    /// epoll
    Epoll,
}

impl From<Driver> for DriverChoice {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Auto => DriverChoice::Auto,
            Driver::Uring => DriverChoice::Uring,
            Driver::Epoll => DriverChoice::Epoll,
        }
    }
}

/// The arguments, checked.
#[derive(Debug)]
pub(super) struct ServeArgs {
    engine: EngineConfig,
    import: Option<PathBuf>,
    preload: bool,
    serve: ServeConfig,
    admin: AdminConfig,
}

/// A number that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{argument} {value} makes no sense; give a number from {least} to {most}")]
pub(super) struct OutOfRange {
    pub(super) argument: &'static str,
    pub(super) value: u64,
    pub(super) least: u64,
    pub(super) most: u64,
}

/// Most threads: far more than there are cores in a machine.
const MAX_WORKERS: u64 = 1_024;
/// Most memory for a cache: far more than there is in a machine, and no overflow in bytes.
pub(super) const MAX_CACHE_MIB: u64 = 16 * 1024 * 1024;
/// Most snapshots that are kept. Who wants more wants backups, which lie elsewhere.
const MAX_SNAPSHOTS: u64 = 1_000;
/// Longest timeout, a day. What should wait longer than that should not wait.
const MAX_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;
/// Most connections of one worker. The kernel's own limit of open files is below it.
const MAX_CONNECTIONS: u64 = 16 * 1024 * 1024;

/// Most requests per second and token: far more than one thread answers.
const MAX_RATE: u64 = 1_000_000;

impl RawArguments {
    /// Refuses numbers that make no sense.
    pub(super) fn check(self) -> Result<ServeArgs, OutOfRange> {
        let number = |argument, value, most| match value {
            value if (1..=most).contains(&value) => Ok(value),
            value => Err(OutOfRange { argument, value, least: 1, most }),
        };
        let count = |argument, value: usize, most| number(argument, value as u64, most).map(|_| value);
        let seconds = |argument, value| number(argument, value, MAX_TIMEOUT_SECONDS).map(Duration::from_secs);
        let mib = |argument, value| number(argument, value, MAX_CACHE_MIB).map(|value| value * MIB);
        let usual = EngineConfig::new(self.data);
        Ok(ServeArgs {
            engine: EngineConfig {
                clicks: Some(self.clicks.check(usual.clicks_dir())?),
                cache_bytes: usize::try_from(mib("--cache-mib", self.cache_mib)?).unwrap_or(usize::MAX),
                store: self.store.store,
                store_cache_bytes: mib("--store-cache-mib", self.store_cache_mib)?,
                store_open_timeout: seconds("--store-open-timeout", self.store_open_timeout)?,
                durability: self.durability,
                disk_reserve_bytes: match self.disk_reserve_mib {
                    0 => 0,
                    reserve => mib("--disk-reserve-mib", reserve)?,
                },
                snapshot_log_bytes: mib("--snapshot-log-mib", self.snapshot_log_mib)?,
                snapshots_kept: count("--snapshots-kept", self.snapshots_kept, MAX_SNAPSHOTS)?,
                ..usual
            },
            import: self.import,
            preload: self.preload,
            admin: AdminConfig {
                listen: self.admin.0,
                rate: u32::try_from(number("--admin-rate", u64::from(self.admin_rate), MAX_RATE)?)
                    .ok()
                    .and_then(NonZeroU32::new)
                    .expect("it was checked"),
            },
            serve: ServeConfig {
                listen: self.listen,
                workers: match self.workers {
                    Some(workers) => count("--workers", workers, MAX_WORKERS)?,
                    None => cores(),
                },
                driver: self.driver.into(),
                max_connections: count("--max-connections", self.max_connections, MAX_CONNECTIONS)?,
                idle_timeout: seconds("--idle-timeout", self.idle_timeout)?,
                header_timeout: seconds("--header-timeout", self.header_timeout)?,
                write_timeout: seconds("--write-timeout", self.write_timeout)?,
                drain_timeout: seconds("--drain-timeout", self.drain_timeout)?,
            },
        })
    }
}

/// How many cores the process may use. One is right where that can't be known.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Opens the engine, imports what is to be imported, and serves.
pub(super) fn run(arguments: ServeArgs) -> Result<Exit> {
    arguments.import.as_deref().map(check_header).transpose()?;
    let engine = open::engine_to_serve(&arguments.engine)?;
    let admin = match start_admin(&engine, &arguments.admin) {
        Ok(admin) => admin,
        Err(error) => {
            engine.close()?;
            return Err(error);
        }
    };
    let control = ControlPlane::start(engine.engine(), &admin).inspect_err(|error| {
        text::tell!(
            "carom: WARNING: there is no control socket: {error}. `carom status` and `carom backup` can't reach this server"
        );
    });
    let outcome = import_and_serve(&engine, &arguments);
    // Before the engine is closed, which it would ask.
    if let Ok(control) = control {
        control.stop();
    }
    admin.stop();
    let closed = engine.close();
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

/// Makes the first token if there is none, and starts the admin API.
fn start_admin(engine: &OwnedEngine, config: &AdminConfig) -> Result<AdminPlane> {
    if config.listen.is_some()
        && let Err(error) = control_plane::ensure_first_token(engine.engine())
    {
        text::tell!("carom: WARNING: there is no token for the admin API: {error}");
    }
    let admin = AdminPlane::start(engine.engine(), config)?;
    if let Some(address) = admin.address() {
        let token = control_plane::valid_token_file(engine.engine());
        let token = token.map_or_else(String::new, |token| format!(", token in {}", token.display()));
        text::tell!("carom: admin API on http://{address}{token}");
        if !address.ip().is_loopback() {
            text::tell!(
                "carom: WARNING: the admin API can be reached from other machines at {address}, without TLS: whoever \
                 listens on the way reads the tokens. Put a proxy with TLS before it, and keep the address behind that"
            );
        }
    }
    Ok(admin)
}

/// Imports what is to be imported, and serves until it is told to stop.
fn import_and_serve(engine: &OwnedEngine, arguments: &ServeArgs) -> Result<Exit> {
    if let Some(file) = &arguments.import {
        let options = ImportOptions { keep_going: false, json: false, chains: RowChains::Allow };
        let outcome = import_file(engine.engine(), file, options);
        let outcome = outcome.context("nothing is served")?;
        if outcome != ImportOutcome::Done {
            return Ok(outcome.into());
        }
    }
    // Keeps the filter of all keys as long as it is there.
    let _filter = if arguments.preload { preload(engine)? } else { engine.engine().keep_filter()? };
    let example = engine.engine().first_link()?;
    let Served { requests, connections, counts, cut, workers_left } =
        data_plane::serve(engine.engine(), &arguments.serve, |address, driver| {
            text::tell!("carom: listening on {address} with {driver}");
            if let Some(link) = example {
                text::tell!("carom: try: {}", curl_line(address, &link.key));
            }
        })?;
    let (requests, connections) = (text::count(requests, "request"), text::count(connections, "connection"));
    text::tell!("carom: stopped after {requests} on {connections}");
    let counts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(counter, count)| format!("{count} {}", counter.name()))
        .collect();
    text::tell!("carom: counted: {}", if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") });
    if cut {
        text::tell!("carom: some connections had not ended in time and were cut; --drain-timeout gives them longer");
    }
    if workers_left > 0 {
        let workers = text::count(workers_left as u64, "worker");
        text::tell!("carom: {workers} had not ended in time; the clicks of their last half second are missing");
    }
    Ok(Exit::Done)
}

/// Fills the cache.
fn preload(engine: &OwnedEngine) -> Result<FilterKeeper> {
    let (filter, preloaded) = engine.engine().preload(cores())?;
    match preloaded {
        Ok(Preloaded { links, took, is_full }) => {
            let (about, full) = match is_full {
                true => ("about ", "; then the cache was full, and --cache-mib gives it more"),
                false => ("", ""),
            };
            text::tell!("carom: preloaded {about}{} in {:.1} s{full}", text::count(links, "link"), took.as_secs_f64());
        }
        Err(error) => text::tell!("carom: WARNING: links are not preloaded: {error}. The cache fills as requests come"),
    }
    Ok(filter)
}

/// The command that asks for a link.
fn curl_line(address: SocketAddr, key: &LinkKey) -> String {
    // Between single quotes a shell takes everything as it is, but for the quote.
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let (host, path) = key.as_str().split_at(key.as_str().find('/').unwrap_or_default());
    let url = quote(&format!("http://{address}{path}"));
    if host == Host::ANY {
        format!("curl -i {url}")
    } else {
        format!("curl -i -H {} {url}", quote(&format!("Host: {host}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};
    use clap::Parser;

    fn checked(arguments: &[&str]) -> Result<ServeArgs, OutOfRange> {
        let arguments = [&["carom", "serve"], arguments].concat();
        match Arguments::try_parse_from(arguments).unwrap().command {
            Command::Serve(raw) => raw.check(),
            _ => panic!("not serve"),
        }
    }

    #[test]
    fn the_line_to_try_can_be_pasted_into_a_shell() {
        let address = "127.0.0.1:8080".parse().unwrap();
        for (source, line) in [
            ("/sale", "curl -i 'http://127.0.0.1:8080/sale'"),
            ("h.example/a?b=$c&d", "curl -i -H 'Host: h.example' 'http://127.0.0.1:8080/a?b=$c&d'"),
            ("/it's", r"curl -i 'http://127.0.0.1:8080/it'\''s'"),
        ] {
            assert_eq!(curl_line(address, &LinkKey::parse(source).unwrap()), line);
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help() {
        let arguments = checked(&[]).unwrap();
        assert_eq!(arguments.engine.data, PathBuf::from("carom-data"));
        assert_eq!(arguments.engine.cache_bytes, 512 << 20);
        assert_eq!(arguments.engine.store_cache_bytes, 2 << 20);
        assert_eq!(arguments.engine.store_open_timeout, Duration::from_secs(120));
        assert_eq!(arguments.engine.durability, Durability::Fsync);
        assert_eq!(arguments.engine.disk_reserve_bytes, DISK_RESERVE_BYTES);
        assert_eq!(arguments.engine.snapshot_log_bytes, 1 << 30);
        assert_eq!(arguments.engine.snapshots_kept, 2);
        assert_eq!(arguments.import, None);
        let serve = arguments.serve;
        assert_eq!(serve.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(serve.workers, std::thread::available_parallelism().unwrap().get());
        assert_eq!(serve.driver, DriverChoice::Auto);
        assert_eq!(serve.drain_timeout, Duration::from_secs(30));
        assert_eq!(serve.idle_timeout, Duration::from_secs(60));
        assert_eq!(serve.header_timeout, Duration::from_secs(10));
        assert_eq!(serve.write_timeout, Duration::from_secs(10));
        assert_eq!(serve.max_connections, 65_536);
    }

    #[test]
    fn a_disk_may_be_used_to_its_last_byte() {
        assert_eq!(checked(&["--disk-reserve-mib", "0"]).unwrap().engine.disk_reserve_bytes, 0);
        assert_eq!(checked(&["--disk-reserve-mib", "3"]).unwrap().engine.disk_reserve_bytes, 3 << 20);
        assert!(checked(&["--disk-reserve-mib", "16777217"]).is_err());
        assert_eq!(checked(&["--durability", "os"]).unwrap().engine.durability, Durability::Os);
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for (argument, most) in [
            ("--workers", "1024"),
            ("--cache-mib", "16777216"),
            ("--store-cache-mib", "16777216"),
            ("--snapshot-log-mib", "16777216"),
            ("--snapshots-kept", "1000"),
            ("--store-open-timeout", "86400"),
            ("--drain-timeout", "86400"),
            ("--idle-timeout", "86400"),
            ("--header-timeout", "86400"),
            ("--write-timeout", "86400"),
            ("--max-connections", "16777216"),
        ] {
            assert!(checked(&[argument, "1"]).is_ok());
            assert!(checked(&[argument, most]).is_ok());
            for value in ["0", "18446744073709551615"] {
                let error = checked(&[argument, value]).unwrap_err().to_string();
                assert_eq!(error, format!("{argument} {value} makes no sense; give a number from 1 to {most}"));
            }
        }
    }
}
