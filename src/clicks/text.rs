//! Short texts that lie together.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A piece of a text that many may have together, so that it takes no memory of its own. It keeps all of that text in
/// memory.
#[derive(Clone, Default)]
pub struct SharedText {
    /// None if it is empty.
    whole: Option<Arc<str>>,
    start: u32,
    end: u32,
}

impl SharedText {
    /// The piece of a text in this range of bytes. Past 4 GiB, or if it does not begin and end with characters, it is
    /// empty.
    pub fn of(whole: &Arc<str>, range: Range<usize>) -> Self {
        let is_empty = whole.get(range.clone()).is_none_or(str::is_empty);
        match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) if !is_empty => SharedText { whole: Some(Arc::clone(whole)), start, end },
            _ => SharedText::default(),
        }
    }
}

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        self.whole.as_ref().and_then(|whole| whole.get(self.start as usize..self.end as usize)).unwrap_or_default()
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        SharedText::of(&text.into(), 0..text.len())
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl PartialEq for SharedText {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedText {}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_lies_there_and_equal_by_that() {
        let whole: Arc<str> = "a.examplebücher".into();
        assert_eq!(&*SharedText::of(&whole, 0..9), "a.example");
        assert_eq!(SharedText::of(&whole, 2..9), SharedText::from("example"));
        assert_ne!(SharedText::of(&whole, 2..9), SharedText::from("example".to_owned() + "s"));
        assert_eq!(format!("{:?}", SharedText::from("x")), "\"x\"");
        for none in [3..3, 12..99, 10..11, 11..12] {
            assert_eq!(SharedText::of(&whole, none), SharedText::default());
        }
        assert_eq!(&*SharedText::default(), "");
    }
}
