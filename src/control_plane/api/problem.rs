//! What is said when something is not done: problem details (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::control_plane::tell;
use crate::engine::SubmitError;
use crate::link::{Refusal, shown};
use crate::store::StoreError;

/// The content type of a problem.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// How long a client should wait before it tries again what is not possible just now, in seconds.
const RETRY_SECONDS: u32 = 5;

/// Problem details (RFC 9457): why a request was not answered as it was meant.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "/problems/not-found",
    "title": "There is no such thing",
    "status": 404,
    "detail": "the host `a.example` does not exist"
}))]
pub(crate) struct Problem {
    /// Which kind of problem it is. Stable: meant for programs.
    #[serde(rename = "type")]
    #[schema(value_type = String, pattern = "^/problems/[a-z-]+$")]
    kind: Kind,
    /// The same for people. May change.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What it was this time, and the way out.
    detail: String,
    /// What is wrong with the fields of the request, if that is the problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_seconds: Option<u32>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Which field, as a path into the body such as `tags` or `links[3].target`; or the parameter or header field.
    pub(crate) field: String,
    /// The value it had; long texts are cut. Null if it was not there.
    #[schema(value_type = Value)]
    pub(crate) value: Value,
    /// Why it can't be taken.
    pub(crate) reason: String,
}

/// Most characters that are repeated of a value, or of the name of a field.
const VALUE_CHARACTERS: usize = 200;

/// Most fields of which it is said what is wrong.
pub(crate) const ERRORS: usize = 100;

/// Most fields that are named in the detail.
const FIELDS_NAMED: usize = 10;

impl FieldError {
    /// About a value of the request.
    pub(crate) fn new(field: impl Into<String>, value: Value, reason: impl Into<String>) -> Self {
        Self::of(field, &value, reason)
    }

    /// The same of a value that may be large: what is not told of it is not copied.
    pub(crate) fn of(field: impl Into<String>, value: &Value, reason: impl Into<String>) -> Self {
        let value = match value {
            Value::String(text) => Value::String(cut(text)),
            // What has parts is shown as text as soon as it is long.
            Value::Array(_) | Value::Object(_) => match Beginning::of(value) {
                Beginning { is_all: true, .. } => value.clone(),
                Beginning { bytes, .. } => Value::String(cut(&String::from_utf8_lossy(&bytes))),
            },
            value => value.clone(),
        };
        FieldError { field: cut(&field.into()), value, reason: reason.into() }
    }
}

/// The beginning of a text, if it is long.
fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The beginning of a value as it is written: enough to be cut, and no more is written than that.
struct Beginning {
    bytes: Vec<u8>,
    is_all: bool,
}

impl Beginning {
    fn of(value: &Value) -> Self {
        let mut beginning = Beginning { bytes: Vec::new(), is_all: true };
        let written = serde_json::to_writer(&mut beginning, value);
        beginning.is_all = written.is_ok() && beginning.bytes.len() <= VALUE_CHARACTERS;
        beginning
    }
}

