//! The request target (RFC 9112 §3.2) and the hosts in it and in `Host`.

use std::net::Ipv6Addr;

use super::request::Taken;
use super::scan;
use super::status::ErrorStatus;
use crate::limits::{HOST_BYTES, REQUEST_TARGET_BYTES};

/// Most digits in a port.
const PORT_DIGITS: usize = 5;

/// Bytes of a `reg-name` (RFC 3986 §3.2.2): unreserved and sub-delims, without the `%` of `pct-encoded`.
const REG_NAME: [bool; 256] = {
    let mut reg_name = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        reg_name[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < marks.len() {
        reg_name[marks[at] as usize] = true;
        at += 1;
    }
    reg_name
};

/// A request target as it was found in the request line, its form not yet judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawTarget<'b> {
    bytes: &'b [u8],
    /// Where the first `?` is.
    question: Option<usize>,
}

/// What a request target names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'b> {
    /// The authority of the absolute form.
    pub(super) authority: Option<&'b [u8]>,
    pub(super) path: &'b [u8],
    pub(super) query: Option<&'b [u8]>,
}

/// Takes the request target and the space after it from the front.
///
/// # Errors
///
/// 400 for a control character, for an empty target, and for a fragment: no form of the target has one
/// (RFC 9112 §3.2), clients strip it (RFC 9110 §7.1), and cutting it off would answer for a target that whoever
/// stands in front of this server may have seen as another. 414 for a target over [`REQUEST_TARGET_BYTES`],
/// complete or not.
#[inline(always)]
pub(super) fn take(buf: &[u8]) -> Taken<'_, RawTarget<'_>> {
    // One byte more than the longest target, for the space.
    let window = &buf[..buf.len().min(REQUEST_TARGET_BYTES + 1)];
    let mut question = None;
    let mut at = 0;
    loop {
        let Some(stop) = scan::target_stop(window, at) else {
            return if window.len() > REQUEST_TARGET_BYTES { Err(ErrorStatus::UriTooLong) } else { Ok(None) };
        };
        at = stop;
        match window[at] {
            b'?' if at == REQUEST_TARGET_BYTES => return Err(ErrorStatus::UriTooLong),
            b'?' => question = question.or(Some(at)),
            // Forbidden, but sent; it will be percent-encoded.
            0x80.. => {}
            b' ' if at > 0 => return Ok(Some((RawTarget { bytes: &buf[..at], question }, &buf[at + 1..]))),
            _ => return Err(ErrorStatus::BadRequest),
        }
        at += 1;
    }
}

impl<'b> RawTarget<'b> {
    /// Judges the form for `method`.
    ///
    /// # Errors
    ///
    /// 400 if it is none of the four forms, or one that the method doesn't have.
    #[inline(always)]
    pub(super) fn resolve(self, method: &[u8]) -> Result<Target<'b>, ErrorStatus> {
        // CONNECT has a form of its own (RFC 9112 §3.2.3), and only that.
        if self.bytes[0] == b'/' && method != b"CONNECT" {
            let (path, query) = self.split(0);
            return Ok(Target { authority: None, path, query });
        }
        self.resolve_rare(method)
    }

    /// The forms that clients of an origin server hardly ever send.
    #[cold]
    fn resolve_rare(self, method: &[u8]) -> Result<Target<'b>, ErrorStatus> {
        let whole = Target { authority: None, path: self.bytes, query: None };
        match method {
            b"CONNECT" => return if names_a_port(self.bytes) { Ok(whole) } else { Err(ErrorStatus::BadRequest) },
            b"OPTIONS" if self.bytes == b"*" => return Ok(whole),
            _ => {}
        }

        let scheme = [&b"http://"[..], b"https://"]
            .into_iter()
            .find(|scheme| self.bytes.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
            .ok_or(ErrorStatus::BadRequest)?;
        let rest = &self.bytes[scheme.len()..];
        let authority = &rest[..rest.iter().position(|&byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len())];
        // Userinfo falls here too: `@` is no byte of a host (RFC 9110 §4.2.4).
        if !is_authority(authority) {
            return Err(ErrorStatus::BadRequest);
        }
        let (path, query) = self.split(scheme.len() + authority.len());
        // An empty path of an http URI is the same as `/` (RFC 9110 §4.2.3).
        let path = if path.is_empty() { b"/" } else { path };
        Ok(Target { authority: Some(authority), path, query })
    }

    /// Path and query, when the path begins at `path_start`.
    #[inline(always)]
    fn split(self, path_start: usize) -> (&'b [u8], Option<&'b [u8]>) {
        match self.question {
            Some(question) => (&self.bytes[path_start..question], Some(&self.bytes[question + 1..])),
            None => (&self.bytes[path_start..], None),
        }
    }
}

/// Whether the authority form (RFC 9112 §3.2.3) is right. CONNECT with an empty port is to be refused with 400
/// (RFC 9110 §9.3.6).
fn names_a_port(target: &[u8]) -> bool {
    is_authority(target) && target.last().is_some_and(u8::is_ascii_digit) && {
        let host_end = target.iter().rposition(|&byte| byte == b']').map_or(0, |at| at + 1);
        target[host_end..].contains(&b':')
    }
}

/// Whether `bytes` are `uri-host [ ":" port ]` (RFC 9110 §7.2), with a host that is not empty: a `reg-name`, an
/// IPv4 address or a bracketed IPv6 address of at most [`HOST_BYTES`].
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let host_length = match bytes.first() {
        None => return false,
        Some(b'[') => ipv6_length(bytes),
        Some(_) => reg_name_length(bytes),
    };
    let Some(host_length) = host_length else { return false };
    if host_length == 0 || host_length > HOST_BYTES {
        return false;
    }
    match &bytes[host_length..] {
        [] => true,
        [b':', port @ ..] => port.len() <= PORT_DIGITS && port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// How many bytes at the front are a `reg-name` or an IPv4 address; `None` if a `%` there is not followed by two
/// hexadecimal digits.
fn reg_name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = scan::host_stop(bytes).unwrap_or(bytes.len());
    loop {
        at += bytes[at..].iter().position(|&byte| !REG_NAME[byte as usize]).unwrap_or(bytes.len() - at);
        match &bytes[at..] {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => at += 3,
            [b'%', ..] => return None,
            _ => return Some(at),
        }
    }
}

/// How many bytes at the front are an IPv6 address in brackets; `None` if they are not one. Addresses of a later
/// version (`[v1.x]`) and zone identifiers name nothing that a link could stand on.
fn ipv6_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().take(HOST_BYTES).position(|&byte| byte == b']')?;
    std::str::from_utf8(&bytes[1..end]).ok()?.parse::<Ipv6Addr>().ok()?;
    Some(end + 1)
}
