//! Which column of a file holds what, by the names in its header.

use crate::link::shown;

/// Names of the column that holds the source of a link, as [`plain`] makes them.
const SOURCE: &[&str] = &[
    "source",
    "sourceurl",
    "sourcepath",
    "from",
    "fromurl",
    "frompath",
    "old",
    "oldurl",
    "oldpath",
    "requestpath",
    "requesturl",
    "requesturi",
    "redirectfrom",
    "path",
    "shorturl",
    "shortlink",
    "slug",
];

/// Those of them that say it is a path, which some write without its `/`.
const SOURCE_PATH: &[&str] = &["sourcepath", "frompath", "oldpath", "requestpath", "path", "slug"];

/// Names of the column that holds the target.
const TARGET: &[&str] = &[
    "target",
    "targeturl",
    "targetpath",
    "to",
    "tourl",
    "topath",
    "new",
    "newurl",
    "newpath",
    "destination",
    "destinationurl",
    "redirectto",
    "redirecturl",
    "location",
    "longurl",
    "longlink",
];

/// Names of the column that holds the status. Of those in a header, the one that is named first here: beside a
/// `code`, a `status` says whether the link is in use, and a `type` says anything.
const STATUS: [&[&str]; 3] = [
    &["statuscode", "code", "http", "httpstatus", "httpcode", "httpstatuscode", "redirectcode", "redirectstatus"],
    &["status"],
    &["type", "redirecttype"],
];

/// Names of the column that says whether the source is a pattern.
const REGEX: &[&str] = &["regex", "isregex"];

/// Which column holds what, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) source: usize,
    /// Whether the source is a path even if it lacks its `/`.
    pub(super) source_is_path: bool,
    pub(super) target: usize,
    pub(super) status: Option<usize>,
    pub(super) regex: Option<usize>,
    /// The names of the others.
    pub(super) ignored: Vec<String>,
    /// How many there are.
    pub(super) len: usize,
}

/// Why a header does not say which column holds what.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// There is nothing.
    #[error("the file is empty; its first line must be a header such as `source,target,status`")]
    Empty,
    /// Another encoding, or no text at all.
    #[error("the header `{}` is not UTF-8; save the file as CSV in UTF-8", shown(.0))]
    NotUtf8(String),
    /// The first line is a row.
    #[error(
        "the first line `{}` is a row and not a header; put a header such as `source,target,status` before it",
        shown(.0)
    )]
    NoHeader(String),
    /// A column that must be there is not.
    #[error(
        "no column of the header `{}` is the {role}; name it `{role}`, and separate the columns by commas, \
         as in `source,target,status`. The status may be left out",
        shown(.header)
    )]
    Missing {
        /// What it would hold.
        role: &'static str,
        /// The header.
        header: String,
    },
    /// Two columns that may both be meant.
    #[error(
        "both `{}` and `{}` may be the {role} in the header `{}`; rename the one that is not",
        shown(.first), shown(.second), shown(.header)
    )]
    Ambiguous {
        /// What they would hold.
        role: &'static str,
        /// The first column.
        first: String,
        /// The second.
        second: String,
        /// The header.
        header: String,
    },
}

impl Columns {
    /// Reads a header.
    pub(super) fn of_header<'a>(cells: impl Iterator<Item = &'a [u8]>) -> Result<Self, ColumnsError> {
        let cells: Vec<&[u8]> = cells.map(<[u8]>::trim_ascii).collect();
        let joined = cells.join(&b',');
        let text = String::from_utf8_lossy(&joined);
        let header = || text.to_string();
        let names = cells.iter().map(|cell| std::str::from_utf8(cell)).collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|_| ColumnsError::NotUtf8(header()))?;
        if names.iter().any(|name| name.starts_with('/') || name.contains("://")) {
            return Err(ColumnsError::NoHeader(header()));
        }
        let find = |role: &'static str, known: &[&str]| {
            let mut found = (0..).zip(&names).filter(|(_, name)| known.contains(&plain(name).as_str()));
            match (found.next(), found.next()) {
                (Some((_, first)), Some((_, second))) => Err(ColumnsError::Ambiguous {
                    role,
                    first: (*first).to_owned(),
                    second: (*second).to_owned(),
                    header: header(),
                }),
                (first, _) => Ok(first.map(|(index, _)| index)),
            }
        };
        let missing = |role| ColumnsError::Missing { role, header: header() };
        let source: usize = find("source", SOURCE)?.ok_or_else(|| missing("source"))?;
        let target = find("target", TARGET)?.ok_or_else(|| missing("target"))?;
        let mut status = None;
        for rank in STATUS {
            status = status.or(find("status", rank)?);
        }
        let regex = find("mark of a regular expression", REGEX)?;
        let source_is_path = SOURCE_PATH.contains(&plain(names[source]).as_str());
        let used = |index: &usize| [Some(source), Some(target), status, regex].contains(&Some(*index));
        let ignored = (0..).zip(&names).filter(|(index, name)| !used(index) && !name.is_empty());
        let ignored = ignored.map(|(_, name)| (*name).to_owned()).collect();
        Ok(Columns { source, source_is_path, target, status, regex, ignored, len: names.len() })
    }
}