impl std::io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A character has up to four bytes; one more than is shown says that there is more.
        let most = 4 * (VALUE_CHARACTERS + 1);
        let room = most - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room { Err(std::io::ErrorKind::WriteZero.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// `2 fields can't be taken as they are: `a`, `b``.
fn fields(errors: &[FieldError]) -> String {
    let more = errors.len().saturating_sub(FIELDS_NAMED);
    let named: Vec<String> = errors.iter().take(FIELDS_NAMED).map(|error| quoted(&error.field)).collect();
    // After so many, no further ones are looked for.
    let count = if errors.len() >= ERRORS { "at least " } else { "" };
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{count}{} fields can't be taken as they are: {}{rest}", errors.len(), named.join(", "))
}

/// Declares the kinds: name in Rust, name in the URI, status, title.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $status:ident, $title:literal;)*) => {
        /// The kinds of problems. Their URIs are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub(crate) enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl Kind {
            /// All of them.
            pub(crate) const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// Its URI, relative to that of the API.
            pub(crate) fn uri(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            fn status(self) -> StatusCode {
                match self { $(Kind::$kind => StatusCode::$status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Kind::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    /// What is asked can't be read: JSON syntax, parameters, header fields.
    Malformed = "/problems/malformed", BAD_REQUEST, "The request can't be read";
    /// There is no token, or none that holds.
    Unauthorized = "/problems/unauthorized", UNAUTHORIZED, "A token is needed";
    /// The token does not allow it.
    Forbidden = "/problems/forbidden", FORBIDDEN, "The token does not allow this";
    /// There is none.
    NotFound = "/problems/not-found", NOT_FOUND, "There is no such thing";
    /// The path does not take the method.
    MethodNotAllowed = "/problems/method-not-allowed", METHOD_NOT_ALLOWED, "The path does not take this method";
    /// There is one already.
    Exists = "/problems/exists", CONFLICT, "It exists already";
    /// The target leads to another link.
    Chain = "/problems/chain", CONFLICT, "The target leads to another link";
    /// The target leads back.
    Loop = "/problems/loop", CONFLICT, "The target leads back to the link";
    /// The host has as many generated codes as are safe.
    CodesExhausted = "/problems/codes-exhausted", CONFLICT, "The codes of the host are exhausted";
    /// This server does not count clicks.
    ClicksNotCounted = "/problems/clicks-not-counted", CONFLICT, "Clicks are not counted here";
    /// Something else stands against it.
    Conflict = "/problems/conflict", CONFLICT, "This can't be done as things are";
    /// It has another version.
    VersionMismatch = "/problems/version-mismatch", PRECONDITION_FAILED, "It has another version";
    /// More bytes or commands than are taken.
    TooLarge = "/problems/too-large", PAYLOAD_TOO_LARGE, "The request is too large";
    /// Another content type than is read.
    MediaType = "/problems/media-type", UNSUPPORTED_MEDIA_TYPE, "The content type is not read here";
    /// Fields hold what can't be taken.
    Invalid = "/problems/invalid", UNPROCESSABLE_ENTITY, "The request holds what can't be taken";
    /// The same idempotency key with another request.
    KeyReused = "/problems/idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// More requests than are answered.
    RateLimited = "/problems/rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    /// A fault of the server.
    Internal = "/problems/internal", INTERNAL_SERVER_ERROR, "The server failed";
    /// Not now.
    Unavailable = "/problems/unavailable", SERVICE_UNAVAILABLE, "This is not possible just now";
    /// It took too long.
    Timeout = "/problems/timeout", SERVICE_UNAVAILABLE, "The request took too long";
    /// The change may have been made.
    OutcomeUnknown = "/problems/outcome-unknown", SERVICE_UNAVAILABLE, "It is not known whether the change was made";
}

impl Problem {
    /// One of a kind.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Problem {
            kind,
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_seconds: None,
            challenge: None,
        }
    }

    /// 422: fields of the body hold what can't be taken.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        Self::about(Kind::Invalid, errors)
    }

    /// About fields.
    pub(crate) fn about(kind: Kind, mut errors: Vec<FieldError>) -> Self {
        errors.truncate(ERRORS);
        let detail = match errors.as_slice() {
            [FieldError { field, reason, .. }] => format!("{field}: {reason}"),
            errors => fields(errors),
        };
        Problem { errors, ..Self::new(kind, detail) }
    }

    /// 400: a parameter or header field can't be read.
    pub(crate) fn malformed(field: &str, value: impl Into<Value>, reason: impl Into<String>) -> Self {
        Self::about(Kind::Malformed, vec![FieldError::new(field, value.into(), reason)])
    }

    /// 404.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("{what} does not exist"))
    }

    /// 403.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// 401, with what is needed.
    pub(crate) fn unauthorized(detail: impl Into<String>, challenge: &'static str) -> Self {
        Problem { challenge: Some(challenge), ..Self::new(Kind::Unauthorized, detail) }
    }

    /// 401 for a token that no longer holds.
    pub(crate) fn token_ended() -> Self {
        Self::unauthorized(
            "the token was revoked or has expired since the request began",
            r#"Bearer realm="carom", error="invalid_token""#,
        )
    }

    /// 503, to be tried again later.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, detail).retry_after(RETRY_SECONDS)
    }

    /// 500. What went wrong goes to stderr, for it may name files.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tell(&format!("the admin API: {error}"));
        Self::new(Kind::Internal, "the server can't do this; it said why on its stderr")
    }

    /// The same, and which parts of the request it is about.
    pub(crate) fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Problem { errors, ..self }
    }

    /// The same with `Retry-After`.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Problem { retry_seconds: Some(seconds), ..self }
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What it was this time.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The status of its answer.
    #[cfg(test)]
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong with the fields, each with something in front of its path: for parts of a body.
    pub(crate) fn into_errors_within(self, prefix: &str) -> Vec<FieldError> {
        let named = |error: FieldError| FieldError { field: format!("{prefix}{}", error.field), ..error };
        self.errors.into_iter().map(named).collect()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("a problem is JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(seconds) = self.retry_seconds {
            fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::Exists { .. } => Kind::Exists,
            Refusal::VersionMismatch { .. } => Kind::VersionMismatch,
            Refusal::NotFound(_) => Kind::NotFound,
            Refusal::Invalid { .. } => Kind::Invalid,
            Refusal::Chain { .. } => Kind::Chain,
            Refusal::Loop { .. } => Kind::Loop,
        };
        Problem::new(kind, refusal.to_string())
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refusal, _) => refusal.into(),
            SubmitError::TooLarge { .. } => Problem::new(Kind::TooLarge, error.to_string()),
            SubmitError::OperationReused(_) => Problem::new(
                Kind::KeyReused,
                "this Idempotency-Key was used for another request within the last 24 hours. Give each request its own",
            ),
            SubmitError::TokenEnded(_) => Problem::token_ended(),
            SubmitError::CodesExhausted { .. } => Problem::new(Kind::CodesExhausted, error.to_string()),
            SubmitError::TooManySets | SubmitError::Paused { .. } => Problem::unavailable(error.to_string()),
            SubmitError::Closed { .. } => Problem::new(Kind::Unavailable, error.to_string()),
            SubmitError::OutcomeUnknown { reason } => Problem::new(
                Kind::OutcomeUnknown,
                format!(
                    "the outcome is unknown: {reason}. With an Idempotency-Key it is safe to send the same request again \
                     with the same key; without one, look whether the change was made"
                ),
            ),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Problem::internal(&error)
    }
}

