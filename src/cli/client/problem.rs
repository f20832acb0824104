//! What the API says when it does not do what was asked (RFC 9457), for people.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::link::shown;

/// Why the API did not do what was asked.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Problem {
    /// The status of the answer.
    #[serde(default)]
    pub(in crate::cli) status: u16,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
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
            let detail = match text.trim() {
                "" => format!("the server answers with the status {status}"),
                text => format!("the server answers with the status {status}: {}", shown(text)),
            };
            Problem { status, title: String::new(), detail, errors: Vec::new() }
        });
        problem.status = status;
        problem
    }

    fn text(&self) -> &str {
        if self.detail.is_empty() { &self.title } else { &self.detail }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What comes from elsewhere moves no cursor.
        let plain = |text: &str| text.replace(char::is_control, " ");
        f.write_str(&plain(self.text()))?;
        if let [FieldError { field, reason, .. }] = self.errors.as_slice()
            && self.detail == format!("{field}: {reason}")
        {
            return Ok(());
        }
        for FieldError { field, value, reason } in &self.errors {
            let (field, reason) = (plain(field), plain(reason));
            match value {
                Value::Null => write!(f, "\n  {field}: {reason}")?,
                // Most reasons repeat the value.
                Value::String(text) if reason.contains(text.as_str()) => write!(f, "\n  {field}: {reason}")?,
                value => write!(f, "\n  {field} = {value}: {reason}")?,
            }
        }
        Ok(())
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
    }

    #[test]
    fn what_is_no_problem_of_the_api_is_shown_all_the_same() {
        assert_eq!(Problem::read(502, b"").to_string(), "the server answers with the status 502");
        let text = Problem::read(502, b"<html>\x1b[2J").to_string();
        assert!(text.starts_with("the server answers with the status 502: <html>") && !text.contains('\x1b'), "{text}");
        assert_eq!(Problem::read(404, b"{}").to_string(), "the server answers with the status 404: {}");
    }
}
