//! Requests: one head at the front of a buffer, parsed in one pass.

use super::field_cache::FieldCache;
use super::fields::Client;
use super::status::ErrorStatus;
use super::target;
use crate::limits::{METHOD_BYTES, REQUEST_EMPTY_LINES, REQUEST_HEAD_BYTES};

/// What was taken from the front of a buffer, and what follows it; `None` if more bytes are needed.
pub(super) type Taken<'b, T> = Result<Option<(T, &'b [u8])>, ErrorStatus>;

/// What the front of a buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parse<'b> {
    /// The beginning of a request head: more bytes are needed. The buffer holds fewer than
    /// [`REQUEST_HEAD_BYTES`].
    Partial,
    /// A whole request head.
    Request {
        /// What is asked.
        request: Request<'b>,
        /// How many bytes belong to the head, empty lines in front of it included; at least 1, at most
        /// [`REQUEST_HEAD_BYTES`]. The next request begins there, if the connection goes on.
        consumed: usize,
    },
    /// Nothing that could be answered otherwise than with this status and a close.
    Reject(ErrorStatus),
}

/// One request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'b> {
    /// The method.
    pub method: Method,
    /// Who is asked: the authority of an absolute-form target (RFC 9112 §3.2.2), else the `Host` field; `None` if
    /// that is empty, or missing in HTTP/1.0. As it was sent, port and case included, but certain to be
    /// `host [":" port]` with a host of 1 to [`HOST_BYTES`](crate::limits::HOST_BYTES) bytes: a `reg-name` or an
    /// IPv6 address in brackets (RFC 3986 §3.2.2).
    pub host: Option<&'b [u8]>,
    /// The path as it was sent: at least 1 byte, no controls, no space, no `?`, no `#`; begins with `/` for GET and
    /// HEAD. Bytes from 0x80 on and wrong percent-encodings may occur. `*` for `OPTIONS *`, and the whole target
    /// for CONNECT.
    pub path: &'b [u8],
    /// What follows the first `?`, as it was sent; empty for a `?` with nothing behind it.
    pub query: Option<&'b [u8]>,
    /// Whether the connection goes on after the answer. If not, the answer says `Connection: close` and nothing
    /// more is read.
    pub keep_alive: bool,
    /// Whether a body follows, which is not read (RFC 9112 §6.3).
    pub has_body: bool,
    /// The version.
    pub version: Version,
    /// Who asks.
    pub client: Client<'b>,
}

/// A method (RFC 9110 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET (RFC 9110 §9.3.1).
    Get,
    /// HEAD: the answer to a GET, without its content (RFC 9110 §9.3.2).
    Head,
    /// POST, PUT, DELETE, CONNECT, OPTIONS, TRACE or PATCH: known, and answered with 405 (RFC 9110 §15.5.6).
    NotAllowed,
    /// Any other method: answered with 501 (RFC 9110 §9.1).
    NotImplemented,
}

/// A version of HTTP (RFC 9110 §2.5) whose requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and HTTP/1.2 to 1.9, which are to be processed as the highest minor version that is known.
    Http11,
}

/// Parses the request at the front of `buf`. The bytes after it are not looked at.
///
/// The verdict on a buffer is final: no bytes that follow change a [`Request`](Parse::Request) or a
/// [`Reject`](Parse::Reject). So a fault is refused as soon as it is seen, and a request that never ends as soon
/// as it passes a limit.
///
/// What is rejected, and how:
///
/// - **400** what the grammar of RFC 9112 doesn't allow: controls and fragments in the target, a target in a form
///   the method doesn't have, a malformed version or none (HTTP/0.9), line folding, white space before a colon,
///   CR or LF alone, NUL, more than [`REQUEST_EMPTY_LINES`] in front; `Host` missing in HTTP/1.1, invalid or sent
///   twice (§3.2); userinfo in the target (RFC 9110 §4.2.4); `Content-Length` invalid, contradictory, or together
///   with `Transfer-Encoding`; `Transfer-Encoding` in HTTP/1.0 (§6.1, §6.3).
/// - **414** a target over [`REQUEST_TARGET_BYTES`](crate::limits::REQUEST_TARGET_BYTES) (§3).
/// - **431** a head over [`REQUEST_HEAD_BYTES`] or [`REQUEST_HEADERS`](crate::limits::REQUEST_HEADERS).
/// - **501** a method over [`METHOD_BYTES`] (§3), or a transfer coding other than exactly `chunked` (§6.1).
/// - **505** a major version other than 1, the preface of HTTP/2 among them.
///
/// A request with a body is answered, with [`keep_alive`](Request::keep_alive) off: bodies are never read.
pub fn parse(buf: &[u8]) -> Parse<'_> {
    parse_next(buf, &mut FieldCache::default())
}