/// A text of the request, fit for a message.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_of_a_kind_is_what_stands_in_its_problems() {
        for kind in Kind::ALL {
            let json = serde_json::to_value(Problem::new(*kind, "why")).unwrap();
            assert_eq!(json["type"], kind.uri());
            assert_eq!(json["status"], kind.status().as_u16());
            assert!(json.get("errors").is_none());
        }
    }

    #[test]
    fn the_fields_are_named_as_long_as_they_are_few() {
        let error = |number: usize| FieldError::new(format!("f{number}"), number.into(), "no");
        let detail = |count: usize| Problem::invalid((0..count).map(error).collect()).detail;
        assert_eq!(detail(1), "f0: no");
        assert_eq!(detail(2), "2 fields can't be taken as they are: `f0`, `f1`");
        assert!(detail(12).ends_with(", `f9` and 2 more"));
        assert!(detail(1_000).starts_with("at least 100 fields") && detail(1_000).ends_with(" and 90 more"));
        assert_eq!(Problem::invalid((0..1_000).map(error).collect()).errors.len(), ERRORS);
    }

    #[test]
    fn long_values_are_cut() {
        let error = FieldError::new("a", "b".repeat(1_000).into(), "long");
        assert_eq!(error.value.as_str().unwrap().chars().count(), VALUE_CHARACTERS + 1);
        let error = FieldError::new("a", serde_json::json!(["ä".repeat(1_000)]), "long");
        assert_eq!(error.value.as_str().unwrap().chars().count(), VALUE_CHARACTERS + 1);
        assert!(error.value.as_str().unwrap().starts_with("[\"ää"));
        let short = serde_json::json!([{"a": "b"}]);
        assert_eq!(FieldError::of("a", &short, "short").value, short);
    }
}
