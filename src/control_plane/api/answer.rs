//! Answers.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::submit::entity_tag;
use crate::link::Outcome;

/// What a handler gives.
pub(crate) type Answer = Result<Response, Problem>;

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The same with the entity tag of a version.
pub(crate) fn tagged(status: StatusCode, version: u64, value: &impl Serialize) -> Response {
    let mut response = json(status, value);
    response.headers_mut().insert(header::ETAG, entity_tag(version));
    response
}

/// The answer to a change that was made: what is there now, and its version.
///
/// The entity tag is left out if that is not what the change made of it: somebody else changed it since, and with the tag
/// the client would take that for its own (RFC 9110 §9.3.4). 204 if there is nothing to be shown: the change was made all
/// the same.
pub(crate) fn changed<T: Serialize>(outcome: Outcome, found: Option<(u64, T)>) -> Response {
    let Some((version, value)) = found else { return no_content() };
    let status = if matches!(outcome, Outcome::Created(_)) { StatusCode::CREATED } else { StatusCode::OK };
    match outcome.version() {
        Some(made) if made != version => json(status, &value),
        _ => tagged(status, version, &value),
    }
}

/// An answer without content.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
