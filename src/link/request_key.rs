//! The keys that one request is looked up by, built without allocating.

use super::host::{Host, request_host_into};
use super::host_settings::Folding;
use super::normalize;

/// Buffers that hold the canonical keys of one request after the other: `host/path?query`.
///
/// There are four spellings of a request, each with a [`path_key`](Self::path_key) and, if it has a query, a
/// [`query_key`](Self::query_key): as it was [set](Self::set), the same [folded](Self::fold), and both again after
/// [`turn_to_any_host`](Self::turn_to_any_host).
#[derive(Debug, Default)]
pub struct RequestKey {
    /// As it was asked.
    buf: Vec<u8>,
    /// Where the key of the moment begins: 0, or on any host at the `*` before the path.
    start: usize,
    path: usize,
    path_end: usize,
    /// On any host: what the `*` stands over.
    under_star: Option<u8>,
    /// The folded key of the moment.
    folded: Vec<u8>,
    folded_path_end: usize,
    is_folded: bool,
    /// The host as it was sent: the next request mostly names it again, and then it is there already.
    raw_host: Vec<u8>,
}

impl RequestKey {
    /// Takes the next request: the raw `host[:port]`, if it has any, the raw path, and the raw query without `?`.
    pub fn set(&mut self, host: Option<&[u8]>, path: &[u8], query: Option<&[u8]>) {
        // A lookup that failed may have left it on any host.
        self.turn_back();
        let host = host.unwrap_or_default();
        if self.path == 0 || host != self.raw_host {
            self.set_host(host);
        }
        self.buf.truncate(self.path);
        normalize::path_into(path, &mut self.buf);
        self.path_end = self.buf.len();
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            self.buf.push(b'?');
            normalize::query_into(query, &mut self.buf);
        }
    }

    #[inline(never)]
    fn set_host(&mut self, host: &[u8]) {
        self.raw_host.clear();
        self.raw_host.extend_from_slice(host);
        self.buf.clear();
        request_host_into(host, &mut self.buf);
        if self.buf.is_empty() {
            self.buf.extend_from_slice(Host::ANY.as_bytes());
        }
        self.path = self.buf.len();
    }

    /// The host that is asked; `*` if none is.
    pub fn host(&self) -> &[u8] {
        debug_assert!(self.under_star.is_none(), "the host lies under the `*`");
        &self.buf[..self.path]
    }

    /// The key without query.
    pub fn path_key(&self) -> &[u8] {
        if self.is_folded { &self.folded[..self.folded_path_end] } else { &self.buf[self.start..self.path_end] }
    }

    /// The key with query, if the request has one.
    pub fn query_key(&self) -> Option<&[u8]> {
        let has_query = self.buf.len() > self.path_end;
        has_query.then(|| if self.is_folded { &self.folded[..] } else { &self.buf[self.start..] })
    }

    /// Whether the key is the one for any host.
    pub fn is_any_host(&self) -> bool {
        &self.buf[self.start..self.path] == Host::ANY.as_bytes()
    }

    /// Makes the keys those of the path as it was asked without what is ignored, and tells whether they are others now.
    pub fn fold(&mut self, folding: Folding) -> bool {
        if folding == Folding::default() {
            return false;
        }
        let asked = &self.buf[self.start..self.path_end];
        self.folded.clear();
        self.folded.extend_from_slice(asked);
        normalize::fold_path(&mut self.folded, self.path - self.start, folding);
        self.is_folded = self.folded != asked;
        if self.is_folded {
            self.folded_path_end = self.folded.len();
            self.folded.extend_from_slice(&self.buf[self.path_end..]);
        }
        self.is_folded
    }

    /// Makes the keys those for any host, of the path as it was asked.
    pub fn turn_to_any_host(&mut self) {
        if self.under_star.is_none() {
            // A host has at least one byte; its last one, just before the path, gives way to the `*`.
            self.start = self.path - 1;
            self.under_star = Some(std::mem::replace(&mut self.buf[self.start], b'*'));
        }
        self.is_folded = false;
    }

    /// Makes the keys again those of the request as it was asked.
    pub fn turn_back(&mut self) {
        if let Some(last_of_host) = self.under_star.take() {
            self.buf[self.start] = last_of_host;
            self.start = 0;
        }
        self.is_folded = false;
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
        assert_eq!(text(key.host()), "www.example.com");
        key.turn_to_any_host();
        assert_eq!(text(key.path_key()), "*/b");
        assert_eq!(text(key.query_key().unwrap()), "*/b?x=~");
        assert!(key.is_any_host());
        key.turn_back();
        assert_eq!(text(key.path_key()), "www.example.com/b");
        assert_eq!(text(key.host()), "www.example.com");
    }

    #[test]
    fn each_host_ignores_its_own_differences() {
        let case = Folding { case: true, trailing_slash: false };
        let slash = Folding { case: false, trailing_slash: true };
        let mut key = RequestKey::default();
        key.set(Some(b"h.example"), b"/A%2fb/", Some(b"Q"));
        assert!(!key.fold(Folding::default()));
        assert!(key.fold(case));
        assert_eq!(text(key.path_key()), "h.example/a%2Fb/");
        assert_eq!(text(key.query_key().unwrap()), "h.example/a%2Fb/?Q");
        key.turn_to_any_host();
        assert_eq!(text(key.path_key()), "*/A%2Fb/");
        assert!(key.fold(slash));
        assert_eq!(text(key.path_key()), "*/A%2Fb");
        assert_eq!(text(key.query_key().unwrap()), "*/A%2Fb?Q");
        assert!(key.is_any_host());
        key.turn_back();
        assert_eq!(text(key.query_key().unwrap()), "h.example/A%2Fb/?Q");
        key.set(Some(b"h.example"), b"/", None);
        assert!(!key.fold(Folding { case: true, trailing_slash: true }));
        assert_eq!((text(key.path_key()), key.query_key()), ("h.example/", None));
    }

    #[test]
    fn a_host_of_one_byte_is_there_again() {
        let mut key = RequestKey::default();
        key.set(Some(b"h"), b"/", None);
        key.turn_to_any_host();
        assert_eq!(text(key.path_key()), "*/");
        key.turn_back();
        assert_eq!(text(key.host()), "h");
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
    fn a_host_that_comes_again_is_the_same() {
        let mut key = RequestKey::default();
        key.set(Some(b"H.example:80"), b"/a", Some(b"q"));
        // As a lookup that fails leaves it.
        key.turn_to_any_host();
        key.set(Some(b"H.example:80"), b"/b", None);
        assert_eq!((text(key.host()), text(key.path_key()), key.query_key()), ("h.example", "h.example/b", None));
        key.set(Some(b"g.example"), b"/c", None);
        assert_eq!(text(key.path_key()), "g.example/c");
        key.set(None, b"/d", None);
        assert_eq!(text(key.path_key()), "*/d");
        key.set(Some(b""), b"/e", None);
        assert_eq!(text(key.path_key()), "*/e");
    }

    #[test]
    fn a_request_for_a_host_called_star_is_on_any_host() {
        let mut key = RequestKey::default();
        key.set(Some(b"*"), b"/a", None);
        assert!(key.is_any_host());
    }
}
