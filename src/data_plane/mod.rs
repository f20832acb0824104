//! The data plane: one pinned thread per core answers requests, and does nothing else.
//!
//! - `boot`: listeners, workers, signals, the second's tick, the drain.
//! - `driver`: which way of waiting for the network the machine offers.
//! - `worker`: what belongs to one thread: accepting, waking, each second.
//! - [`Responder`]: from requests to answers: parse, resolve, decide, encode, count, with the worker's cache and counters.
//! - `connection`: read, have it answered, write. `turns`: none keeps the worker for itself.
//! - `fetch`: a miss on its way to the reader threads and back. `mailbox`: what other threads tell a worker.
//! - `timeouts`: connections that are idle, slow to ask or slow to take. `socket` shuts them down.

mod boot;
mod connection;
mod driver;
mod fetch;
mod mailbox;
mod responder;
mod socket;
mod timeouts;
mod turns;
mod worker;

pub use boot::{ServeError, Served, serve};
pub use responder::{End, Now, Peer, Responder, Stop, count_click};
