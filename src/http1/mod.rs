//! HTTP/1.1 (RFC 9110, RFC 9112): bytes to types and back. No I/O, no clock.
