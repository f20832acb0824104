//! HTTP/1.1 (RFC 9110, RFC 9112): bytes to types and back. No I/O, no clock.
//!
//! [`parse`] reads one request head from the front of a buffer, [`parse_next`] the next one of a connection, whose fields it
//! remembers; [`encode`] appends one answer to another buffer. Once there is room for those fields, at most 1 KiB a
//! connection, and in the output buffer, none of them allocates. None ever reads a body: a request that has one is answered
//! and its connection closed, so that no byte of a body can be taken for the next request (RFC 9112 §11.2).
//!
//! Where RFC 9112 lets a recipient be lenient (a bare LF as line end, several spaces in the request line, a
//! line folded over two), this one is not: each leniency is a chance for two parsers in a row to disagree
//! about where a request ends.

mod caching;
mod date;
mod field_cache;
mod fields;
mod location;
mod parameters;
mod request;
mod response;
mod scan;
mod status;
mod target;

#[cfg(test)]
mod tests;

pub use caching::Caching;
pub use date::imf_fixdate;
pub use field_cache::FieldCache;
pub use fields::{Client, ForwardedFor};
pub use location::{Location, QueryMode};
pub use request::{Method, Parse, Request, Version, parse, parse_next};
pub use response::{Answer, Context, encode};
pub use status::{ErrorStatus, RedirectStatus, UnknownRedirectStatus};
