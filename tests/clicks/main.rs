//! Clicks, end to end: the real binary, real sockets. Every click is counted once, whatever happens; what is kept beside the
//! counts is what the documentation says, and no address of anyone is.
//!
//! `CAROM_CLICKS_REQUESTS=50000000 cargo test --release --test clicks exact` and
//! `CAROM_CLICKS_ROUNDS=100 cargo test --test clicks crash` take their time.

mod api;
#[path = "../api/client.rs"]
#[allow(dead_code, reason = "this is only a part of its use")]
mod client;
mod crash;
mod exact;
mod feed;
mod humans;
mod load;
mod opt_out;
mod privacy;
mod sampling;
#[path = "../support/mod.rs"]
mod support;
mod world;
mod wrong_input;
