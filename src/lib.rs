//! Carom answers HTTP requests with redirects: short links, and the redirect maps of moved sites.
//!
//! # The map of the crate
//!
//! Arrows point down this list only; `tests/tidy.rs` holds the rule.
//!
//! - [`cli`]: one file a subcommand. Raw arguments in, exit code out.
//! - [`data_plane`]: one pinned thread per core answers requests: parse, resolve, encode, count, write. The only
//!   room that knows `monoio`.
//! - [`control_plane`]: what whoever looks after a running server asks of it: the REST API, status, backups.
//! - [`engine`]: the one [`Engine`](engine::Engine) all planes share. The read path (cache, then store), the
//!   one writer (log, apply, store, invalidate, reply), recovery.
//! - [`clicks`]: clicks: who asks, how often each link was clicked and by whom, the journal, the rollups by minute, day and
//!   month, what can be asked of them; and the links that have a limit of clicks.
//! - [`cache`]: the two caches of the read path, the stamps that keep them coherent, and the filter of all keys.
//! - [`store`]: the [`Store`](store::Store) trait; sled, fjall and memory behind it.
//! - [`log`]: the log of changes: records, segments, append and replay.
//! - [`transfer`]: importers: bytes to links, one file a format.
//! - [`http1`]: requests and answers: bytes to types and back. No I/O, no clock.
//! - [`link`]: the domain: hosts, keys, targets, links, commands, outcomes, and how they are stored.
//! - [`telemetry`]: counters of what is answered, refused and went wrong, by worker.
//! - [`config`], [`limits`], [`clock`]: what is set, what is bounded, what time it is.
//!
//! # Invariants
//!
//! The numbers stand in the code where each is kept.
//!
//! - **I1** The log is the truth; the store is a view. A change is acknowledged only after its record is durable
//!   in the log and applied. The store can be deleted at any time and is rebuilt from snapshots and log.
//! - **I2** One writer. All changes pass through one thread, in one total order. Workers never write.
//! - **I3** Apply is a pure function of (state, record): no clock, no random numbers, no I/O decisions.
//! - **I4** A hit touches no shared cache line for writing: no lock, no allocation, no reference count, no shared counter.
//! - **I5** Read your writes. Once a change is acknowledged, every later request on every worker sees it.
//! - **I6** Everything has a limit, in [`limits`], in [`config`], or beside what it bounds. What goes over it gets a
//!   defined answer, and is counted.
//! - **I7** Clicks never slow a redirect and never enter the log of changes. Counts are exact; details may be sampled, with
//!   weights that say so.
//! - **I8** Corruption is detected, never served. A bad record stops the node with a message that says which
//!   file, which offset and what to do.
//! - **I9** A failed fsync is fatal for writing: nothing is acknowledged after it, redirects go on.

pub mod cache;
pub mod cli;
pub mod clicks;
pub mod clock;
pub mod config;
pub mod control_plane;
pub mod data_plane;
pub mod engine;
pub mod http1;
pub mod limits;
pub mod link;
pub mod log;
pub mod store;
pub mod telemetry;
pub mod transfer;
