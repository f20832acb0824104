//! What both caches hold: one link, or the fact that there is none.

use triomphe::ThinArc;

use super::shard::{OVERHEAD_BYTES, Weighted};

/// What the allocation of an entry costs before its first byte of key: reference count, [`Meta`], length.
const HEADER_BYTES: usize = 8 + size_of::<Meta>() + 8;

const PRESENT: u8 = 1;
const HAS_QUERY_LINKS: u8 = 1 << 1;

/// The fixed part of an entry.
struct Meta {
    id: u64,
    status: u16,
    key_bytes: u16,
    flags: u8,
}

const _: () = assert!(size_of::<Meta>() == 16 && size_of::<Option<CachedLink>>() == 8);

/// A link as the caches hold it: either present, or known to be absent.
///
/// One allocation behind a thin pointer; a clone is one increment. It never changes: a change of the link is
/// another `CachedLink`.
#[derive(Clone)]
pub struct CachedLink(
    /// The bytes are the key, then the target.
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
        let flags = PRESENT | query_flag(has_query_links);
        Self(ThinArc::from_header_and_slice(meta(key, id, status, flags), &[key, target].concat()))
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
        (meta.flags & PRESENT != 0).then(|| LinkView {
            id: meta.id,
            status: meta.status,
            target: &self.0.slice[usize::from(meta.key_bytes)..],
        })
    }

    /// Whether links exist on this path whose key has a query string. Said by present and absent entries alike.
    pub fn has_query_links(&self) -> bool {
        self.meta().flags & HAS_QUERY_LINKS != 0
    }

    /// The bytes it keeps resident in the shared cache: its allocation, rounded up as the allocator does, and its
    /// share of the slots, the index and the ghosts.
    pub fn weight(&self) -> usize {
        allocated_bytes(HEADER_BYTES + self.0.slice.len()) + OVERHEAD_BYTES
    }

    fn meta(&self) -> &Meta {
        &self.0.header.header
    }
}

impl Weighted for CachedLink {
    fn key(&self) -> &[u8] {
        CachedLink::key(self)
    }

    fn weight(&self) -> usize {
        CachedLink::weight(self)
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
    Meta { id, status, key_bytes, flags }
}

/// What mimalloc sets aside for an allocation: it has four size classes between one power of two and the next.
fn allocated_bytes(bytes: usize) -> usize {
    let below = (bytes - 1).max(1).ilog2();
    bytes.next_multiple_of((1 << below >> 2).max(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn present_and_absent_say_what_they_were_made_of() {
        let link = CachedLink::present(b"a.example/x?q=1", 7, 308, b"https://b.example/", true);
        assert_eq!(link.key(), b"a.example/x?q=1");
        assert_eq!(link.link(), Some(LinkView { id: 7, status: 308, target: b"https://b.example/" }));
        assert!(link.has_query_links());

        let gone = CachedLink::present(b"a.example/gone", 8, 410, b"", false);
        assert_eq!(gone.link(), Some(LinkView { id: 8, status: 410, target: b"" }));
        assert!(!gone.has_query_links());

        let none = CachedLink::absent(b"a.example/none", true);
        assert_eq!((none.key(), none.link(), none.has_query_links()), (&b"a.example/none"[..], None, true));
    }

    #[test]
    fn the_longest_key_fits() {
        let key = vec![b'k'; crate::limits::HOST_BYTES + crate::limits::REQUEST_TARGET_BYTES];
        assert_eq!(CachedLink::present(&key, 1, 301, b"https://t.example/", false).key(), key);
    }

    #[test]
    fn sizes_are_rounded_to_the_classes_of_the_allocator() {
        let classes =
            [(32, 32), (33, 40), (64, 64), (65, 80), (80, 80), (129, 160), (137, 160), (161, 192), (1025, 1280)];
        for (bytes, class) in classes {
            assert_eq!(allocated_bytes(bytes), class, "{bytes}");
        }
    }
}
