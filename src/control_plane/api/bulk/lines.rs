//! Lines of JSON from pieces of any size, without I/O.

/// Longest line that is read, in bytes. A link takes at most a tenth of it.
pub(crate) const LINE_BYTES: usize = 64 * 1024;

/// What some programs write at the beginning of a text. It is no part of the first line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1; blank ones count.
    pub(crate) number: u64,
    /// What is in it, without its end. None if it has more than [`LINE_BYTES`].
    pub(crate) text: Option<Vec<u8>>,
}

/// Takes pieces and gives lines. Holds a piece and a line at most.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// What of the buffer was given already.
    start: usize,
    /// What of the buffer holds no line end.
    searched: usize,
    /// The number of the last line that ended.
    number: u64,
    /// Whether the beginning of the line of the moment was too long, and was thrown away.
    is_over_long: bool,
    has_ended: bool,
}

impl Lines {
    /// Takes the next piece. All lines should be asked for before.
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// There is no further piece: what is left is a line.
    pub(crate) fn end(&mut self) {
        if !self.has_ended && (self.start < self.buffer.len() || self.is_over_long) {
            self.buffer.push(b'\n');
        }
        self.has_ended = true;
    }

    fn next_of_any_kind(&mut self) -> Option<Line> {
        let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            if self.searched - self.start > LINE_BYTES {
                self.is_over_long = true;
                self.start = self.searched;
            }
            return None;
        };
        let end = self.searched + at;
        let text = &self.buffer[self.start..end];
        let text = if self.number == 0 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text) } else { text };
        let is_over_long = std::mem::take(&mut self.is_over_long) || text.len() > LINE_BYTES;
        let text = (!is_over_long).then(|| text.to_vec());
        self.start = end + 1;
        self.searched = self.start;
        self.number += 1;
        Some(Line { number: self.number, text })
    }
}

impl Iterator for Lines {
    type Item = Line;

    /// The next line that is not blank. None until there is a further piece.
    fn next(&mut self) -> Option<Line> {
        loop {
            let line = self.next_of_any_kind()?;
            let is_blank = line.text.as_ref().is_some_and(|text| text.trim_ascii().is_empty());
            if !is_blank {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut take = |lines: &mut Lines| {
            for line in lines {
                found.push((line.number, line.text.map(|text| String::from_utf8(text).unwrap())));
            }
        };
        for piece in pieces {
            lines.add(piece);
            take(&mut lines);
        }
        lines.end();
        take(&mut lines);
        lines.end();
        assert_eq!(lines.next(), None);
        found
    }

    #[test]
    fn blank_lines_count_and_the_last_one_needs_no_end() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(&[b"a\n\n \r\nb\r\nc"]), [(1, some("a")), (4, some("b\r")), (5, some("c"))]);
        assert_eq!(read(&[b""]), []);
        assert_eq!(read(&[b"\n\n"]), []);
        assert_eq!(read(&[b"\xEF\xBB", b"\xBFa\n\xEF\xBB\xBF"]), [(1, some("a")), (2, some("\u{feff}"))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_without_being_held() {
        let long = vec![b'x'; LINE_BYTES];
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(&[&long, b"\nb"]), [(1, Some("x".repeat(LINE_BYTES))), (2, some("b"))]);
        assert_eq!(read(&[&long, b"x\nb"]), [(1, None), (2, some("b"))]);
        assert_eq!(read(&[&long, b"x", &long, b"x"]), [(1, None)]);
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.add(&long);
            assert_eq!(lines.next(), None);
            assert!(lines.buffer.capacity() <= 4 * LINE_BYTES);
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_pieces(text in "[a\n ]{0,40}", cuts: Vec<usize>) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[bytes]));
        }
    }
}
