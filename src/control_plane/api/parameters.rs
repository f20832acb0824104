//! Parameters: of the path, of the query, and the cursor of a page.

use std::convert::Infallible;
use std::fmt::Display;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::body::unknown;
use super::problem::{ERRORS, FieldError, Kind, Problem};

/// Entries of a page, unless told otherwise.
pub(crate) const PAGE_ENTRIES: usize = 100;

/// Most entries of a page.
pub(crate) const PAGE_ENTRIES_MAX: usize = 1_000;

/// The parameters in the path, with a problem for those that are no text.
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(InPath(value)),
            Err(error) => Err(Problem::new(Kind::Malformed, format!("the path can't be read: {error}"))),
        }
    }
}

/// The parameters of the query. What is wrong is collected, and said by [`finish`](Self::finish).
pub(crate) struct InQuery {
    left: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequestParts<S> for InQuery {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Ok(InQuery { left: pairs.into_owned().collect(), known: Vec::new(), errors: Vec::new() })
    }
}

impl InQuery {
    /// Reads a parameter that may be there once.
    pub(crate) fn parse<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let mut values = self.all(name);
        let value = values.pop()?;
        if !values.is_empty() {
            self.fail(name, value, "the parameter is there more than once");
            return None;
        }
        parse(&value).map_err(|error| self.fail(name, value, error)).ok()
    }

    /// All values of a parameter that may be there more than once.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.left.extract_if(.., |(found, _)| found == name).map(|(_, value)| value).collect()
    }

    /// A whole number that every reader of JSON understands exactly (RFC 8259 §6).
    pub(crate) fn number(&mut self, name: &'static str) -> Option<u64> {
        self.parse(name, |text| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<u64>().ok().filter(|number| is_number && *number < 1 << 53);
            number.ok_or("a whole number below 2^53 is expected")
        })
    }

    /// True or false.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.parse(name, |text| text.parse::<bool>().map_err(|_| "`true` or `false` is expected"))
    }

    /// How many entries the page may have: `limit`.
    pub(crate) fn limit(&mut self, most: usize) -> usize {
        let limit = self.parse("limit", |text| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let limit = text.parse::<usize>().ok().filter(|limit| is_number && (1..=most).contains(limit));
            limit.ok_or_else(|| format!("a number from 1 to {most} is expected"))
        });
        limit.unwrap_or(PAGE_ENTRIES.min(most))
    }

    /// Behind what the page begins: `cursor`, as an answer gave it. `read` reads the place.
    pub(crate) fn cursor<T>(&mut self, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        self.parse("cursor", |text| {
            let place = URL_SAFE_NO_PAD.decode(text).ok().filter(|place| !place.is_empty());
            place.and_then(|place| read(&place)).ok_or("this is no `next_cursor` of an answer")
        })
    }

    /// Takes note that a parameter can't be taken.
    pub(crate) fn fail(&mut self, name: &str, value: impl Into<Value>, reason: impl Display) {
        if self.errors.len() < ERRORS {
            self.errors.push(FieldError::new(name, value.into(), reason.to_string()));
        }
    }

    /// Says what is wrong; what was not read is unknown.
    ///
    /// # Errors
    /// 400 if something is.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for (name, value) in std::mem::take(&mut self.left).into_iter().take(ERRORS) {
            let reason = unknown("parameter", &name, &self.known);
            self.fail(&name, value, reason);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::about(Kind::Malformed, self.errors)) }
    }
}

/// What stands for a place between two pages.
pub(crate) fn cursor(place: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// One page of a list, and where the next one begins.
pub(crate) fn page<T>(mut entries: Vec<T>, limit: usize, place: impl Fn(&T) -> Vec<u8>) -> (Vec<T>, Option<String>) {
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| has_more).map(|last| cursor(place(last)));
    (entries, next)
}
