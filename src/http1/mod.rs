//! HTTP/1.1 (RFC 9110, RFC 9112): bytes to types and back. No I/O, no clock.
//!
//! [`parse`] reads one request head from the front of a buffer, [`encode`] appends one answer to another.
//! Neither allocates while the output buffer has room, and neither ever reads a body: a request that has one
//! is answered and its connection closed, so that no byte of a body can be taken for the next request
//! (RFC 9112 §11.2).
//!
//! Where RFC 9112 lets a recipient be lenient (a bare LF as line end, several spaces in the request line, a
//! line folded over two), this one is not: each leniency is a chance for two parsers in a row to disagree
//! about where a request ends.

mod caching;
mod date;
mod fields;
mod location;
mod parameters;
mod request;
mod response;
mod status;
mod target;

#[cfg(test)]
mod tests;

pub use caching::Caching;
pub use date::imf_fixdate;
pub use fields::{Client, ForwardedFor};
pub use location::{Location, QueryMode};
pub use request::{Method, Parse, Request, Version, parse};
pub use response::{Answer, Context, encode};
pub use status::{ErrorStatus, RedirectStatus, UnknownRedirectStatus};
