//! Requests and answers by example, by rule and by chance.

mod caching;
mod fields;
mod location;
mod property;
mod refused;
mod request;
mod response;

use super::{Client, ErrorStatus, ForwardedFor, Method, Parse, Request, Version, parse};

/// A GET of `/` on host `h` over HTTP/1.1, to be varied.
const PLAIN: Request<'static> = Request {
    method: Method::Get,
    host: Some(b"h"),
    path: b"/",
    query: None,
    keep_alive: true,
    has_body: false,
    version: Version::Http11,
    client: NOBODY,
};

/// Who says nothing of themselves.
const NOBODY: Client<'static> = Client {
    user_agent: None,
    referer: None,
    accept_language: None,
    forwarded_for: ForwardedFor::NONE,
    opts_out: false,
};

/// Asserts that `bytes` are one whole request, and that every part of them that is cut off at the end is not.
#[track_caller]
fn assert_request(bytes: &[u8], expected: Request<'_>) {
    let expected = Parse::Request { request: expected, consumed: bytes.len() };
    assert_eq!(parse(bytes), expected, "{}", bytes.escape_ascii());
    for cut in 0..bytes.len() {
        assert_eq!(parse(&bytes[..cut]), Parse::Partial, "{} of {}", cut, bytes.escape_ascii());
    }
    for behind in [&b"\r\n"[..], b"GET", b"\0", b"\n"] {
        assert_eq!(parse(&[bytes, behind].concat()), expected, "{} and more", bytes.escape_ascii());
    }
}

/// Asserts that `bytes` are refused with `status`, and that every part of them that is cut off at the end is
/// refused in the same way or waits for more.
#[track_caller]
fn assert_rejected(bytes: &[u8], status: ErrorStatus) {
    let expected = Parse::Reject(status);
    assert_eq!(parse(bytes), expected, "{}", bytes.escape_ascii());
    let mut refused = false;
    for cut in 0..bytes.len() {
        let verdict = parse(&bytes[..cut]);
        assert!(
            verdict == expected || (verdict == Parse::Partial && !refused),
            "{verdict:?} for {} of {}",
            cut,
            bytes.escape_ascii()
        );
        refused |= verdict == expected;
    }
    for behind in [&b"\r\n\r\n"[..], b"GET / HTTP/1.1\r\n", b"\0", b"\n"] {
        assert_eq!(parse(&[bytes, behind].concat()), expected, "{} and more", bytes.escape_ascii());
    }
}
