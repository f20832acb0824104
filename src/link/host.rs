//! Host names.

use std::fmt;

use super::shown::shown;
use crate::limits::HOST_BYTES;

/// The host of a link: lower-case ASCII, IDNs as A-labels, no port, no trailing dot; or `*`, any host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Box<str>);

/// Why a text is no host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is none.
    #[error("the host is empty; write it as in `http://www.example.com/path`")]
    Empty,
    /// Longer than [`HOST_BYTES`].
    #[error("the host has {0} bytes; at most {HOST_BYTES} are allowed")]
    TooLong(usize),
    /// Not a name that a browser would ask for.
    #[error("`{}` is not a valid host name", shown(.0))]
    Invalid(String),
    /// The name of a scheme, which hardly is the name of a host.
    #[error("`{0}` is not a valid host name; was `{0}://` meant?")]
    Scheme(&'static str),
}

impl Host {
    /// The text that stands for every host.
    pub const ANY: &str = "*";

    /// Any host.
    pub fn any() -> Self {
        Host(Self::ANY.into())
    }

    /// Reads a host name, or `*` for any. IDNs become A-labels.
    ///
    /// # Errors
    /// If it is no host name, or holds more than that.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text == Self::ANY {
            return Ok(Self::any());
        }
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        let invalid = || HostError::Invalid(text.to_owned());
        if text.contains(|character: char| character.is_control() || character == '%') {
            // The parser would drop it without a word, or decode it.
            return Err(invalid());
        }
        let host = url::Host::parse(text).map_err(|_| invalid())?;
        Self::from_serialised(&host.to_string())
    }

    /// Takes a host that the WHATWG parser has serialised.
    pub(super) fn from_serialised(host: &str) -> Result<Self, HostError> {
        let host = host.strip_suffix('.').unwrap_or(host);
        // `https//www.example.com`, with the colon forgotten.
        if let Some(scheme) = ["http", "https"].into_iter().find(|scheme| *scheme == host) {
            return Err(HostError::Scheme(scheme));
        }
        // The parser admits `*`, which here would mean every host, and empty labels: with one at the end the
        // canonical form would not be the canonical form of itself.
        if host.is_empty() {
            Err(HostError::Empty)
        } else if host.contains('*') || host.ends_with('.') {
            Err(HostError::Invalid(host.to_owned()))
        } else if host.len() > HOST_BYTES {
            Err(HostError::TooLong(host.len()))
        } else {
            Ok(Host(host.into()))
        }
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends the canonical form of a Host field's or an authority's `host[:port]`; nothing if there is no name.
///
/// Its characters have been checked by whoever parsed the request; here only case, port and trailing dot go.
pub(super) fn request_host_into(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let end = match raw.first() {
        Some(b'[') => raw.iter().position(|&byte| byte == b']').map_or(raw.len(), |bracket| bracket + 1),
        _ => raw.iter().position(|&byte| byte == b':').unwrap_or(raw.len()),
    };
    let name = &raw[..end];
    out.extend_from_slice(name.strip_suffix(b".").unwrap_or(name));
    out[start..].make_ascii_lowercase();
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_nothing_more() {
        for (text, host) in [
            ("*", "*"),
            ("WWW.Example.com.", "www.example.com"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(Host::parse(text).unwrap().as_str(), host);
        }
        for text in ["", "a b", "a:80", "a/", "http://a.example", "a?b", "a#b", "u@a", "a\t", "a%2eb", "*.a", "http"] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }

    fn host(text: &str) -> Result<Host, HostError> {
        let parsed = url::Host::parse(text).map_err(|_| HostError::Invalid(text.to_owned()))?;
        Host::from_serialised(&parsed.to_string())
    }

    #[test]
    fn hosts_take_their_canonical_form() {
        for (raw, canonical) in [
            ("WWW.Example.COM", "www.example.com"),
            ("example.com.", "example.com"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("my_host", "my_host"),
            ("0x7f.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host(raw).unwrap().as_str(), canonical, "{raw}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for raw in ["", ".", "a b", "a/b", "*.example.com", "a..", "a:80", "[::1", "a%00b", "*", "https"] {
            assert!(host(raw).is_err(), "{raw}");
        }
        assert!(matches!(host(&"a".repeat(300)), Err(HostError::TooLong(300))));
    }

    #[test]
    fn a_request_host_loses_case_port_and_trailing_dot() {
        for (raw, canonical) in [
            ("WWW.Example.com:8080", "www.example.com"),
            ("example.com.:80", "example.com"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            let mut out = b"before".to_vec();
            request_host_into(raw.as_bytes(), &mut out);
            assert_eq!(out, [b"before", canonical.as_bytes()].concat(), "{raw}");
        }
    }
}
