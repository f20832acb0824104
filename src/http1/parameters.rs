//! The parameters of queries, told apart by their names.

use crate::limits::TARGET_BYTES;

/// Most parameters in the query of a target: all are one byte, and have another in front of them.
const NAMES: usize = TARGET_BYTES / 2;

const _: () = assert!(TARGET_BYTES <= u16::MAX as usize);

/// The parameters of a query, without the empty ones.
pub(super) fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|&byte| byte == b'&').filter(|parameter| !parameter.is_empty())
}

/// The names in the query of a target.
///
/// They are sorted, on the stack: a target and a request may have a thousand parameters each, and comparing each with
/// each would take tens of milliseconds.
pub(super) struct Names<'a> {
    query: &'a [u8],
    /// Where the parameters begin, in the order of their names.
    starts: [u16; NAMES],
    count: usize,
}

impl<'a> Names<'a> {
    /// The names in `query`, of a target of at most [`TARGET_BYTES`].
    pub(super) fn of(query: &'a [u8]) -> Self {
        debug_assert!(query.len() < TARGET_BYTES);
        let mut starts = [0; NAMES];
        let mut count = 0;
        let mut at = 0;
        for parameter in query.split(|&byte| byte == b'&') {
            if !parameter.is_empty() && count < NAMES {
                // Below TARGET_BYTES.
                starts[count] = at as u16;
                count += 1;
            }
            at += parameter.len() + 1;
        }
        let names_at = |start: &u16| name(&query[usize::from(*start)..]);
        starts[..count].sort_unstable_by(|one, other| names_at(one).cmp(names_at(other)));
        Self { query, starts, count }
    }

    /// Whether the name of `parameter` is among them: the same bytes, once they are percent-decoded.
    pub(super) fn have(&self, parameter: &[u8]) -> bool {
        let compare = |start: &u16| name(&self.query[usize::from(*start)..]).cmp(name(parameter));
        self.starts[..self.count].binary_search_by(compare).is_ok()
    }
}

/// The name of the parameter in front, percent-decoded. What only looks like a percent-encoding stands for itself.
fn name(parameter: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = parameter;
    std::iter::from_fn(move || {
        let (byte, behind) = match *rest {
            [] | [b'=' | b'&', ..] => return None,
            [b'%', high, low, ref behind @ ..] => match (hex_value(high), hex_value(low)) {
                (Some(high), Some(low)) => (high << 4 | low, behind),
                _ => (b'%', &rest[1..]),
            },
            [byte, ref behind @ ..] => (byte, behind),
        };
        rest = behind;
        Some(byte)
    })
}

fn hex_value(digit: u8) -> Option<u8> {
    // A digit is below 16.
    char::from(digit).to_digit(16).map(|value| value as u8)
}
