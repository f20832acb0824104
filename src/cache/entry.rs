//! What both caches hold: one link, or the fact that there is none.

use triomphe::ThinArc;

use super::{record, shard::OVERHEAD_BYTES};
use crate::limits::LINK_TERMS_BYTES;

const PRESENT: u8 = 1;
const HAS_QUERY_LINKS: u8 = 1 << 1;

/// The fixed part of an entry.
pub(super) struct Meta {
    pub(super) id: u64,
    pub(super) status: u16,
    pub(super) key_bytes: u16,
    pub(super) terms_bytes: u16,
    pub(super) flags: u8,
}

const _: () = assert!(size_of::<Meta>() == 16 && size_of::<Option<CachedLink>>() == 8);

/// A link as the workers hold it: either present, or known to be absent.
///
/// One allocation behind a thin pointer; a clone is one increment. It never changes: a change of the link is
/// another `CachedLink`. The shared cache holds links denser, and makes one of these for each hit.
#[derive(Clone)]
pub struct CachedLink(
    /// The bytes are the key, the target, then the terms.
    ThinArc<Meta, u8>,
);

/// What a present link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkView<'a> {
    /// The id of the link.
    pub id: u64,
    /// The HTTP status code it is answered with, such as 301 or 410.
    pub status: u16,
    /// The target, as it goes into `Location`. Empty if there is none (410).
    pub target: &'a [u8],
    /// The terms under which it answers, which mean nothing here. Empty if it answers always and in the usual way, as
    /// most links do.
    pub terms: &'a [u8],
}

impl CachedLink {
    /// A link that exists under `key`, the canonical `host/path?query`.
    ///
    /// `has_query_links` says that links exist on this path whose key has a query string.
    ///
    /// # Panics
    ///
    /// If `key` is longer than 65,535 bytes. Keys are bounded far below that by [`limits`](crate::limits).
    pub fn present(key: &[u8], id: u64, status: u16, target: &[u8], has_query_links: bool) -> Self {
        Self::with_terms(key, id, status, target, &[], has_query_links)
    }

    /// A link that exists under `key`, as [`present`](Self::present) makes it, and answers under `terms`: bytes that
    /// are kept for those who know what they say.
    ///
    /// # Panics
    ///
    /// If `key` is longer than 65,535 bytes, or `terms` longer than [`LINK_TERMS_BYTES`].
    pub fn with_terms(key: &[u8], id: u64, status: u16, target: &[u8], terms: &[u8], has_query_links: bool) -> Self {
        assert!(terms.len() <= LINK_TERMS_BYTES, "the terms of a link have at most {LINK_TERMS_BYTES} bytes");
        let flags = Self::flags_of_present(has_query_links);
        let meta = Meta { terms_bytes: terms.len() as u16, ..meta(key, id, status, flags) };
        Self(ThinArc::from_header_and_slice(meta, &[key, target, terms].concat()))
    }

    /// The fact that no link exists under `key`, the canonical `host/path?query`.
    ///
    /// `has_query_links` says that links exist on this path whose key has a query string.
    ///
    /// # Panics
    ///
    /// If `key` is longer than 65,535 bytes.
    pub fn absent(key: &[u8], has_query_links: bool) -> Self {
        Self(ThinArc::from_header_and_slice(meta(key, 0, 0, query_flag(has_query_links)), key))
    }

    /// The key it is cached under.
    pub fn key(&self) -> &[u8] {
        &self.0.slice[..usize::from(self.meta().key_bytes)]
    }

    /// The link, or `None` if there is none under this key.
    pub fn link(&self) -> Option<LinkView<'_>> {
        let meta = self.meta();
        (meta.flags & PRESENT != 0).then(|| {
            let target_and_terms = &self.0.slice[usize::from(meta.key_bytes)..];
            let (target, terms) = target_and_terms.split_at(target_and_terms.len() - usize::from(meta.terms_bytes));
            LinkView { id: meta.id, status: meta.status, target, terms }
        })
    }

    /// Whether links exist on this path whose key has a query string. Said by present and absent entries alike.
    pub fn has_query_links(&self) -> bool {
        self.meta().flags & HAS_QUERY_LINKS != 0
    }

    /// The bytes it keeps resident in the shared cache: its record, and its share of the index, the ghosts and the
    /// ends of chunks.
    pub fn weight(&self) -> usize {
        record::encoded_bytes(self) + OVERHEAD_BYTES
    }

    /// The flags of a link that is [`present`](Self::present).
    pub(super) fn flags_of_present(has_query_links: bool) -> u8 {
        PRESENT | query_flag(has_query_links)
    }

    /// What it is made of: the fixed part, then key, target and terms as one.
    pub(super) fn parts(&self) -> (&Meta, &[u8]) {
        (self.meta(), &self.0.slice)
    }

    /// The inverse of [`parts`](Self::parts).
    pub(super) fn from_parts(meta: Meta, bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice(meta, bytes))
    }

    fn meta(&self) -> &Meta {
        &self.0.header.header
    }
}

