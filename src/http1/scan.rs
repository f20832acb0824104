//! Where bytes of some kind are, sixteen at a time.

use wide::u8x16;

/// How many bytes are looked at together.
pub(super) const BLOCK_BYTES: usize = 16;

/// The first sixteen bytes of a line.
#[derive(Clone, Copy)]
pub(super) struct Block(u8x16);

impl Block {
    /// The first bytes of these, with zeros behind them if they are fewer.
    #[inline(always)]
    pub(super) fn first_of(bytes: &[u8]) -> Self {
        Block(match bytes.first_chunk::<BLOCK_BYTES>() {
            Some(&block) => u8x16::from(block),
            None => u8x16::from(padded(bytes)),
        })
    }

    /// The position of the first byte that is no letter and no hyphen, of which names of fields consist; else the length.
    #[inline(always)]
    pub(super) fn name_stop(self) -> usize {
        let others = !(is_letter(self.0) | self.0.simd_eq(u8x16::splat(b'-')));
        // A bit behind the last, for where there are none.
        (others.to_bitmask() | 1 << BLOCK_BYTES).trailing_zeros() as usize
    }

    /// The position of the first byte that is a control or from 0x80 on.
    #[inline(always)]
    pub(super) fn line_stop(self) -> Option<usize> {
        first(is_control_or_high(self.0).to_bitmask())
    }

    /// The bytes in lower case, to be compared with a name.
    #[inline(always)]
    pub(super) fn lower(self) -> Lower {
        Lower(u128::from_le_bytes((self.0 | u8x16::splat(0x20)).to_array()))
    }
}

/// Sixteen bytes with the bit set that makes letters small. In a token it makes nothing else a small letter or a hyphen.
#[derive(Clone, Copy)]
pub(super) struct Lower(u128);

impl Lower {
    /// Whether these begin with a name in lower case, of at most fifteen bytes.
    #[inline(always)]
    pub(super) fn with(self, name: &'static str) -> bool {
        let mask = (1 << (8 * name.len())) - 1;
        self.0 & mask == u128::from_le_bytes(padded(name.as_bytes()))
    }
}

/// The position of the first byte from `from` on that is a control or from 0x80 on.
#[inline]
pub(super) fn line_stop(bytes: &[u8], from: usize) -> Option<usize> {
    find(bytes, from, is_control_or_high)
}

/// The position of the first byte from `from` on that is a control, a space, `?`, `#`, or from 0x80 on.
#[inline]
pub(super) fn target_stop(bytes: &[u8], from: usize) -> Option<usize> {
    find(bytes, from, |block| {
        let is = |byte| block.simd_eq(u8x16::splat(byte));
        is_control_or_high(block) | is(b' ') | is(b'?') | is(b'#')
    })
}

/// The position of the first byte that is no letter, digit, hyphen or dot, of which names of hosts consist.
#[inline]
pub(super) fn host_stop(bytes: &[u8]) -> Option<usize> {
    find(bytes, 0, |block| {
        let is_slash = block.simd_eq(u8x16::splat(b'/'));
        !(is_letter(block) | (is_between(block, b'-', b'9') & !is_slash))
    })
}

/// In either case.
#[inline(always)]
fn is_letter(block: u8x16) -> u8x16 {
    is_between(block | u8x16::splat(0x20), b'a', b'z')
}

/// Both included; from a byte on to one below it, it goes around at 0xFF.
#[inline(always)]
fn is_between(block: u8x16, first: u8, last: u8) -> u8x16 {
    let above = block - u8x16::splat(first);
    above.min(u8x16::splat(last.wrapping_sub(first))).simd_eq(above)
}

#[inline(always)]
fn is_control_or_high(block: u8x16) -> u8x16 {
    is_between(block, 0x7F, 0x1F)
}

/// The position of the first byte from `from` on that `is_one` says yes to, with all bits of it.
#[inline(always)]
fn find(bytes: &[u8], from: usize, is_one: impl Fn(u8x16) -> u8x16) -> Option<usize> {
    let bits = |block: &[u8; BLOCK_BYTES]| is_one(u8x16::from(*block)).to_bitmask();
    let (blocks, rest) = bytes.get(from..)?.as_chunks();
    let mut at = from;
    for block in blocks {
        if let Some(found) = first(bits(block)) {
            return Some(at + found);
        }
        at += BLOCK_BYTES;
    }
    if rest.is_empty() {
        return None;
    }
    let bits = match bytes.last_chunk() {
        // What was looked at already is shifted out.
        Some(block) => bits(block) >> (BLOCK_BYTES - rest.len()),
        None => bits(&padded(rest)) & ((1 << rest.len()) - 1),
    };
    first(bits).map(|found| at + found)
}

/// The lowest bit that is set.
#[inline(always)]
fn first(bits: u32) -> Option<usize> {
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

/// At most sixteen bytes, and zeros behind them.
#[inline(always)]
fn padded(bytes: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..bytes.len()].copy_from_slice(bytes);
    block
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Asserts that the stop is the first byte that `is_one`.
    fn assert_finds(
        stop: impl Fn(&[u8], usize) -> Option<usize>,
        is_one: impl Fn(u8) -> bool,
        bytes: &[u8],
        from: usize,
    ) {
        let expected = bytes[from..].iter().position(|&byte| is_one(byte)).map(|at| from + at);
        assert_eq!(stop(bytes, from), expected, "from {from} in {}", bytes.escape_ascii());
    }

    fn assert_all_find(bytes: &[u8], from: usize) {
        let is_of_line = |byte: u8| (b' '..=b'~').contains(&byte);
        assert_finds(line_stop, |byte| !is_of_line(byte), bytes, from);
        assert_finds(target_stop, |byte| !is_of_line(byte) || b" ?#".contains(&byte), bytes, from);
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        assert_finds(|bytes, from| Some(from + host_stop(&bytes[from..])?), |byte| !is_of_host(byte), bytes, from);

        let start = &bytes[from..bytes.len().min(from + BLOCK_BYTES)];
        let block = Block::first_of(&bytes[from..]);
        let name = start.iter().position(|byte| !byte.is_ascii_alphabetic() && *byte != b'-');
        assert_eq!(block.name_stop(), name.unwrap_or(start.len()), "{}", start.escape_ascii());
        // What is missing is a control.
        let line = start.iter().position(|&byte| !is_of_line(byte));
        let behind = (start.len() < BLOCK_BYTES).then_some(start.len());
        assert_eq!(block.line_stop(), line.or(behind), "{}", start.escape_ascii());
    }

    #[test]
    fn every_byte_is_told_at_every_place() {
        for byte in 0..=u8::MAX {
            for length in [1, 15, 16, 17, 31, 40] {
                for place in 0..length {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    assert_all_find(&bytes, 0);
                    assert_all_find(&bytes, place);
                    assert_all_find(&bytes, length);
                }
            }
        }
    }

    #[test]
    fn a_name_is_known_in_any_case() {
        for (bytes, is_host) in [("hOSt: h", true), ("host", true), ("hos", false), ("ghost", false), ("hosts", true)] {
            assert_eq!(Block::first_of(bytes.as_bytes()).lower().with("host"), is_host, "{bytes}");
        }
        assert!(Block::first_of(b"Accept-Language: en").lower().with("accept-language"));
        assert!(!Block::first_of(b"Accept-Languagf: en").lower().with("accept-language"));
    }

    proptest! {
        #[test]
        fn the_first_of_several_is_found(bytes in vec(prop_oneof![9 => Just(b'a'), 1 => any::<u8>()], 0..100), from in 0..100_usize) {
            assert_all_find(&bytes, from.min(bytes.len()));
        }
    }
}
