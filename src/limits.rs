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
