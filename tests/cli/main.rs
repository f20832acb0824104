//! The command line over the API, on the real binary: every command the same way over the network, the control socket
//! and in process.

mod bulk;
mod links;
mod lost;
mod pages;
mod place;
mod settings;
mod state;
mod stats;
#[path = "../support/mod.rs"]
mod support;
