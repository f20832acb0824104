//! Generated codes: what stands for a link in a short URL.

use std::fmt;

use super::shown::shown;
use crate::limits::{CODE_CHARACTERS_MAX, CODE_CHARACTERS_MIN, CODE_GUESS_ODDS};

/// The characters that codes are made of: 10 to 64 of the unreserved ones (RFC 3986 §2.3) without `.`, each once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CodeAlphabet(Box<str>);

/// Not an alphabet for codes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no alphabet for codes: it needs at least 10 different letters, digits, `-`, `_` or `~`, each once",
    shown(.0)
)]
pub struct CodeAlphabetError(pub String);

impl CodeAlphabet {
    /// Letters and digits without those that look alike: no `0 O o`, no `1 I l`.
    pub const USUAL: &str = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz";

    /// Reads an alphabet.
    ///
    /// # Errors
    /// If it has too few characters, one twice, or one that a path would not hold as it is.
    pub fn parse(text: &str) -> Result<Self, CodeAlphabetError> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes.dedup();
        let is_sound = bytes.len() == text.len()
            && bytes.len() >= 10
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(byte));
        if is_sound { Ok(CodeAlphabet(text.into())) } else { Err(CodeAlphabetError(text.to_owned())) }
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The alphabet of a host that ignores case: its letters in lower case, each once. Of the usual one, those that
    /// look alike only then are left out, too; who chose an alphabet meant what is in it.
    pub fn to_lower_case(&self) -> Self {
        let looks_alike = |character: char| &*self.0 == Self::USUAL && "lo01i".contains(character);
        let mut lower = String::new();
        for character in self.0.chars().map(|character| character.to_ascii_lowercase()) {
            if !lower.contains(character) && !looks_alike(character) {
                lower.push(character);
            }
        }
        CodeAlphabet(lower.into())
    }

    /// How many generated codes of this length there may be, so that a guess finds one at most once in
    /// [`CODE_GUESS_ODDS`] times.
    pub fn capacity(&self, length: CodeLength) -> u64 {
        let space = (self.0.len() as u128).saturating_pow(u32::from(length.get()));
        u64::try_from(space / u128::from(CODE_GUESS_ODDS)).unwrap_or(u64::MAX)
    }
}

impl Default for CodeAlphabet {
    fn default() -> Self {
        CodeAlphabet(Self::USUAL.into())
    }
}

impl fmt::Debug for CodeAlphabet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodeAlphabet({})", self.0)
    }
}

/// How many characters a generated code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeLength(u8);

/// Not a length for codes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a code can't have {0} characters; at least {CODE_CHARACTERS_MIN} and at most {CODE_CHARACTERS_MAX} are allowed"
)]
pub struct CodeLengthError(pub u64);

impl CodeLength {
    /// Takes a length.
    ///
    /// # Errors
    /// If codes can't have it.
    pub fn new(characters: u64) -> Result<Self, CodeLengthError> {
        let fits = (u64::from(CODE_CHARACTERS_MIN)..=u64::from(CODE_CHARACTERS_MAX)).contains(&characters);
        u8::try_from(characters).ok().filter(|_| fits).map(CodeLength).ok_or(CodeLengthError(characters))
    }

    /// As a number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for CodeLength {
    /// 7: of the usual alphabet, 172 million codes before a guess finds one once in 10,000 times.
    fn default() -> Self {
        CodeLength(7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_usual_alphabet_looks_like_another() {
        let usual = CodeAlphabet::parse(CodeAlphabet::USUAL).unwrap();
        assert_eq!(usual, CodeAlphabet::default());
        assert!(!CodeAlphabet::USUAL.contains(['0', 'O', 'o', '1', 'I', 'l']));
        assert_eq!(usual.to_lower_case().as_str(), "23456789abcdefghjkmnpqrstuvwxyz");
        assert_eq!(CodeAlphabet::parse("0123456789Lio").unwrap().to_lower_case().as_str(), "0123456789lio");
    }

    #[test]
    fn alphabets_hold_what_a_path_holds_once_each() {
        assert!(CodeAlphabet::parse("0123456789").is_ok());
        for text in ["012345678", "01234567899", "0123456789/", "0123456789.", "0123456789\u{e9}", ""] {
            assert!(CodeAlphabet::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_capacity_keeps_the_odds_of_a_guess() {
        let digits = CodeAlphabet::parse("0123456789").unwrap();
        assert_eq!(digits.capacity(CodeLength::new(6).unwrap()), 100);
        assert_eq!(CodeAlphabet::default().capacity(CodeLength::default()), 56u64.pow(7) / CODE_GUESS_ODDS);
        assert_eq!(digits.capacity(CodeLength::new(32).unwrap()), u64::MAX);
        assert!(CodeLength::new(3).is_err() && CodeLength::new(33).is_err() && CodeLength::new(260).is_err());
    }
}
