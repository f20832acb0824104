//! The data plane: one pinned thread per core answers requests, and does nothing else.
//!
//! - `boot`: listeners, workers, signals, the second's tick, the drain.
//! - `driver`: which way of waiting for the network the machine offers.
//! - `worker`: what belongs to one thread: accepting, waking, its caches and counters.
//! - `connection`: the four calls of a request: parse, resolve, encode, write.
//! - `fetch`: a miss on its way to the reader threads and back. `mailbox`: what other threads tell a worker.
//! - `timeouts`: connections that are idle, slow to ask or slow to take. `socket` shuts them down.

mod boot;
mod connection;
mod driver;
mod fetch;
mod mailbox;
mod socket;
mod timeouts;
mod worker;

pub use boot::{ServeError, Served, serve};
