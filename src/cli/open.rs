//! Opening the engine, and saying loudly what was found amiss.

use anyhow::Result;

use crate::engine::{EngineConfig, OwnedEngine, Recovery};

/// Where links are kept unless `--data` says otherwise.
pub(super) const DEFAULT_DATA: &str = "carom-data";

/// Memory for the store's own cache, in MiB, unless told otherwise. Links that are asked for are cached elsewhere.
pub(super) const STORE_CACHE_MIB: u64 = 2;

/// Bytes in a mebibyte.
pub(super) const MIB: u64 = 1 << 20;

/// Opens the engine and reports to stderr what had to be done to its data.
pub(super) fn engine(config: &EngineConfig) -> Result<OwnedEngine> {
    let (engine, recovery) = OwnedEngine::open(config)?;
    report(&recovery);
    Ok(engine)
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
    if let Some(aside) = &recovery.set_aside {
        super::text::tell!(
            "carom: WARNING: the store could not be used: {}. It was rebuilt from the log. The old store is now {}; \
             delete it when the links are as expected and nobody wants to look into it.",
            aside.reason,
            aside.path.display()
        );
    }
    if recovery.applied_records > 0 {
        super::text::tell!(
            "carom: brought the store up to date with {} of the log",
            super::text::count(recovery.applied_records, "record")
        );
    }
}
