//! Short texts that people give to links: tags, titles, notes.

use std::fmt;

use super::shown::shown;
use crate::limits::{NOTE_BYTES, TAG_BYTES, TAGS, TITLE_BYTES};

/// Why a text can't be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// There is nothing in it.
    #[error("the {0} is empty; leave it out instead")]
    Empty(&'static str),
    /// Longer than it may be.
    #[error("the {what} has {bytes} bytes; at most {most} are allowed")]
    TooLong {
        /// What it was to be.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// A character that it may not hold.
    #[error("the {what} `{}` holds {character}, which it may not", shown(.text))]
    Character {
        /// What it was to be.
        what: &'static str,
        /// The text.
        text: String,
        /// The character, escaped.
        character: String,
    },
    /// More tags than a link may have.
    #[error("{0} tags are too many; a link has at most {TAGS}")]
    TooManyTags(usize),
}

fn check(what: &'static str, text: &str, most: usize, is_bad: impl Fn(char) -> bool) -> Result<(), TextError> {
    if text.trim().is_empty() {
        return Err(TextError::Empty(what));
    }
    if text.len() > most {
        return Err(TextError::TooLong { what, bytes: text.len(), most });
    }
    match text.trim().chars().find(|&character| is_bad(character)) {
        Some(character) => {
            let character = format!("`{}`", character.escape_default());
            Err(TextError::Character { what, text: text.to_owned(), character })
        }
        None => Ok(()),
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:ident, $is_bad:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes a text; white space around it is left out, but counts.
            ///
            /// # Errors
            /// If there is nothing in it, it is too long, or holds a character that it may not.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                check($what, text, $most, $is_bad)?;
                Ok($name(text.trim().into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }
    };
}

text!(
    /// A word by which links are grouped: at most [`TAG_BYTES`] bytes without control characters and commas, which
    /// stand between tags where there are several.
    Tag, "tag", TAG_BYTES, |character| character.is_control() || character == ','
);
text!(
    /// What a link is called: one line of at most [`TITLE_BYTES`] bytes.
    Title, "title", TITLE_BYTES, char::is_control
);
text!(
    /// What there is to say about a link: at most [`NOTE_BYTES`] bytes, on any number of lines.
    Note, "note", NOTE_BYTES, |character| character.is_control() && !matches!(character, '\n' | '\t')
);

/// The tags of a link: each once, in order, at most [`TAGS`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Takes tags in any order; one that is given twice counts once.
    ///
    /// # Errors
    /// If there are too many.
    pub fn new(mut tags: Vec<Tag>) -> Result<Self, TextError> {
        tags.sort();
        tags.dedup();
        if tags.len() > TAGS { Err(TextError::TooManyTags(tags.len())) } else { Ok(Tags(tags)) }
    }

    /// The tags, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }

    /// Whether this is one of them.
    pub fn contains(&self, tag: &Tag) -> bool {
        self.0.binary_search(tag).is_ok()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_trimmed_and_bounded() {
        assert_eq!(Tag::parse(" spring sale ").unwrap().as_str(), "spring sale");
        assert_eq!(Note::parse("one\n\ttwo").unwrap().as_str(), "one\n\ttwo");
        assert!(Tag::parse(&"a".repeat(TAG_BYTES)).is_ok());
        for (error, part) in [
            (Tag::parse(" ").unwrap_err(), "the tag is empty"),
            (Tag::parse("a,b").unwrap_err(), "the tag `a,b` holds `,`"),
            (Tag::parse(&"a".repeat(TAG_BYTES + 1)).unwrap_err(), "bytes; at most"),
            (Title::parse("a\nb").unwrap_err(), "the title `a\\nb` holds `\\n`"),
            (Note::parse("a\rb").unwrap_err(), "the note `a\\rb` holds `\\r`"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn tags_stand_in_order_once_each() {
        let tag = |text: &str| Tag::parse(text).unwrap();
        let tags = Tags::new(vec![tag("b"), tag("a"), tag("b")]).unwrap();
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!(tags.contains(&tag("a")) && !tags.contains(&tag("c")));
        let many = (0..=TAGS).map(|number| tag(&number.to_string())).collect();
        assert_eq!(Tags::new(many), Err(TextError::TooManyTags(TAGS + 1)));
    }
}
