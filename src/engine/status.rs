//! How an engine stands, for whoever looks after it.

use super::{Engine, Health};
use crate::cache::FilterStatus;
use crate::clicks::{ClicksStatus, Keep, UsesStatus};
use crate::config::Durability;
use crate::log::LogId;
use crate::log::disk::{Disk, RealDisk};
use crate::store::{Position, StoreKind};

/// How an engine stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether changes are accepted.
    pub health: Health,
    /// The log's name.
    pub log_id: LogId,
    /// The last record that is applied to the store; None while the store can't be read.
    pub record: Option<u64>,
    /// What is done before a change is acknowledged.
    pub durability: Durability,
    /// Which store holds the links.
    pub store: StoreKind,
    /// How many bytes may still be written to the disk of the data directory, if the operating system says.
    pub free_bytes: Option<u64>,
    /// Free space below which no change is accepted, in bytes.
    pub disk_reserve_bytes: u64,
    /// How the filter of all keys stands.
    pub filter: FilterStatus,
    /// What is kept of clicks, and how counting them stands; None if the engine was opened without them.
    pub clicks: Option<(Keep, ClicksStatus)>,
    /// How the links with a limit of clicks stand that were used.
    pub uses: UsesStatus,
}

impl Status {
    pub(super) fn of(engine: &Engine) -> Self {
        let Engine { config, log_id, store, views, .. } = engine;
        // Whoever asks wants to know while a store is opened again, and not after.
        let position = store.try_get().and_then(|store| store.position().ok());
        Status {
            health: engine.health(),
            log_id: *log_id,
            record: position.map(|position| position.map_or(0, |Position { sequence, .. }| sequence)),
            durability: config.durability,
            store: config.store_kind(),
            free_bytes: RealDisk.free_bytes(&config.data).ok(),
            disk_reserve_bytes: config.disk_reserve_bytes,
            filter: views.filter.status(),
            clicks: engine.clicks().map(|clicks| (clicks.keep(), clicks.status())),
            uses: views.uses.as_ref().map(|uses| uses.status()).unwrap_or_default(),
        }
    }
}
