//! The admin API end to end: the real binary, real sockets.

mod auth;
mod bodies;
mod bulk;
mod changes;
mod client;
mod conditions;
mod connections;
mod consistency;
mod control;
mod hosts;
mod links;
mod loads;
mod states;
mod stats;
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod tokens;
mod workers;
