//! The caches of the read path.

#[cfg(test)]
mod coherence;
mod entry;
mod ghost;
mod local;
mod shard;
mod shared;
mod sync;

pub use entry::{CachedLink, LinkView};
pub use local::LocalCache;
pub use shared::{SharedCache, SharedStats, Stamp};
