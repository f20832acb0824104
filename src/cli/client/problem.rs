//! What the API says when it does not do what was asked (RFC 9457), for people.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::text::count;
use crate::link::shown;

/// Why the API did not do what was asked.
#[derive(Debug, Default, Deserialize)]
pub(in crate::cli) struct Problem {
    /// Which kind it is.
    #[serde(default, rename = "type")]
    kind: String,
    /// The status of the answer.
    #[serde(default)]
    pub(in crate::cli) status: u16,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
    /// How long to wait before it is tried again, in seconds.
    #[serde(skip)]
    pub(super) retry_after_s: Option<u64>,
    /// What else there is to do about it, on the command line.
    #[serde(skip)]
    way_out: Option<&'static str>,
}

/// What is wrong with a field.
#[derive(Debug, Deserialize)]
struct FieldError {
    field: String,
    #[serde(default)]
    value: Value,
    reason: String,
}

impl Problem {
    /// Reads the content of an answer that is no success. What is none of the API's, as that of a proxy, is shown as
    /// far as it can be.
    pub(in crate::cli) fn read(status: u16, content: &[u8]) -> Self {
        let read = serde_json::from_slice(content).ok().filter(|problem: &Problem| !problem.text().is_empty());
        let mut problem = read.unwrap_or_else(|| {
            let text = String::from_utf8_lossy(content);
            let mut detail = match text.trim() {
                "" => format!("the server answers with the status {status}"),
                text => format!("the server answers with the status {status}: {}", shown(text)),
            };
            // What stands before a server fails with others.
            if status < 500 {
                detail.push_str(
                    ". That does not come from the admin API of carom: look whether this is its address, the one that \
                     `carom serve --admin` is given, and not the one that redirects",
                );
            }
            Problem { detail, ..Problem::default() }
        });
        problem.status = status;
        problem
    }

    /// The first field that is wrong, if it is one.
    pub(in crate::cli) fn field(&self) -> Option<&str> {
        self.errors.first().map(|error| error.field.as_str())
    }

    /// The same with how long to wait, in seconds, if that is known.
    pub(super) fn with_retry_after(self, seconds: Option<u64>) -> Self {
        Problem { retry_after_s: seconds, ..self }
    }

    fn text(&self) -> &str {
        if self.detail.is_empty() { &self.title } else { &self.detail }
    }

    /// Whether it is one of this kind, by the end of its URI.
    pub(in crate::cli) fn is(&self, kind: &str) -> bool {
        self.kind.strip_prefix("/problems/") == Some(kind)
    }

    /// Adds what else can be done about a problem of a kind, if the error is one.
    pub(in crate::cli) fn with_way_out(error: anyhow::Error, ways_out: &[(&str, &'static str)]) -> anyhow::Error {
        match error.downcast::<Problem>() {
            Ok(mut problem) => {
                problem.way_out = ways_out.iter().find(|(kind, _)| problem.is(kind)).map(|(_, way_out)| *way_out);
                problem.into()
            }
            Err(error) => error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What comes from elsewhere moves no cursor.
        let plain = |text: &str| text.replace(char::is_control, " ");
        let about = |error: &FieldError| {
            let (field, reason) = (plain(&error.field), plain(&error.reason));
            match &error.value {
                Value::Null => format!("{field}: {reason}"),
                // Most reasons repeat the value, or the part of it that matters.
                Value::String(_) if error.reason.contains('`') => format!("{field}: {reason}"),
                Value::String(text) if error.reason.contains(text.as_str()) => format!("{field}: {reason}"),
                value => format!("{field} = {value}: {reason}"),
            }
        };
        match self.errors.as_slice() {
            [error] if self.detail == format!("{}: {}", error.field, error.reason) => f.write_str(&about(error))?,
            errors => {
                // Nobody sees header fields here.
                let unseen = "as long as Retry-After says";
                let text = plain(self.text());
                match self.retry_after_s {
                    Some(seconds) if text.contains(unseen) => {
                        f.write_str(&text.replace(unseen, &count(seconds, "second")))?;
                    }
                    Some(seconds) => write!(f, "{text}; try again in {}", count(seconds, "second"))?,
                    None => f.write_str(&text)?,
                }
                errors.iter().try_for_each(|error| write!(f, "\n  {}", about(error)))?;
            }
        }
        self.way_out.map_or(Ok(()), |way_out| write!(f, "; {way_out}"))
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_the_detail_and_a_line_for_each_field() {
        let content = br#"{"type":"/problems/invalid","title":"Invalid","status":422,"detail":"2 fields are wrong",
            "errors":[{"field":"target","value":"x","reason":"`x` is no URL"},{"field":"max_clicks","value":0,
            "reason":"must not be zero"},{"field":"key","value":null,"reason":"is missing"}]}"#;
        let problem = Problem::read(422, content);
        assert_eq!(
            problem.to_string(),
            "2 fields are wrong\n  target: `x` is no URL\n  max_clicks = 0: must not be zero\n  key: is missing"
        );
    }

    #[test]
    fn what_is_wrong_with_one_field_is_said_once() {
        let content = br#"{"detail":"key: is missing","errors":[{"field":"key","value":null,"reason":"is missing"}]}"#;
        assert_eq!(Problem::read(422, content).to_string(), "key: is missing");
        let content = br#"{"detail":"refused","errors":[{"field":"key","value":null,"reason":"is missing"}]}"#;
        assert_eq!(Problem::read(422, content).to_string(), "refused\n  key: is missing");
        let content = br#"{"detail":"max_clicks: no","errors":[{"field":"max_clicks","value":0,"reason":"no"}]}"#;
        assert_eq!(Problem::read(422, content).to_string(), "max_clicks = 0: no");
    }

    #[test]
    fn how_long_to_wait_and_what_else_can_be_done_is_said() {
        let content = br#"{"type":"/problems/rate-limited","detail":"too many; wait as long as Retry-After says"}"#;
        let mut problem = Problem::read(429, content);
        problem.retry_after_s = Some(7);
        assert_eq!(problem.to_string(), "too many; wait 7 seconds");
        let mut problem = Problem::read(503, br#"{"detail":"not now"}"#);
        problem.retry_after_s = Some(1);
        assert_eq!(problem.to_string(), "not now; try again in 1 second");
        let problem = || Problem::read(409, br#"{"type":"/problems/exists","detail":"there is one"}"#).into();
        let said = |ways_out: &[_]| Problem::with_way_out(problem(), ways_out).to_string();
        assert_eq!(said(&[("chain", "a"), ("exists", "b")]), "there is one; b");
        assert_eq!(said(&[("exist", "a")]), "there is one");
    }

    #[test]
    fn what_is_no_problem_of_the_api_is_shown_all_the_same() {
        assert_eq!(Problem::read(502, b"").to_string(), "the server answers with the status 502");
        let text = Problem::read(502, b"<html>\x1b[2J").to_string();
        assert!(text.starts_with("the server answers with the status 502: <html>") && !text.contains('\x1b'), "{text}");
        let text = Problem::read(404, b"{}").to_string();
        assert!(text.starts_with("the server answers with the status 404: {}. ") && text.contains("--admin"), "{text}");
    }
}
