//! A link as the shared cache keeps it: bytes without pointers or padding, in this order:
//!
//! | bytes    | what                                                                                  |
//! |----------|---------------------------------------------------------------------------------------|
//! | 4        | the hash it is found by, little-endian                                                |
//! | 1        | flags: present, has query links, dead; above them the code of the status, three bits; |
//! |          | above that, has terms; the top bit is free                                            |
//! | 1        | the number of the target's origin, see [`Origins`]; 0 if the target is whole          |
//! | varint   | the length of the key                                                                 |
//! | varint   | the length of the target without its origin                                           |
//! |          | the key, then the target without its origin                                           |
//! | varint   | the id                                                                                |
//! | 0 or 2   | the status, little-endian, if it has no code of its own                               |
//! | varint   | the length of the terms, if it has any                                                |
//! |          | the terms                                                                             |
//! | 0 to 3   | zeros up to a multiple of [`ALIGNMENT_BYTES`]                                         |
//!
//! Varints have seven bits a byte, the low ones first, and the top bit set on all bytes but the last.

use super::entry::{CachedLink, Meta};
use super::origins::Origins;

/// Records begin at multiples of this.
pub(super) const ALIGNMENT_BYTES: usize = 4;

/// Set on a record that was removed or replaced, until its place is used again.
const DEAD: u8 = 1 << 2;
const LINK_FLAGS: u8 = DEAD - 1;
const STATUS_SHIFT: u32 = 3;
const STATUS_MASK: u8 = 0b111;
const HAS_TERMS: u8 = 1 << 6;

/// The statuses with a code, which is their place here. 0 is the status of an absent link.
const STATUSES: [u16; 7] = [0, 301, 302, 303, 307, 308, 410];
/// The code of all others.
const STATUS_SPELLED_OUT: u8 = STATUSES.len() as u8;
const _: () = assert!(STATUS_SPELLED_OUT <= STATUS_MASK);

const FLAGS_AT: usize = 4;
const ORIGIN_AT: usize = 5;
const LENGTHS_AT: usize = 6;

/// Links up to this are put together on the stack.
const JOINED_BYTES: usize = 512;

/// Bytes that begin with a record.
#[derive(Clone, Copy)]
pub(super) struct Record<'a>(pub(super) &'a [u8]);

impl<'a> Record<'a> {
    pub(super) fn hash(self) -> u32 {
        u32::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    pub(super) fn key(self) -> &'a [u8] {
        let (key_bytes, _, start) = self.lengths();
        &self.0[start..start + key_bytes]
    }

    pub(super) fn is_dead(self) -> bool {
        self.0[FLAGS_AT] & DEAD != 0
    }

    /// Whether it is the record of this key. Tells the hashes apart first: that is one comparison.
    pub(super) fn is_of(self, hash: u32, key: &[u8]) -> bool {
        self.hash() == hash && {
            let (key_bytes, _, start) = self.lengths();
            key_bytes == key.len() && self.0[start..start + key_bytes] == *key
        }
    }

    /// How many bytes it takes, the zeros at the end included.
    pub(super) fn len(self) -> usize {
        let (key_bytes, target_bytes, start) = self.lengths();
        let mut at = start + key_bytes + target_bytes;
        get_varint(self.0, &mut at);
        if self.status_code() == STATUS_SPELLED_OUT {
            at += 2;
        }
        self.take_terms(&mut at);
        at.next_multiple_of(ALIGNMENT_BYTES)
    }

    /// A copy in the form the rest of the program uses.
    pub(super) fn to_link(self, origins: &Origins) -> CachedLink {
        let (key_bytes, target_bytes, start) = self.lengths();
        let end = start + key_bytes + target_bytes;
        let mut at = end;
        let id = get_varint(self.0, &mut at);
        let status = match STATUSES.get(usize::from(self.status_code())) {
            Some(&status) => status,
            None => {
                at += 2;
                u16::from_le_bytes([self.0[at - 2], self.0[at - 1]])
            }
        };
        let terms = self.take_terms(&mut at);
        // Both lengths were a u16 when they were written.
        let meta = Meta {
            id,
            status,
            key_bytes: key_bytes as u16,
            terms_bytes: terms.len() as u16,
            flags: self.0[FLAGS_AT] & LINK_FLAGS,
        };
        let origin = origins.text(self.0[ORIGIN_AT]);
        if origin.is_empty() && terms.is_empty() {
            return CachedLink::from_parts(meta, &self.0[start..end]);
        }
        let (key, rest) = self.0[start..end].split_at(key_bytes);
        let bytes = end - start + origin.len() + terms.len();
        let (mut on_stack, mut on_heap) = ([0; JOINED_BYTES], Vec::new());
        let joined = match on_stack.get_mut(..bytes) {
            Some(joined) => joined,
            None => {
                on_heap.resize(bytes, 0);
                &mut on_heap[..]
            }
        };
        let (for_key, for_others) = joined.split_at_mut(key_bytes);
        let (for_origin, for_others) = for_others.split_at_mut(origin.len());
        let (for_rest, for_terms) = for_others.split_at_mut(rest.len());
        for_key.copy_from_slice(key);
        for_origin.copy_from_slice(origin);
        for_rest.copy_from_slice(rest);
        for_terms.copy_from_slice(terms);
        CachedLink::from_parts(meta, joined)
    }

