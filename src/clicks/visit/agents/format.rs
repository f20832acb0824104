//! The file of lists: text to patterns.

use std::collections::BTreeMap;
use std::path::Path;

use super::AgentListError;

/// Longest pattern, in bytes.
const PATTERN_BYTES: usize = 128;

/// Fewest bytes of a pattern: one byte is in nearly every User-Agent.
const PATTERN_BYTES_MIN: usize = 2;

/// Most patterns in a file, the built-in ones apart.
pub(super) const PATTERNS: usize = 4_096;

/// The line that adds the built-in lists.
const INCLUDE: &str = "include built-in";

/// What a pattern says of a User-Agent in which it occurs. Later ones win over earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// What lies within it does not count.
    Ignore,
    /// A program.
    Bot,
    /// A program that shows previews.
    Preview,
    /// A person, whatever else occurs.
    Human,
}

/// Where in a User-Agent a pattern may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Begins {
    Anywhere,
    /// In front of it is nothing, or neither a letter nor a digit (ASCII).
    WithWord,
    /// At the very beginning.
    First,
}

/// A part of a User-Agent, lower-case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) begins: Begins,
    /// Only where a word ends.
    pub(super) ends_word: bool,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) patterns: BTreeMap<Pattern, Verdict>,
    /// Whether the built-in lists are to be added.
    pub(super) includes_built_in: bool,
}

/// Reads lists. `path` is for messages.
///
/// # Errors
/// At the first line that says nothing that is known, or contradicts another.
pub(super) fn parse(text: &[u8], path: &Path) -> Result<Lists, AgentListError> {
    let mut lists = Lists::default();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let refused = |reason: String| AgentListError::Line { path: path.to_owned(), line: index + 1, reason };
        let shown = || String::from_utf8_lossy(&line[..line.len().min(2 * PATTERN_BYTES)]).trim().to_owned();
        let line = std::str::from_utf8(line).map_err(|_| refused(format!("`{}` is not UTF-8", shown())))?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == INCLUDE {
            lists.includes_built_in = true;
            continue;
        }
        let (verdict, pattern) = pattern_line(line).map_err(refused)?;
        let known = *lists.patterns.entry(pattern).or_insert(verdict);
        if known != verdict {
            return Err(refused(format!(
                "`{line}` contradicts a line before: the pattern stands there under another word"
            )));
        }
        if lists.patterns.len() > PATTERNS {
            return Err(refused(format!("there are more than {PATTERNS} patterns; shorten the file")));
        }
    }
    Ok(lists)
}

fn pattern_line(line: &str) -> Result<(Verdict, Pattern), String> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let verdict = match word {
        "bot" => Verdict::Bot,
        "preview" => Verdict::Preview,
        "human" => Verdict::Human,
        "ignore" => Verdict::Ignore,
        _ => {
            let start: String = line.chars().take(PATTERN_BYTES).collect();
            return Err(format!(
                "`{start}` is none of `bot PATTERN`, `preview PATTERN`, `human PATTERN`, `ignore PATTERN`, `{INCLUDE}` \
                 and `# comment`"
            ));
        }
    };
    let pattern = rest.trim();
    let (begins, text) = match pattern.as_bytes().first() {
        Some(b'^') => (Begins::First, &pattern[1..]),
        Some(b'|') => (Begins::WithWord, &pattern[1..]),
        _ => (Begins::Anywhere, pattern),
    };
    let (ends_word, text) = text.strip_suffix('|').map_or((false, text), |text| (true, text));
    if !(PATTERN_BYTES_MIN..=PATTERN_BYTES).contains(&text.len()) {
        let start: String = pattern.chars().take(PATTERN_BYTES).collect();
        return Err(format!(
            "the pattern `{start}` has {} bytes; it must have {PATTERN_BYTES_MIN} to {PATTERN_BYTES}",
            text.len()
        ));
    }
    if let Some(control) = text.chars().find(|char| char.is_control()) {
        return Err(format!("the pattern `{}` has a control character, {control:?}", text.escape_debug()));
    }
    // Letters beyond ASCII are compared as they are: browsers send none.
    Ok((verdict, Pattern { text: text.to_ascii_lowercase(), begins, ends_word }))
}