impl std::fmt::Debug for CachedLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedLink")
            .field("key", &self.key().escape_ascii().to_string())
            .field("link", &self.link())
            .field("has_query_links", &self.has_query_links())
            .finish()
    }
}

fn query_flag(has_query_links: bool) -> u8 {
    if has_query_links { HAS_QUERY_LINKS } else { 0 }
}

fn meta(key: &[u8], id: u64, status: u16, flags: u8) -> Meta {
    let key_bytes = u16::try_from(key.len()).expect("a cached key has at most 65,535 bytes");
    Meta { id, status, key_bytes, terms_bytes: 0, flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn present_and_absent_say_what_they_were_made_of() {
        let link = CachedLink::present(b"a.example/x?q=1", 7, 308, b"https://b.example/", true);
        assert_eq!(link.key(), b"a.example/x?q=1");
        assert_eq!(link.link(), Some(LinkView { id: 7, status: 308, target: b"https://b.example/", terms: b"" }));
        assert!(link.has_query_links());

        let gone = CachedLink::present(b"a.example/gone", 8, 410, b"", false);
        assert_eq!(gone.link(), Some(LinkView { id: 8, status: 410, target: b"", terms: b"" }));
        assert!(!gone.has_query_links());

        let none = CachedLink::absent(b"a.example/none", true);
        assert_eq!((none.key(), none.link(), none.has_query_links()), (&b"a.example/none"[..], None, true));
    }

    #[test]
    fn terms_stand_beside_the_target() {
        let link = CachedLink::with_terms(b"a.example/x", 7, 302, b"https://b.example/", b"\x01until", true);
        let view = LinkView { id: 7, status: 302, target: b"https://b.example/", terms: b"\x01until" };
        assert_eq!((link.key(), link.link()), (&b"a.example/x"[..], Some(view)));
        assert!(link.has_query_links());

        let gone = CachedLink::with_terms(b"a.example/gone", 8, 410, b"", b"terms", false);
        assert_eq!(gone.link(), Some(LinkView { id: 8, status: 410, target: b"", terms: b"terms" }));

        let none = CachedLink::with_terms(b"a.example/x", 7, 302, b"https://b.example/", b"", true);
        assert_eq!(none.link(), CachedLink::present(b"a.example/x", 7, 302, b"https://b.example/", true).link());
    }

    #[test]
    fn who_has_no_terms_pays_nothing_for_them() {
        let weight =
            |terms| CachedLink::with_terms(b"a.example/x", 7, 302, b"https://b.example/", terms, true).weight();
        assert_eq!(weight(b""), CachedLink::present(b"a.example/x", 7, 302, b"https://b.example/", true).weight());
        // Two bytes of length, and they.
        assert_eq!(weight(&[0; 402]), weight(b"") + 2 + 402);
    }

    #[test]
    fn the_longest_terms_fit_and_longer_ones_are_refused() {
        let with = |bytes: usize| {
            let terms = vec![b't'; bytes];
            CachedLink::with_terms(b"a.example/", 1, 301, b"https://t.example/", &terms, false)
        };
        assert_eq!(with(LINK_TERMS_BYTES).link().map(|link| link.terms.len()), Some(LINK_TERMS_BYTES));
        assert!(std::panic::catch_unwind(|| with(LINK_TERMS_BYTES + 1)).is_err());
    }

    #[test]
    fn the_longest_key_fits() {
        let key = vec![b'k'; crate::limits::HOST_BYTES + crate::limits::REQUEST_TARGET_BYTES];
        assert_eq!(CachedLink::present(&key, 1, 301, b"https://t.example/", false).key(), key);
    }
}