    fn status_code(self) -> u8 {
        self.0[FLAGS_AT] >> STATUS_SHIFT & STATUS_MASK
    }

    /// The terms, whose length stands at `at` if there are any. Moves `at` behind them.
    fn take_terms(self, at: &mut usize) -> &'a [u8] {
        if self.0[FLAGS_AT] & HAS_TERMS == 0 {
            return &[];
        }
        let bytes = get_varint(self.0, at) as usize;
        let start = *at;
        *at += bytes;
        &self.0[start..*at]
    }

    /// The length of the key and of the target without its origin, and where the key begins.
    fn lengths(self) -> (usize, usize, usize) {
        let mut at = LENGTHS_AT;
        let key_bytes = get_varint(self.0, &mut at) as usize;
        let target_bytes = get_varint(self.0, &mut at) as usize;
        (key_bytes, target_bytes, at)
    }
}

/// What a record is made of.
pub(super) struct Parts<'a> {
    /// The flags of [`Meta`].
    pub(super) flags: u8,
    pub(super) id: u64,
    pub(super) status: u16,
    pub(super) key: &'a [u8],
    /// The number of the target's origin, and the target without it.
    pub(super) target: (u8, &'a [u8]),
    pub(super) terms: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Those of a link, whose target `split` takes apart.
    pub(super) fn of(link: &'a CachedLink, split: impl FnOnce(&'a [u8]) -> (u8, &'a [u8])) -> Self {
        let (&Meta { id, status, key_bytes, terms_bytes, flags }, bytes) = link.parts();
        let (key_and_target, terms) = bytes.split_at(bytes.len() - usize::from(terms_bytes));
        let (key, target) = key_and_target.split_at(usize::from(key_bytes));
        Parts { flags, id, status, key, target: split(target), terms }
    }

    /// Adds the record to `out`.
    pub(super) fn append(&self, hash: u32, out: &mut Vec<u8>) {
        let &Parts { flags, id, status, key, target: (origin, rest), terms } = self;
        let start = out.len();
        let code = STATUSES.iter().position(|&s| s == status).map_or(STATUS_SPELLED_OUT, |code| code as u8);
        out.extend_from_slice(&hash.to_le_bytes());
        out.push(flags | code << STATUS_SHIFT | if terms.is_empty() { 0 } else { HAS_TERMS });
        out.push(origin);
        put_varint(key.len() as u64, out);
        put_varint(rest.len() as u64, out);
        out.extend_from_slice(key);
        out.extend_from_slice(rest);
        put_varint(id, out);
        if code == STATUS_SPELLED_OUT {
            out.extend_from_slice(&status.to_le_bytes());
        }
        if !terms.is_empty() {
            put_varint(terms.len() as u64, out);
            out.extend_from_slice(terms);
        }
        let bytes = out.len() - start;
        out.resize(start + bytes.next_multiple_of(ALIGNMENT_BYTES), 0);
    }
}

/// Makes `out` the record of `link`.
pub(super) fn encode(hash: u32, link: &CachedLink, origins: &Origins, out: &mut Vec<u8>) {
    out.clear();
    Parts::of(link, |target| origins.split(target)).append(hash, out);
}

/// How long the record of `link` is at most: as long as it is if its target is kept whole.
pub(super) fn encoded_bytes(link: &CachedLink) -> usize {
    let (meta, bytes) = link.parts();
    let (key_bytes, terms_bytes) = (usize::from(meta.key_bytes), usize::from(meta.terms_bytes));
    let target_bytes = bytes.len() - key_bytes - terms_bytes;
    let status = if STATUSES.contains(&meta.status) { 0 } else { 2 };
    let terms_length = if terms_bytes == 0 { 0 } else { varint_bytes(terms_bytes as u64) };
    let lengths = varint_bytes(key_bytes as u64) + varint_bytes(target_bytes as u64) + terms_length;
    let bytes = LENGTHS_AT + lengths + bytes.len() + varint_bytes(meta.id) + status;
    bytes.next_multiple_of(ALIGNMENT_BYTES)
}

