//! The control plane: what whoever looks after a running server asks of it.
//!
//! A Unix socket in the data directory, for commands of the same version of carom on the same machine. One connection
//! carries one request: a line, `status` or `backup`. The answer begins with a line, `ok` or `error` and why. Then
//! come, for `status`, lines `key: value` up to the end; for `backup` the snapshot in frames: four bytes of length,
//! little-endian, and so many bytes. A frame of length 0 ends it, and after it stands a line of the same two kinds: a
//! snapshot that broke off says why.
//!
//! - [`ControlPlane`]: answers. [`Connection`]: asks. `socket`: where they meet. `frames`: a stream that can say how it
//!   ended.

mod client;
mod frames;
mod server;
mod socket;

pub use client::{AskError, Connection};
pub use server::ControlPlane;

/// Longest request, in bytes.
const REQUEST_BYTES: usize = 4 * 1024;

/// Longest line of an answer, in bytes.
const LINE_BYTES: usize = 64 * 1024;
