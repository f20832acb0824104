//! All patterns at once over a User-Agent.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Once;

use aho_corasick::{AhoCorasick, MatchKind};

use super::format::{Begins, Pattern, Verdict, parse};
use super::{Agent, AgentListError, device, looked_at};
use crate::clicks::batch::{Device, VisitClass};

/// The lists that carom comes with.
const BUILT_IN: &str = include_str!("../agents.txt");

/// Longest file of lists, in bytes.
const FILE_BYTES: u64 = 256 * 1024;

/// The lists of programs, ready to be searched for.
pub struct AgentLists {
    automaton: AhoCorasick,
    /// By the number that the automaton gives them.
    patterns: Vec<(Pattern, Verdict)>,
}

impl AgentLists {
    /// Those that carom comes with.
    pub fn built_in() -> Self {
        let built_in = Path::new("the built-in lists");
        AgentLists::parse(BUILT_IN.as_bytes(), built_in).expect("the built-in lists are tested")
    }

    /// Those of a file: they replace the built-in ones, or extend them if the file has the line `include built-in`. Then a
    /// pattern that stands in both counts as the file says.
    ///
    /// # Errors
    /// If the file can't be read, has more than 256 KiB or no pattern at all, or if a line says nothing that is known.
    pub fn load(path: &Path) -> Result<Self, AgentListError> {
        let io = |source| AgentListError::Io { path: path.to_owned(), source };
        // Asked before it is opened: to open a pipe is to wait for who writes to it.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(AgentListError::NoFile { path: path.to_owned() });
        }
        let mut text = Vec::new();
        File::open(path).map_err(io)?.take(FILE_BYTES + 1).read_to_end(&mut text).map_err(io)?;
        if text.len() as u64 > FILE_BYTES {
            return Err(AgentListError::TooLong { path: path.to_owned(), most: FILE_BYTES });
        }
        AgentLists::parse(&text, path)
    }

    /// The same of text; `path` is for messages.
    pub(in crate::clicks::visit) fn parse(text: &[u8], path: &Path) -> Result<Self, AgentListError> {
        let lists = parse(text, path)?;
        let mut patterns = lists.patterns;
        if lists.includes_built_in {
            for (pattern, verdict) in parse(BUILT_IN.as_bytes(), path)?.patterns {
                patterns.entry(pattern).or_insert(verdict);
            }
        }
        if patterns.is_empty() {
            return Err(AgentListError::Empty { path: path.to_owned() });
        }
        let patterns: Vec<_> = patterns.into_iter().collect();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(patterns.iter().map(|(pattern, _)| &pattern.text))
            .map_err(|error| AgentListError::TooMuch { path: path.to_owned(), reason: error.to_string() })?;
        warm();
        Ok(AgentLists { automaton, patterns })
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether there is none; there always is.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// What a User-Agent says, from its first [`USER_AGENT_BYTES`](super::USER_AGENT_BYTES).
    ///
    /// None, or an empty one, is that of a program. Otherwise the patterns decide; if none occurs, and nothing is ignored,
    /// what the library `woothee` takes for a crawler is a program. All else is a person.
    ///
    /// It takes some microseconds; an [`AgentCache`](super::super::AgentCache) saves them.
    pub fn judge(&self, user_agent: Option<&[u8]>) -> Agent {
        let user_agent = looked_at(user_agent).trim_ascii();
        // A dash is what some libraries and proxies write for nothing.
        if user_agent.is_empty() || user_agent == b"-" {
            return Agent::BOT;
        }
        match self.verdict(user_agent) {
            Some(Verdict::Bot) => Agent::BOT,
            Some(Verdict::Preview) => Agent { class: VisitClass::Preview, ..Agent::BOT },
            verdict @ (Some(Verdict::Human | Verdict::Ignore) | None) => {
                let looks = device::looks(&String::from_utf8_lossy(user_agent));
                if looks.is_crawler && verdict.is_none() {
                    return Agent::BOT;
                }
                Agent { class: VisitClass::Human, device: looks.device }
            }
        }
    }

    /// The same by the patterns alone, which takes a tenth of the time: what they do not know is a person on an unknown
    /// device.
    pub fn judge_quickly(&self, user_agent: &[u8]) -> Agent {
        let user_agent = looked_at(Some(user_agent)).trim_ascii();
        match self.verdict(user_agent) {
            _ if user_agent.is_empty() || user_agent == b"-" => Agent::BOT,
            Some(Verdict::Bot) => Agent::BOT,
            Some(Verdict::Preview) => Agent { class: VisitClass::Preview, ..Agent::BOT },
            Some(Verdict::Human | Verdict::Ignore) | None => {
                Agent { class: VisitClass::Human, device: Device::Unknown }
            }
        }
    }

    /// What the patterns say; [`Verdict::Ignore`] if nothing occurs but what is to be ignored.
    fn verdict(&self, user_agent: &[u8]) -> Option<Verdict> {
        let found: Vec<_> = self
            .automaton
            .find_overlapping_iter(user_agent)
            .map(|found| (found.range(), &self.patterns[found.pattern().as_usize()]))
            .filter(|(range, (pattern, _))| {
                let (before, behind) = (&user_agent[..range.start], &user_agent[range.end..]);
                let is_edge = |byte: Option<&u8>| !byte.is_some_and(u8::is_ascii_alphanumeric);
                let begins = match pattern.begins {
                    Begins::Anywhere => true,
                    Begins::WithWord => is_edge(before.last()),
                    Begins::First => before.is_empty(),
                };
                begins && (!pattern.ends_word || is_edge(behind.first()))
            })
            .map(|(range, (_, verdict))| (range, *verdict))
            .collect();
        let is_ignored = |range: &std::ops::Range<usize>| {
            found.iter().any(|(ignored, verdict)| {
                *verdict == Verdict::Ignore && ignored.start <= range.start && range.end <= ignored.end
            })
        };
        let counts = found.iter().filter(|(range, verdict)| *verdict == Verdict::Ignore || !is_ignored(range));
        counts.map(|(_, verdict)| *verdict).max()
    }
}

/// The library compiles its regular expressions when they are first used, which takes milliseconds in all. These have it
/// use most of them, so that no request waits for that.
fn warm() {
    static WARM: Once = Once::new();
    WARM.call_once(|| {
        for user_agent in device::TYPICAL {
            device::looks(user_agent);
        }
    });
}
