//! Every bound that is not configuration (I6). Units stand last in the names.

/// Longest request target (RFC 9112 §3.2) answered, in bytes; a longer one gets 414. RFC 9112 §3 asks for at
/// least 8,000.
pub const REQUEST_TARGET_BYTES: usize = 8_000;

/// Longest request head (request line and header section), in bytes; a longer one gets 431.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;

/// Most header fields in one request; more get 431.
pub const REQUEST_HEADERS: usize = 100;

/// Longest host name in bytes (RFC 1035 §2.3.4).
pub const HOST_BYTES: usize = 255;

/// Longest method in bytes; a longer one gets 501 (RFC 9112 §3). The longest that is registered has 17.
pub const METHOD_BYTES: usize = 32;

/// Most empty lines skipped in front of a request; more get 400. RFC 9112 §2.2 asks for at least one.
pub const REQUEST_EMPTY_LINES: usize = 4;
