//! Canonical paths and queries: RFC 3986 §6.2.2, plus what browsers do to a URL before they send it.
//!
//! In canonical form only what RFC 3986 allows stands raw, everything else is percent-encoded with upper-case
//! hex digits, and no unreserved character is percent-encoded. So two spellings of one URL are one byte string.

use wide::u8x16;

use super::host_settings::Folding;

/// What a byte is to a canonical path or query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands as it is.
    Plain,
    /// Must be percent-encoded.
    Encode,
    /// Begins a percent-encoded byte.
    Percent,
    /// `\`, which browsers take for `/` in a path (WHATWG URL, path state).
    Backslash,
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §3.3: `pchar` and `/`.
const fn path_class(byte: u8) -> Class {
    match byte {
        b'%' => Class::Percent,
        b'\\' => Class::Backslash,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/' => {
            Class::Plain
        }
        _ if is_unreserved(byte) => Class::Plain,
        _ => Class::Encode,
    }
}

/// RFC 3986 §3.4: `pchar`, `/` and `?`; without `'`, which browsers encode (WHATWG special-query set).
const fn query_class(byte: u8) -> Class {
    match byte {
        b'?' => Class::Plain,
        b'\'' | b'\\' => Class::Encode,
        _ => path_class(byte),
    }
}

const fn table(is_path: bool) -> [Class; 256] {
    let mut table = [Class::Encode; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = if is_path { path_class(byte as u8) } else { query_class(byte as u8) };
        byte += 1;
    }
    table
}

static PATH: [Class; 256] = table(true);
static QUERY: [Class; 256] = table(false);

/// Appends the canonical form of `raw`, a path that begins with `/` (one is put before it if it doesn't).
pub(super) fn path_into(raw: &[u8], out: &mut Vec<u8>) {
    if raw.first() == Some(&b'/') && is_usual(raw) {
        out.extend_from_slice(raw);
    } else {
        any_path_into(raw, out);
    }
}

fn any_path_into(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if !matches!(raw.first(), Some(b'/' | b'\\')) {
        out.push(b'/');
    }
    encode_into(raw, &PATH, out);
    remove_dot_segments(out, start);
}

/// How many bytes are looked at together.
const BLOCK_BYTES: usize = 16;

/// Whether a path is canonical as it is, as far as can be told at a glance: of the bytes that may stand in it raw only
/// those that do so often, and no segment begins with a dot.
fn is_usual(path: &[u8]) -> bool {
    let (blocks, rest) = path.as_chunks::<BLOCK_BYTES>();
    let mut behind_slash = 0;
    blocks.iter().all(|block| is_usual_block(block, &mut behind_slash)) && {
        let mut last = [b'a'; BLOCK_BYTES];
        last[..rest.len()].copy_from_slice(rest);
        rest.is_empty() || is_usual_block(&last, &mut behind_slash)
    }
}

/// The same of a part of a path. `behind_slash` is 1 if it comes behind a slash.
#[inline]
fn is_usual_block(block: &[u8; BLOCK_BYTES], behind_slash: &mut u32) -> bool {
    let block = u8x16::from(*block);
    let is = |byte| block.simd_eq(u8x16::splat(byte));
    let is_between = |first: u8, last: u8| {
        let above = block - u8x16::splat(first);
        above.min(u8x16::splat(last - first)).simd_eq(above)
    };
    // `&'()*+,-./`, digits, `:` and `;`; `@` and capital letters; small letters.
    let plain = is_between(b'&', b';') | is_between(b'@', b'Z') | is_between(b'a', b'z') | is(b'_');
    let slashes = is(b'/').to_bitmask();
    let segments = slashes << 1 | *behind_slash;
    *behind_slash = slashes >> (BLOCK_BYTES - 1);
    plain.all() && segments & is(b'.').to_bitmask() == 0
}

/// Appends the canonical form of what a path begins with and, behind a `?`, a query. Dot segments stay: what is cut off
/// in `/a/.` may be a whole `.b`.
pub(super) fn prefix_into(raw: &[u8], out: &mut Vec<u8>) {
    let end = raw.iter().position(|&byte| byte == b'?').unwrap_or(raw.len());
    let (path, query) = raw.split_at(end);
    if !matches!(path.first(), Some(b'/' | b'\\')) {
        out.push(b'/');
    }
    encode_into(path, &PATH, out);
    encode_into(query, &QUERY, out);
}

/// Appends the canonical form of `raw`, a query without its `?`.
pub(super) fn query_into(raw: &[u8], out: &mut Vec<u8>) {
    if raw.iter().all(|&byte| QUERY[usize::from(byte)] == Class::Plain) {
        out.extend_from_slice(raw);
    } else {
        encode_into(raw, &QUERY, out);
    }
}

