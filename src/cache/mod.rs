//! The two caches of the read path, and the stamps that keep them coherent.
//!
//! - [`SharedCache`] (L2) is one for all workers: shards, each a lock around an eviction policy, bounded in bytes.
//! - [`LocalCache`] (L1) is one a worker: a hit there writes to nothing that another core reads (I4).
//! - [`CachedLink`] is what goes in and comes out: a link, or the fact that there is none. L1 holds it as it is, L2 holds
//!   its bytes, packed one after the other, and copies them out for each hit.
//! - [`SharedFilter`] knows of most keys without an entry that there is none, in a bit more than a byte a key, so that
//!   whoever asks for such keys reaches neither the shared cache nor the store. `filter.rs` argues why it never hides a link.
//!
//! # The protocol
//!
//! Keys fall into stripes by their hash, and each stripe has a version: its [`Stamp`].
//!
//! A reader, for one key:
//!
//! 1. looks into L1: an entry is valid while the stamp it is kept under still equals the stripe's;
//! 2. takes the stamp;
//! 3. looks into L2, and keeps what it finds in L1 under that stamp;
//! 4. reads the store, and keeps what it finds in L1 under that stamp, and in L2 by [`SharedCache::fill`], which
//!    compares the stamp again under the shard's lock and keeps nothing if it has moved.
//!
//! A second request for the key that comes during step 4 may share the result if [`SharedCache::is_current`] says so
//! as it comes; else it starts at step 2.
//!
//! The writer, for each key a change touches: applies the change to the store; moves the stamp and replaces the entry
//! of L2, both under the shard's lock ([`SharedCache::replace`]); acknowledges the change.
//!
//! # Why nobody reads an old link after the acknowledgement (I5)
//!
//! Take a request that begins after a change was acknowledged. The stamp was moved before that, so this request, and
//! every later one, sees the new stamp or one newer still. An old link could reach it in four ways:
//!
//! - *From L1.* Then it was kept under the new stamp, so it was looked up after its reader saw the new stamp: in L2 or
//!   in the store, which are the next two cases. What was kept under an older stamp is not valid.
//! - *From L2.* Who sees the new stamp and then takes the shard's lock comes after the writer let go of it, so after
//!   the entry was replaced. An old link would have to be filled in later than that. But a fill compares its stamp under
//!   the same lock: with an older stamp it keeps nothing; with the new one it was read from the store after the
//!   new stamp was seen, which is the next case.
//! - *From the store.* The writer applied the change before it moved the stamp (Release), and the reader saw the
//!   stamp (Acquire) before it read the store: it reads the change.
//! - *From a flight it joined.* The stamp of the flight was current when the request came, so the flight took the new
//!   stamp before it read the store: the case before.
//!
//! The only other writes are evictions and the dropping of stale entries, which can make nothing old. Keys that
//! share a stripe, or a whole hash, cost each other lookups; links are told apart by the whole key, always.
//!
//! `coherence.rs` checks this with real threads, and with thousands of schedules under a model checker
//! (`cargo test --features shuttle --lib cache::`).

mod bloom;
mod bulk;
#[cfg(test)]
mod coherence;
mod entry;
mod filter;
mod ghost;
mod local;
mod log;
mod origins;
mod record;
mod shard;
mod shared;
mod sync;

pub use bulk::BulkFill;
pub use entry::{CachedLink, LinkView};
pub use filter::{Additions, FilterBuild, FilterStatus, HeldFilter, SharedFilter};
pub use local::{CLASSES, Counted, LocalCache, Tally};
pub use shared::{SharedCache, SharedStats, Stamp};
