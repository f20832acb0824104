//! Text of unknown origin, fit for a terminal.

use std::fmt::{self, Display, Write};

/// Most characters that are shown of a text.
const MOST: usize = 200;

/// Shows a text on one line: control characters and those that turn the direction of writing around are escaped,
/// and what is very long is cut.
pub(crate) fn shown(text: &str) -> impl Display + '_ {
    Shown(text)
}

struct Shown<'a>(&'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = self.0.chars();
        for letter in letters.by_ref().take(MOST) {
            match letter {
                letter if letter.is_control() => write!(f, "{}", letter.escape_default())?,
                '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(f, "{}", letter.escape_default())?;
                }
                letter => f.write_char(letter)?,
            }
        }
        match letters.next() {
            Some(_) => f.write_char('…'),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_on_one_line_and_moves_no_cursor() {
        for (text, expected) in [
            ("/caf\u{e9} 'x' \\y", "/caf\u{e9} 'x' \\y"),
            ("a\r\nb\tc", r"a\r\nb\tc"),
            ("\u{1b}[2J\u{9b}x\u{7f}", r"\u{1b}[2J\u{9b}x\u{7f}"),
            ("a\u{202e}b\u{2028}c", r"a\u{202e}b\u{2028}c"),
        ] {
            assert_eq!(shown(text).to_string(), expected);
        }
        let long = "x".repeat(MOST);
        assert_eq!(shown(&long).to_string(), long);
        assert_eq!(shown(&format!("{long}y")).to_string(), format!("{long}…"));
    }
}