fn encode_into(raw: &[u8], table: &[Class; 256], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < raw.len() {
        let byte = raw[at];
        at += 1;
        match table[usize::from(byte)] {
            Class::Plain => out.push(byte),
            Class::Backslash => out.push(b'/'),
            Class::Encode => percent_encode(byte, out),
            Class::Percent => match raw.get(at..at + 2).and_then(decode_hex) {
                Some(decoded) => {
                    at += 2;
                    if is_unreserved(decoded) { out.push(decoded) } else { percent_encode(decoded, out) }
                }
                // A `%` that begins nothing is itself encoded. Left alone it could join with what is decoded
                // behind it (`%%34%31`), and normalising twice would change something.
                None => percent_encode(b'%', out),
            },
        }
    }
}

fn decode_hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    Some(digit(digits[0])? << 4 | digit(digits[1])?)
}

fn percent_encode(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// RFC 3986 §5.2.4 in place on `buf[start..]`, which begins with `/`.
fn remove_dot_segments(buf: &mut Vec<u8>, start: usize) {
    let end = buf.len();
    let (mut read, mut write) = (start, start);
    while read < end {
        let segment = read + 1;
        let next = buf[segment..end].iter().position(|&byte| byte == b'/').map_or(end, |offset| segment + offset);
        let is_dot = &buf[segment..next] == b".";
        let is_dot_dot = &buf[segment..next] == b"..";
        if is_dot_dot {
            write = buf[start..write].iter().rposition(|&byte| byte == b'/').map_or(start, |offset| start + offset);
        }
        if !is_dot && !is_dot_dot {
            buf.copy_within(read..next, write);
            write += next - read;
        } else if next == end {
            // A dot segment at the end leaves the slash: `/a/.` is `/a/`.
            buf[write] = b'/';
            write += 1;
        }
        read = next;
    }
    buf.truncate(write);
}

/// Takes away what a host ignores from the canonical path that begins at `start` and ends the buffer. ASCII letters
/// only: what is percent-encoded stays as it is.
pub(super) fn fold_path(buf: &mut Vec<u8>, start: usize, folding: Folding) {
    if folding.trailing_slash {
        while buf.len() > start + 1 && buf.ends_with(b"/") {
            buf.pop();
        }
    }
    if folding.case {
        let mut at = start;
        while at < buf.len() {
            if buf[at] == b'%' {
                // Its hexadecimal digits are upper case in canonical form.
                at += 3;
            } else {
                buf[at].make_ascii_lowercase();
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(raw: &str) -> String {
        let mut out = Vec::new();
        path_into(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn query(raw: &str) -> String {
        let mut out = Vec::new();
        query_into(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn a_usual_path_is_what_it_would_become(segments in proptest::collection::vec("[aZ0._~=%-]{0,17}", 0..6)) {
            let raw = format!("/{}", segments.join("/"));
            let mut out = Vec::new();
            any_path_into(raw.as_bytes(), &mut out);
            prop_assert_eq!(path(&raw).into_bytes(), out, "{}", raw);
        }

        #[test]
        fn dot_segments_are_seen_wherever_they_begin(before in 0..40_usize, dots in "(\\.|\\.\\.)(/x)?") {
            let raw = format!("/{}/{dots}", "a".repeat(before));
            let mut out = Vec::new();
            any_path_into(raw.as_bytes(), &mut out);
            prop_assert_eq!(path(&raw).into_bytes(), out, "{}", raw);
        }
    }

    #[test]
    fn paths_take_their_canonical_form() {
        for (raw, canonical) in [
            ("/", "/"),
            ("", "/"),
            ("/a/b.html", "/a/b.html"),
            ("/%7euser/%41", "/~user/A"),
            ("/a%2fb", "/a%2Fb"),
            ("/a b", "/a%20b"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/100%", "/100%25"),
            ("/%%34%31", "/%2541"),
            ("/a[1]|{x}", "/a%5B1%5D%7C%7Bx%7D"),
            (r"/a\b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/../..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a//../b", "/a/b"),
            ("//a", "//a"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a(b)*c,d;e=f:g@h!$&'+", "/a(b)*c,d;e=f:g@h!$&'+"),
        ] {
            assert_eq!(path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn queries_take_their_canonical_form() {
        for (raw, canonical) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("a=%7e%2f", "a=~%2F"),
            ("a='x'", "a=%27x%27"),
            ("a[]=1", "a%5B%5D=1"),
            ("p=../x?y", "p=../x?y"),
            (r"a\b", "a%5Cb"),
        ] {
            assert_eq!(query(raw), canonical, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            path_into(&raw, &mut once);
            path_into(&once, &mut twice);
            prop_assert_eq!(&once, &twice);
            prop_assert!(once.is_ascii() && once[0] == b'/');
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            query_into(&raw, &mut once);
            query_into(&once, &mut twice);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn the_characters_that_matter_normalise_to_a_fixed_point(raw in "[/.%\\\\2eEfF7x]{0,24}") {
            let once = path(&raw);
            prop_assert_eq!(path(&once), once.clone());
            prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."), "{}", once);
        }
    }
}