/// Parses the request at the front of `buf` as [`parse`] does, and a little faster if its fields are those of the last
/// request that was parsed with this cache.
#[inline]
pub fn parse_next<'b>(buf: &'b [u8], cache: &mut FieldCache) -> Parse<'b> {
    let head = &buf[..buf.len().min(REQUEST_HEAD_BYTES)];
    match parse_head(head, cache) {
        Ok(Some((request, consumed))) => Parse::Request { request, consumed },
        // A head that fills the limit and is not complete cannot become one within it.
        Ok(None) if head.len() == REQUEST_HEAD_BYTES => Parse::Reject(ErrorStatus::RequestHeaderFieldsTooLarge),
        Ok(None) => Parse::Partial,
        Err(status) => Parse::Reject(status),
    }
}

#[inline(always)]
fn parse_head<'b>(buf: &'b [u8], cache: &mut FieldCache) -> Result<Option<(Request<'b>, usize)>, ErrorStatus> {
    // Faults are looked for in the order of the bytes, and weighed only when the line or section they stand in is
    // complete. This is what makes every verdict final.
    let Some(line) = skip_empty_lines(buf)? else { return Ok(None) };
    let Some((token, rest)) = take_method(line)? else { return Ok(None) };
    let Some((raw_target, rest)) = target::take(rest)? else { return Ok(None) };
    let Some((version, section)) = take_version(rest)? else { return Ok(None) };
    let target = raw_target.resolve(token)?;
    let Some((fields, behind)) = cache.take(section, version)? else { return Ok(None) };

    let request = Request {
        method: method(token),
        host: target.authority.or(fields.host),
        path: target.path,
        query: target.query,
        // What a client sends behind a CONNECT is meant for the tunnel it hopes for.
        keep_alive: fields.persistent && !fields.has_body && token != b"CONNECT",
        has_body: fields.has_body,
        version,
        client: fields.client,
    };
    Ok(Some((request, buf.len() - behind.len())))
}

/// Empty lines in front of a request are a habit of old clients, who send one after a body (RFC 9112 §2.2).
#[inline(always)]
fn skip_empty_lines(buf: &[u8]) -> Result<Option<&[u8]>, ErrorStatus> {
    let mut rest = buf;
    let mut lines = 0;
    loop {
        match rest {
            [b'A'..=b'Z', ..] => return Ok(Some(rest)),
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if lines < REQUEST_EMPTY_LINES => {
                lines += 1;
                rest = &rest[2..];
            }
            [b'\r', ..] => return Err(ErrorStatus::BadRequest),
            _ => return Ok(Some(rest)),
        }
    }
}

/// Takes the method and the space after it from the front.
#[inline(always)]
fn take_method(buf: &[u8]) -> Taken<'_, &[u8]> {
    if buf.starts_with(b"GET ") {
        return Ok(Some((&buf[..3], &buf[4..])));
    }
    let Some(length) = buf.iter().take(METHOD_BYTES + 1).position(|&byte| !is_tchar(byte)) else {
        return if buf.len() > METHOD_BYTES { Err(ErrorStatus::NotImplemented) } else { Ok(None) };
    };
    if length == 0 || buf[length] != b' ' {
        return Err(ErrorStatus::BadRequest);
    }
    Ok(Some((&buf[..length], &buf[length + 1..])))
}

/// Bytes of a token (RFC 9110 §5.6.2).
const TCHAR: [bool; 256] = {
    let mut tchar = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        tchar[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        tchar[marks[at] as usize] = true;
        at += 1;
    }
    tchar
};

pub(super) fn is_tchar(byte: u8) -> bool {
    TCHAR[usize::from(byte)]
}

/// Methods are case-sensitive (RFC 9110 §9.1): `get` is one that nobody knows.
#[inline(always)]
fn method(token: &[u8]) -> Method {
    match token {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"OPTIONS" | b"TRACE" | b"PATCH" => Method::NotAllowed,
        _ => Method::NotImplemented,
    }
}

/// Takes the version and the end of the request line from the front.
#[inline(always)]
fn take_version(buf: &[u8]) -> Taken<'_, Version> {
    const FORM: &[u8; 10] = b"HTTP/d.d\r\n";
    if let Some(section) = buf.strip_prefix(b"HTTP/1.1\r\n") {
        return Ok(Some((Version::Http11, section)));
    }
    let fits = |(&byte, &form): (&u8, &u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    if !buf.iter().zip(FORM).all(fits) {
        return Err(ErrorStatus::BadRequest);
    }
    match buf.split_at_checked(FORM.len()) {
        None => Ok(None),
        Some((line, section)) => match (line[5], line[7]) {
            (b'1', b'0') => Ok(Some((Version::Http10, section))),
            (b'1', _) => Ok(Some((Version::Http11, section))),
            _ => Err(ErrorStatus::HttpVersionNotSupported),
        },
    }
}
