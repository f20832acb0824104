//! Importers: bytes to links, one file a format.
//!
//! An importer reads a stream and gives rows. A row that is no link is a [`RowError`], which says where it
//! stands and what is wrong with it, and the next row follows. Only what makes the rest unreadable ends the
//! reading. What is done with either is not known here.

mod columns;
mod csv;
mod lines;
mod rows;

pub use columns::ColumnsError;
pub use csv::{CsvError, CsvReader};
pub use rows::{KeyHash, Onward, Rows, Seen};

use crate::link::{
    Destination, DestinationError, KeyError, LinkKey, SourceUrl, StatusError, Target, TargetError, TargetRefused, shown,
};

/// A link, as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    /// The line of the file on which the row begins. The first line is 1.
    pub line: u64,
    /// What the link is found by.
    pub key: LinkKey,
    /// Which server the row names, if its source has a scheme.
    pub origin: Option<SchemeAndPort>,
    /// What it answers.
    pub destination: Destination,
}

/// Scheme and port, which tell servers apart that share a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemeAndPort {
    /// Whether the scheme is `https`.
    pub is_https: bool,
    /// The port, be it written or the scheme's own.
    pub port: u16,
}

impl SchemeAndPort {
    /// That of a URL.
    fn of(url: &url::Url) -> Self {
        let is_https = url.scheme() == "https";
        SchemeAndPort { is_https, port: url.port().unwrap_or(if is_https { 443 } else { 80 }) }
    }

    /// That of a source as people write it, if it has a scheme.
    pub fn of_source(text: &str) -> Option<Self> {
        SourceUrl::parse(text).ok().filter(SourceUrl::has_scheme).map(|source| Self::of(source.url()))
    }

    /// That of a target.
    pub fn of_target(target: &Target) -> Self {
        let is_https = target.as_str().starts_with("https:");
        let (authority, ..) = target.as_asked();
        // Behind the brackets of an address.
        let port = authority.rsplit(']').next().and_then(|host| host.rsplit_once(':'));
        let port = port.and_then(|(_, port)| port.parse().ok());
        SchemeAndPort { is_https, port: port.unwrap_or(if is_https { 443 } else { 80 }) }
    }
}

/// A row that is no link.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RowError {
    /// The line of the file on which the row begins. The first line is 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: RowReason,
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowReason {
    /// The source is no key.
    #[error(transparent)]
    Source(#[from] KeyError),
    /// The status is none that a link answers with.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The target is none.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Status and target do not go together.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// A field that is not UTF-8.
    #[error("the {column} `{}` is not UTF-8; save the file in UTF-8", shown(.text))]
    NotUtf8 {
        /// Which field.
        column: &'static str,
        /// The field, with what is not UTF-8 replaced.
        text: String,
    },
    /// More fields than the header has columns: a comma that was not meant to end a field, most often.
    #[error("the row has {found} fields and the header {columns}; put quotes around a field that holds a comma")]
    TooManyFields {
        /// How many the row has.
        found: usize,
        /// How many the header has.
        columns: usize,
    },
    /// A browser would ask for the same URL again and again.
    #[error("the target `{}` leads back to this link; leave the row out", shown(.0))]
    ToItself(String),
    /// The host may not send there.
    #[error(transparent)]
    Refused(#[from] TargetRefused),
    /// Whoever follows the target comes back to this link, over those of other rows or over stored ones.
    #[error("the target leads back to this link{}; leave {} out", over(.lines), if .lines.is_empty() { "the row" } else { "one of the rows" })]
    Loop {
        /// The lines of the other rows on the way, or of some of them: no more than [`RowReason::LINES_NAMED`] are named.
        lines: Vec<u64>,
    },
    /// The target leads to the link of another row.
    #[error("the target leads to the link of line {0}; write where that one leads, or import with `--chains allow`")]
    ChainToRow(u64),
    /// The target leads to a stored link.
    #[error(
        "the target leads to the link `{}`; write where that one leads, or import with `--chains allow`",
        shown(.0)
    )]
    Chain(String),
    /// A pattern, which would be taken for a path.
    #[error(
        "the source `{}` is a regular expression, and these are not supported yet; write a row for each path that \
         it is to match, or leave the row out",
        shown(.0)
    )]
    Regex(String),
    /// Two rows that can't both be meant.
    #[error("`{}` has another destination on line {earlier}; leave one of the two out", shown(.key.as_str()))]
    Conflict {
        /// The key of both.
        key: LinkKey,
        /// The line of the earlier row.
        earlier: u64,
    },
}

/// Over which lines a circle leads.
fn over(lines: &[u64]) -> String {
    let named: Vec<String> = lines.iter().take(RowReason::LINES_NAMED).map(u64::to_string).collect();
    let more = if lines.len() > RowReason::LINES_NAMED { " and others" } else { "" };
    match lines.len() {
        0 => String::new(),
        1 => format!(" over the row on line {}", named[0]),
        _ => format!(" over the rows on lines {}{more}", named.join(", ")),
    }
}

impl RowReason {
    /// How many lines of others are named at most.
    pub const LINES_NAMED: usize = 8;

    /// Which field is wrong, if it is one: `source`, `target` or `status`.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            RowReason::Source(_) | RowReason::Regex(_) | RowReason::Conflict { .. } => Some("source"),
            RowReason::Status(_) => Some("status"),
            RowReason::Target(_)
            | RowReason::Destination(_)
            | RowReason::ToItself(_)
            | RowReason::Refused(_)
            | RowReason::Loop { .. }
            | RowReason::ChainToRow(_)
            | RowReason::Chain(_) => Some("target"),
            RowReason::NotUtf8 { column, .. } => ["source", "target", "status"].into_iter().find(|name| name == column),
            RowReason::TooManyFields { .. } => None,
        }
    }
}

/// Whether a browser that is sent from a source, of which the key is `key`, to `target` gets the same link again, in
/// whatever spelling. It keeps fragments to itself.
///
/// A link without query answers any query, but for those that have links of their own. Not to depend on these, which may
/// come and go, is worth more than such a row.
pub fn leads_back(origin: Option<SchemeAndPort>, key: &LinkKey, target: &Target) -> bool {
    is_same_server(origin, target) && target.link_keys().contains(key)
}

/// Whether what has the target's host, and answers requests for it, is the server that a link is for.
///
/// `http` to `https`, or to another port, on the same host is right where another server answers there. Without an origin,
/// which a source without scheme does not have, it can't be told.
pub fn is_same_server(origin: Option<SchemeAndPort>, target: &Target) -> bool {
    origin == Some(SchemeAndPort::of_target(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_target_is_that_of_its_url() {
        for text in [
            "http://a.example",
            "https://a.example/:8",
            "https://a.example:80/x",
            "http://u:7@a.example:8080/?x:9",
            "https://u:7@a.example/",
            "http://[::1]/",
            "https://[::1]:444/@:5",
        ] {
            let target = Target::parse_with_userinfo(text).unwrap();
            assert_eq!(SchemeAndPort::of_target(&target), SchemeAndPort::of(&url::Url::parse(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn the_lines_of_a_circle_are_named_up_to_a_few() {
        assert_eq!(over(&[]), "");
        assert_eq!(over(&[3]), " over the row on line 3");
        let many: Vec<u64> = (1..20).collect();
        assert_eq!(over(&many), " over the rows on lines 1, 2, 3, 4, 5, 6, 7, 8 and others");
    }
}
