//! `carom restore`: from a backup to a data directory.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::open::{DEFAULT_DATA, StoreArguments};
use super::{Exit, report, text};
use crate::engine::{self, EngineConfig};

/// Make a data directory of a backup
///
/// The backup is verified first. The directory must be empty or missing; one that an interrupted restore of the same
/// backup left will do.
#[derive(Args)]
pub(super) struct Arguments {
    /// The backup, as `carom backup` wrote it, or a snapshot of a data directory
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The data directory to make
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    data: PathBuf,
    #[command(flatten)]
    store: StoreArguments,
}

/// Restores, and says what is there now.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { file, data, store } = arguments;
    let started = Instant::now();
    let config = EngineConfig { cache_bytes: 0, store: store.store, ..EngineConfig::new(data.clone()) };
    let restored = engine::restore(file, &config)?;
    text::say!(
        "Restored: {} to {} in {:.1} s\n{}\nStore:    {}, built and compared: it has the same digest",
        file.display(),
        data.display(),
        started.elapsed().as_secs_f64(),
        report::snapshot(&restored.manifest),
        config.store_kind()
    );
    if restored.tokens > 0 {
        text::say!(
            "Tokens:   {} came with it, and each holds as when the backup was taken, also if it was revoked since: look \
             with `carom token list`, and revoke with `carom token rm ID` what should not hold",
            text::count(restored.tokens as u64, "token of the admin API")
        );
    }
    text::say!("Serve it: carom serve --data {}", data.display());
    Ok(Exit::Done)
}
