//! Where a redirect leads, put together from its parts as it is sent.
//!
//! What stands in a link or in the settings of a host is a serialised URL, and sent as it is. What comes from the
//! request is appended behind its authority, and percent-encoded where it could mean something else there: so it can't
//! change the scheme or host, begin a fragment, or end the field.

use super::parameters::{Names, parameters};

/// The value of `Location` (RFC 9110 §10.2.2).
///
/// All targets and bases must be http or https URLs in their WHATWG serialisation. At the least they must have no control
/// characters, as a line end in one would begin a field of its own. The queries and paths may be any bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location<'a> {
    /// The target, as it is.
    Target(&'a [u8]),
    /// The target with the query of the request. If the request has none, or an empty one, the target as it is.
    WithQuery {
        /// The target.
        target: &'a [u8],
        /// The query of the request, without the `?`, as it was sent.
        query: Option<&'a [u8]>,
        /// What becomes of the query that the target has.
        mode: QueryMode,
    },
    /// The path and query of the request, behind another base: scheme, authority and path of it, without a slash at the
    /// end.
    ///
    /// The host is certain, and not that the client stays below the path of the base: the path of the request may have
    /// `..` in it.
    WithPath {
        /// The base. Its query and fragment are left out.
        base: &'a [u8],
        /// The path of the request as it was sent. A `/` is put in front if it has none.
        path: &'a [u8],
        /// The query of the request, without the `?`, as it was sent.
        query: Option<&'a [u8]>,
    },
}

/// How the query of a request joins a target. The fragment of the target stays at the end either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryMode {
    /// It takes the place of the target's.
    Forward,
    /// The target's comes first, then those parameters of the request, in their order, whose names the target doesn't
    /// have: who wrote the target has the last word. Names are the same if they are the same bytes once they are
    /// percent-decoded; empty parameters are left out.
    Merge,
}

impl Location<'_> {
    /// How many bytes it takes if nothing of the request has to be encoded or left out.
    pub(super) fn usual_bytes(&self) -> usize {
        match *self {
            Location::Target(target) => target.len(),
            Location::WithQuery { target, query, .. } => target.len() + 1 + query.map_or(0, <[u8]>::len),
            Location::WithPath { base, path, query } => base.len() + path.len() + 2 + query.map_or(0, <[u8]>::len),
        }
    }

    /// Appends it.
    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        match *self {
            Location::Target(target) => out.extend_from_slice(target),
            Location::WithQuery { target, query, mode } => {
                let Some(query) = query.filter(|query| !query.is_empty()) else {
                    return out.extend_from_slice(target);
                };
                let (resource, fragment) = split_before(target, |byte| byte == b'#');
                let (path, _) = split_before(resource, |byte| byte == b'?');
                match mode {
                    QueryMode::Forward => {
                        out.extend_from_slice(path);
                        out.push(b'?');
                        push_encoded(query, &IN_QUERY, out);
                    }
                    QueryMode::Merge => {
                        out.extend_from_slice(resource);
                        push_parameters(query, resource.get(path.len() + 1..), out);
                    }
                }
                out.extend_from_slice(fragment);
            }
            Location::WithPath { base, path, query } => {
                let (base, _) = split_before(base, |byte| matches!(byte, b'?' | b'#'));
                out.extend_from_slice(base.strip_suffix(b"/").unwrap_or(base));
                if !path.starts_with(b"/") {
                    out.push(b'/');
                }
                push_encoded(path, &IN_PATH, out);
                if let Some(query) = query {
                    out.push(b'?');
                    push_encoded(query, &IN_QUERY, out);
                }
            }
        }
    }
}

/// Appends the parameters of `query` that `target_query` does not name to a URL that ends with that, if there is one.
fn push_parameters(query: &[u8], target_query: Option<&[u8]>, out: &mut Vec<u8>) {
    let mut separator = match target_query {
        None => &b"?"[..],
        Some([] | [.., b'&']) => b"",
        Some(_) => b"&",
    };
    let names = target_query.map(Names::of);
    for parameter in parameters(query) {
        if !names.as_ref().is_some_and(|names| names.have(parameter)) {
            out.extend_from_slice(separator);
            push_encoded(parameter, &IN_QUERY, out);
            separator = b"&";
        }
    }
}

/// What is in front of the first such byte, and what begins with it.
fn split_before(bytes: &[u8], stop: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|&byte| stop(byte)).unwrap_or(bytes.len()))
}

/// The bytes that stand as they are in one part of a URL.
type Plain = [bool; 256];

/// All but the special-query percent-encode set (URL Standard §1.3).
const IN_QUERY: Plain = printable_but(b" \"#<>'");

/// All but the path percent-encode set (URL Standard §1.3), and the backslash, which that standard reads as a slash.
const IN_PATH: Plain = printable_but(b" \"#<>?^`{}\\");

const fn printable_but(encoded: &[u8]) -> Plain {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7F {
        plain[byte] = true;
        byte += 1;
    }
    let mut at = 0;
    while at < encoded.len() {
        plain[encoded[at] as usize] = false;
        at += 1;
    }
    plain
}

/// Appends `bytes`, those that are not plain percent-encoded. Those that stand percent-encoded there already are plain.
fn push_encoded(bytes: &[u8], plain: &Plain, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = bytes;
    while let Some(run) = rest.iter().position(|&byte| !plain[usize::from(byte)]) {
        let byte = rest[run];
        out.extend_from_slice(&rest[..run]);
        out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = &rest[run + 1..];
    }
    out.extend_from_slice(rest);
}
