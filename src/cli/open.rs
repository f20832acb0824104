//! Opening the engine, and saying loudly what was found amiss.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::config::Durability;
use crate::control_plane::Connection;
use crate::engine::{EngineConfig, LockError, OpenError, OwnedEngine, Recovery, holder};
use crate::store::StoreKind;

/// Where links are kept unless `--data` says otherwise.
pub(super) const DEFAULT_DATA: &str = "carom-data";

/// Memory for the store's own cache, in MiB, unless told otherwise. Links that are asked for are cached elsewhere.
pub(super) const STORE_CACHE_MIB: u64 = 2;

/// Which store, as every command that takes `--data` asks.
#[derive(clap::Args)]
pub(super) struct StoreArguments {
    /// What holds the links; if another one lies there, it is set aside and built again from the log [default: the one
    /// that lies there, else sled]
    #[arg(long, value_enum)]
    pub(super) store: Option<StoreKind>,
}

impl ValueEnum for StoreKind {
    fn value_variants<'a>() -> &'a [Self] {
        &StoreKind::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            StoreKind::Sled => "a tree of pages",
            StoreKind::Fjall => "sorted, compressed files; less disk and faster imports for millions of links",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

impl ValueEnum for Durability {
    fn value_variants<'a>() -> &'a [Self] {
        &[Durability::Fsync, Durability::Os]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Durability::Fsync => "on the disk: it outlives a power failure",
            Durability::Os => "with the operating system: it outlives carom, and a power failure a second later",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// Refuses a directory that holds nothing of carom: opening it would make it a data directory.
pub(super) fn check_is_data(data: &Path) -> Result<()> {
    let is_data = ["log", "store", "store.beside", "snapshots"].iter().any(|name| data.join(name).exists());
    ensure!(
        data.exists(),
        "there are no links in {}: it does not exist. Name the data directory with --data",
        data.display()
    );
    ensure!(
        is_data,
        "there are no links in {}: it is not a data directory of carom. Name the one that was imported into with --data",
        data.display()
    );
    Ok(())
}

/// Bytes in a mebibyte.
pub(super) const MIB: u64 = 1 << 20;

/// How long a command waits for another one to let go of the data directory: as long as several short ones take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits before it looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens the engine for a server, at once or not at all, and reports to stderr what had to be done to its data.
pub(super) fn engine_to_serve(config: &EngineConfig) -> Result<OwnedEngine> {
    let (engine, recovery) = OwnedEngine::open(config)?;
    report(&recovery);
    Ok(engine)
}

/// The same for a command, which waits a little while another command holds the data directory.
pub(super) fn engine(config: &EngineConfig) -> Result<OwnedEngine> {
    match unless_served(config)? {
        Some(engine) => Ok(engine),
        // It says who serves.
        None => engine_to_serve(config),
    }
}

/// The same; None if a server answers there.
pub(super) fn unless_served(config: &EngineConfig) -> Result<Option<OwnedEngine>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match OwnedEngine::open(config) {
            Err(OpenError::Lock(LockError::InUse { path, holder })) => {
                if Connection::open(&path)?.is_some() {
                    return Ok(None);
                }
                ensure!(Instant::now() < deadline, in_use(&path, &holder));
                std::thread::sleep(PAUSE);
            }
            opened => {
                let (engine, recovery) = opened?;
                report(&recovery);
                return Ok(Some(engine));
            }
        }
    }
}

/// Waits a little until no other process holds a data directory. Who serves it, if one begins to answer.
pub(super) fn wait_until_free(data: &Path) -> Result<Option<String>> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(holder) = holder(data)? {
        if Connection::open(data)?.is_some() {
            return Ok(Some(holder));
        }
        ensure!(Instant::now() < deadline, in_use(data, &holder));
        std::thread::sleep(PAUSE);
    }
    Ok(None)
}

/// What a process is that holds a data directory and does not answer.
pub(super) const TAKES_NO_REQUESTS: &str = "takes no requests: it is another command, or a server that has not \
                                            finished starting, or one without control socket";

fn in_use(data: &Path, holder: &str) -> String {
    format!(
        "the data directory {} is in use by {holder}, which {TAKES_NO_REQUESTS}. Try again when it has ended, or listens",
        data.display()
    )
}

fn report(recovery: &Recovery) {
    if let Some(torn) = &recovery.torn {
        super::text::tell!(
            "carom: WARNING: {} ended with an unfinished record at offset {} ({}). It was cut off. No change that \
             was acknowledged is lost.",
            torn.path.display(),
            torn.offset,
            torn.reason
        );
    }
    for error in &recovery.unreadable {
        super::text::tell!(
            "carom: WARNING: a snapshot could not be read when the store was built, and an older one or the whole log was \
             used: {error}"
        );
    }
    let from = if recovery.loaded_entries > 0 { "a snapshot and the log" } else { "the log" };
    if let Some(aside) = &recovery.set_aside {
        super::text::tell!(
            "carom: WARNING: the store could not be used: {}. It was rebuilt from {from}. The old store is now {}; \
             delete it when the links are as expected and nobody wants to look into it.",
            aside.reason,
            aside.path.display()
        );
    }
    if recovery.loaded_entries > 0 {
        let entries = super::text::count_of(recovery.loaded_entries, "entry", "entries");
        super::text::tell!("carom: built the store from {entries} of a snapshot");
    }
    if recovery.applied_records > 0 {
        super::text::tell!(
            "carom: brought the store up to date with {} of the log",
            super::text::count(recovery.applied_records, "record")
        );
    }
}
