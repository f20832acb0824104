//! The control plane: what whoever looks after a running server asks of it.
//!
//! The `api` is answered on an address of its own, by the thread of [`AdminPlane`], which is the only one with an
//! asynchronous runtime; redirects know nothing of it. `patient`: who takes no answer loses it. `first_token`: how the first who asks gets in. `local`: the same
//! API for commands on the same machine, with all rights. `room`: which connections there may be. `refusals`: what was not
//! done as it was asked, counted.
//!
//! A Unix socket in the data directory, for commands of the same version of carom on the same machine. One connection
//! carries one request: a line, `status`, `backup` or `api`. After `api` and its `ok` the stream belongs to the API, and
//! carries HTTP; whoever may open the socket may do all. The answer begins with a line, `ok` or `error` and why. Then
//! come, for `status`, lines `key: value` up to the end; for `backup` the snapshot in frames: four bytes of length,
//! little-endian, and so many bytes. A frame of length 0 ends it, and after it stands a line of the same two kinds: a
//! snapshot that broke off says why.
//!
//! - [`ControlPlane`]: answers. [`Connection`]: asks. `socket`: where they meet. `frames`: a stream that can say how it
//!   ended.

mod admin;
pub(crate) mod api;
mod client;
mod first_token;
mod frames;
mod local;
mod patient;
mod refusals;
mod room;
mod server;
mod socket;

pub use admin::{AdminConfig, AdminError, AdminPlane};
pub use client::{AskError, Connection};
pub use first_token::{FirstTokenError, ensure_first_token, valid_token_file};
pub use local::{connect_control, connect_local};
pub use server::ControlPlane;

/// Longest request, in bytes.
const REQUEST_BYTES: usize = 4 * 1024;

/// Longest line of an answer, in bytes.
const LINE_BYTES: usize = 64 * 1024;

/// Says something on stderr. Where that is closed, `eprintln!` would panic.
fn tell(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "carom: {text}");
}