/// A name without case, spaces, underscores and hyphens.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, ' ' | '_' | '-')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str) -> Result<Columns, ColumnsError> {
        Columns::of_header(header.split(',').map(str::as_bytes))
    }

    #[test]
    fn columns_are_found_by_their_names() {
        for (header, source, target, status, ignored) in [
            ("source,target", 0, 1, None, vec![]),
            (
                "Old Url,New Url,Status,Suggested Link,Archive Link",
                0,
                1,
                Some(2),
                vec!["Suggested Link", "Archive Link"],
            ),
            ("HTTP-Status, TO ,from", 2, 1, Some(0), vec![]),
            ("id,request_path,Destination,,title,type", 1, 2, Some(5), vec!["id", "title"]),
            ("Short URL,Long URL", 0, 1, None, vec![]),
            ("from,to,type,status", 0, 1, Some(3), vec!["type"]),
            ("source,target,regex,code,type,hits,title,status", 0, 1, Some(3), vec!["type", "hits", "title", "status"]),
        ] {
            let found = columns(header).unwrap();
            assert_eq!((found.source, found.target, found.status), (source, target, status), "{header}");
            assert_eq!(found.ignored, ignored, "{header}");
            assert_eq!(found.len, header.split(',').count());
        }
    }

    #[test]
    fn a_column_of_paths_is_known_by_its_name() {
        for (header, is_path) in [
            ("Slug,To", true),
            ("path,to", true),
            ("Old Path,to", true),
            ("request_path,to", true),
            ("source,target path", false),
            ("old,new", false),
            ("Request URL,to", false),
        ] {
            assert_eq!(columns(header).unwrap().source_is_path, is_path, "{header}");
        }
    }

    #[test]
    fn every_known_name_is_known_once_and_in_plain_form() {
        let mut known = [SOURCE, TARGET, &STATUS.concat(), REGEX].concat();
        assert!(SOURCE_PATH.iter().all(|name| SOURCE.contains(name)));
        assert!(known.iter().all(|name| plain(name) == *name));
        let names = known.len();
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), names);
    }

    #[test]
    fn a_header_that_does_not_say_is_refused_with_the_way_out() {
        for (header, error) in [
            (
                "url,status",
                "no column of the header `url,status` is the source; name it `source`, and separate the columns by \
                 commas, as in `source,target,status`. The status may be left out",
            ),
            (
                "from,link",
                "no column of the header `from,link` is the target; name it `target`, and separate the columns by \
                 commas, as in `source,target,status`. The status may be left out",
            ),
            (
                "from,Old URL,to",
                "both `from` and `Old URL` may be the source in the header `from,Old URL,to`; rename the one that \
                 is not",
            ),
            (
                "from,to,code,HTTP code",
                "both `code` and `HTTP code` may be the status in the header `from,to,code,HTTP code`; rename the \
                 one that is not",
            ),
            (
                "/a,https://b.example/,301",
                "the first line `/a,https://b.example/,301` is a row and not a header; put a header such as \
                 `source,target,status` before it",
            ),
        ] {
            assert_eq!(columns(header).unwrap_err().to_string(), error);
        }
        let error = Columns::of_header([&b"\xFF\xFEs"[..]].into_iter()).unwrap_err().to_string();
        assert!(error.ends_with("is not UTF-8; save the file as CSV in UTF-8"), "{error}");
        let long = columns(&"x".repeat(5_000)).unwrap_err().to_string();
        assert!(long.len() < 500);
    }
}