/// Marks the record that `bytes` begin with as dead.
pub(super) fn kill(bytes: &mut [u8]) {
    bytes[FLAGS_AT] |= DEAD;
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn get_varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::LINK_TERMS_BYTES;

    /// With and without a number for its origin.
    fn assert_kept(hash: u32, link: &CachedLink) {
        let full = Origins::new();
        for index in 0..300 {
            full.split(format!("https://{index}.example/").as_bytes());
        }
        assert_kept_with(&full, hash, link);
        assert_kept_with(&Origins::new(), hash, link);
    }

    fn assert_kept_with(origins: &Origins, hash: u32, link: &CachedLink) {
        let mut bytes = Vec::new();
        encode(hash, link, origins, &mut bytes);
        let length = bytes.len();
        assert!(length <= encoded_bytes(link));
        // Other records follow.
        bytes.extend_from_slice(&[0xff; 16]);
        let record = Record(&bytes);
        assert_eq!((record.hash(), record.len(), record.is_dead()), (hash, length, false));
        assert!(record.is_of(hash, link.key()));
        assert!(!record.is_of(!hash, link.key()));
        assert!(!record.is_of(hash, &[link.key(), b"x"].concat()));
        let read = record.to_link(origins);
        assert_eq!(
            (read.key(), read.link(), read.has_query_links()),
            (link.key(), link.link(), link.has_query_links())
        );
        kill(&mut bytes);
        assert!(Record(&bytes).is_dead());
        assert_eq!(Record(&bytes).len(), length);
    }

    #[test]
    fn links_of_every_kind_are_kept_exactly() {
        for status in (0..=u16::MAX).step_by(7).chain(STATUSES).chain([u16::MAX]) {
            assert_kept(1, &CachedLink::present(b"a.example/", 9, status, b"https://t.example/", status % 2 == 0));
        }
        assert_kept(0, &CachedLink::present(b"", 0, 410, b"", true));
        assert_kept(7, &CachedLink::absent(b"a.example/none", false));
        assert_kept(7, &CachedLink::absent(b"a.example/none", true));
        let longest = [vec![b'k'; 65_535], vec![b't'; 100_000]];
        assert_kept(u32::MAX, &CachedLink::present(&longest[0], u64::MAX, 301, &longest[1], true));
        let longest_terms = vec![0xff; LINK_TERMS_BYTES];
        assert_kept(
            u32::MAX,
            &CachedLink::with_terms(&longest[0], u64::MAX, u16::MAX, &longest[1], &longest_terms, true),
        );
    }

    #[test]
    fn terms_of_every_length_are_kept_with_every_status() {
        let terms: Vec<u8> = (0..LINK_TERMS_BYTES).map(|at| at as u8).collect();
        for bytes in (0..300).chain([LINK_TERMS_BYTES]) {
            for status in STATUSES.into_iter().chain([200, 404, u16::MAX]) {
                let target = if status == 410 { &b""[..] } else { b"https://t.example/x" };
                assert_kept(3, &CachedLink::with_terms(b"a.example/", 9, status, target, &terms[..bytes], true));
            }
        }
    }

    #[test]
    fn a_record_is_as_long_without_terms_as_it_was_before_there_were_any() {
        let mut bytes = Vec::new();
        encode(1, &CachedLink::present(b"a.example/abc", 9, 301, b"no origin", false), &Origins::new(), &mut bytes);
        // Hash, flags, origin, two lengths, key, target, id, and one zero to fill up.
        assert_eq!(bytes.len(), 4 + 1 + 1 + 2 + 13 + 9 + 1 + 1);
        assert_eq!(bytes[FLAGS_AT] & HAS_TERMS, 0);
    }

    proptest! {
        #[test]
        fn links_are_kept_exactly(
            hash in any::<u32>(),
            id in any::<u64>(),
            bits in 0_u32..64,
            key in prop::collection::vec(any::<u8>(), 0..300),
            target in prop::collection::vec(any::<u8>(), 0..300),
            terms in prop_oneof![
                Just(Vec::new()),
                prop::collection::vec(any::<u8>(), 0..300),
                prop::collection::vec(any::<u8>(), 0..=LINK_TERMS_BYTES),
            ],
            status in prop_oneof![prop::sample::select(STATUSES.to_vec()), any::<u16>()],
        ) {
            let with_origin = [b"https://a.example/".as_slice(), &target].concat();
            for target in [&target, &with_origin] {
                assert_kept(hash, &CachedLink::present(&key, id >> bits, status, target, id % 2 == 0));
                assert_kept(hash, &CachedLink::with_terms(&key, id >> bits, status, target, &terms, id % 2 == 0));
            }
        }
    }
}
