//! The keys that one request is looked up by, built without allocating.

use super::host::{Host, request_host_into};
use super::normalize;

/// A buffer that holds the canonical key of one request after the other: `host/path?query`.
///
/// The lookups of a request, in order: [`path_key`](Self::path_key) and, if links of that path are keyed with
/// a query, [`query_key`](Self::query_key) on its host, and then, after
/// [`turn_to_any_host`](Self::turn_to_any_host), the same on `*`.
#[derive(Debug, Default)]
pub struct RequestKey {
    buf: Vec<u8>,
    /// Where the key of the moment begins: 0, or on any host at the `*` before the path.
    start: usize,
    path: usize,
    path_end: usize,
}

impl RequestKey {
    /// Takes the next request: the raw `host[:port]`, if it has any, the raw path, and the raw query without `?`.
    pub fn set(&mut self, host: Option<&[u8]>, path: &[u8], query: Option<&[u8]>) {
        self.buf.clear();
        self.start = 0;
        request_host_into(host.unwrap_or_default(), &mut self.buf);
        if self.buf.is_empty() {
            self.buf.extend_from_slice(Host::ANY.as_bytes());
        }
        self.path = self.buf.len();
        normalize::path_into(path, &mut self.buf);
        self.path_end = self.buf.len();
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            self.buf.push(b'?');
            normalize::query_into(query, &mut self.buf);
        }
    }

    /// The key without query.
    pub fn path_key(&self) -> &[u8] {
        &self.buf[self.start..self.path_end]
    }

    /// The key with query, if the request has one.
    pub fn query_key(&self) -> Option<&[u8]> {
        (self.buf.len() > self.path_end).then(|| &self.buf[self.start..])
    }

    /// Whether the key is the one for any host.
    pub fn is_any_host(&self) -> bool {
        &self.buf[self.start..self.path] == Host::ANY.as_bytes()
    }

    /// Makes the keys those for any host. The host of the request is lost.
    pub fn turn_to_any_host(&mut self) {
        // A host has at least one byte; its last one, just before the path, gives way to the `*`.
        self.start = self.path - 1;
        self.buf[self.start] = b'*';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_is_looked_up_on_its_host_and_then_on_any() {
        let mut key = RequestKey::default();
        key.set(Some(b"WWW.Example.com:80"), b"/a/../b", Some(b"x=%7e"));
        assert_eq!(text(key.path_key()), "www.example.com/b");
        assert_eq!(text(key.query_key().unwrap()), "www.example.com/b?x=~");
        assert!(!key.is_any_host());
        key.turn_to_any_host();
        assert_eq!(text(key.path_key()), "*/b");
        assert_eq!(text(key.query_key().unwrap()), "*/b?x=~");
        assert!(key.is_any_host());
    }

    #[test]
    fn a_request_without_host_or_query_has_neither() {
        let mut key = RequestKey::default();
        key.set(None, b"/a", Some(b""));
        assert_eq!(text(key.path_key()), "*/a");
        assert_eq!(key.query_key(), None);
        assert!(key.is_any_host());
        key.set(Some(b"h"), b"/", None);
        key.turn_to_any_host();
        assert_eq!(text(key.path_key()), "*/");
    }

    #[test]
    fn a_request_for_a_host_called_star_is_on_any_host() {
        let mut key = RequestKey::default();
        key.set(Some(b"*"), b"/a", None);
        assert!(key.is_any_host());
    }
}
