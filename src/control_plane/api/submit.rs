//! The way of a change to the writer and back, without a thread that waits.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::parameters::InQuery;
use super::problem::{FieldError, Kind, Problem, quoted};
use super::{Api, Caller};
use crate::engine::{Acknowledged, ChangeResult, Submission, SubmitError};
use crate::link::{Actor, Change, Outcome, Precondition, Refusal};
use crate::log::OperationId;

/// Most changes of the API that are on their way at a time; more wait. Below
/// [`WRITER_QUEUE`](crate::limits::WRITER_QUEUE), so that handing one over never blocks the runtime's thread.
pub(crate) const CHANGES_UNDER_WAY: usize = 512;

/// Makes a change, and waits until it is acknowledged.
///
/// # Errors
/// What the writer says, as a problem.
pub(crate) async fn change(
    api: &Api,
    actor: Actor,
    operation: Option<OperationId>,
    change: Change,
) -> Result<Acknowledged<Vec<Outcome>>, Problem> {
    Ok(try_change(api, actor, operation, change).await?)
}

/// The same with the writer's own words.
///
/// # Errors
/// What the writer says.
pub(crate) async fn try_change(
    api: &Api,
    actor: Actor,
    operation: Option<OperationId>,
    change: Change,
) -> ChangeResult {
    begin_change(api, actor, operation, change).await?.wait().await
}

/// The same while a lock is held: until the writer has answered, also if nobody waits for that any more.
///
/// # Errors
/// What the writer says.
pub(crate) async fn try_change_holding(
    api: &Api,
    held: OwnedMutexGuard<()>,
    actor: Actor,
    change: Change,
) -> ChangeResult {
    begin(api, Some(held), actor, None, change).await?.wait().await
}

/// A change that is on its way.
pub(crate) struct BegunChange(oneshot::Receiver<ChangeResult>);

impl BegunChange {
    /// Waits until it is acknowledged.
    ///
    /// # Errors
    /// What the writer says.
    pub(crate) async fn wait(self) -> ChangeResult {
        self.0.await.unwrap_or_else(|_| Err(SubmitError::lost()))
    }
}

/// Hands a change to the writer as soon as it may be on its way: those that one caller begins are made in this order.
///
/// # Errors
/// If the writer has ended.
pub(crate) async fn begin_change(
    api: &Api,
    actor: Actor,
    operation: Option<OperationId>,
    change: Change,
) -> Result<BegunChange, SubmitError> {
    begin(api, None, actor, operation, change).await
}

async fn begin(
    api: &Api,
    held: Option<OwnedMutexGuard<()>>,
    actor: Actor,
    operation: Option<OperationId>,
    change: Change,
) -> Result<BegunChange, SubmitError> {
    let permit = Arc::clone(&api.changes).acquire_owned().await.expect("nobody closes it");
    let (reply, answer) = oneshot::channel();
    api.engine.change_then(Submission { actor, operation, change }, move |result| {
        // It is on its way until here, also if nobody waits any more.
        drop((permit, held));
        let _ = reply.send(result);
    })?;
    Ok(BegunChange(answer))
}

/// What is said of a change of one thing that was not made.
///
/// A condition that does not hold is 412, whatever it was (RFC 9110 §13.1); but where there is nothing to change without
/// any condition either, that is said. `is_put` is whether it would have been made where there is none.
pub(crate) fn not_changed(caller: &Caller, error: SubmitError, precondition: Precondition, is_put: bool) -> Problem {
    match (&error, precondition) {
        (SubmitError::Refused(Refusal::Exists { .. }, _), Precondition::Absent) => {
            Problem::new(Kind::VersionMismatch, error.to_string())
        }
        (SubmitError::Refused(Refusal::NotFound(_), _), _) if is_put => {
            Problem::new(Kind::VersionMismatch, error.to_string())
        }
        _ => caller.told(error),
    }
}

/// The name of the field that makes a request safe to repeat.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest idempotency key, in characters.
const KEY_CHARACTERS: usize = 255;

/// The field `Idempotency-Key`: a name for the request, of 1 to 255 visible ASCII characters, so that it is safe to
/// repeat for 24 hours.
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = single(&parts.headers, &IDEMPOTENCY_KEY)? else { return Ok(IdempotencyKey(None)) };
        let is_key = (1..=KEY_CHARACTERS).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key {
            Ok(IdempotencyKey(Some(value)))
        } else {
            let reason = format!("a key has 1 to {KEY_CHARACTERS} visible ASCII characters");
            Err(Problem::malformed(IDEMPOTENCY_KEY.as_str(), value, reason))
        }
    }
}

impl IdempotencyKey {
    /// The operation that it names, for this actor.
    pub(crate) fn operation(&self, actor: &Actor) -> Option<OperationId> {
        let key = self.0.as_ref()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(actor.as_str().as_bytes()).update(&[0]).update(key.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        // The id of all zeros is none.
        id[0] |= u8::from(id == OperationId::NONE.0);
        Some(OperationId(id))
    }
}

/// What a request demands of the state: `If-Match` and `If-None-Match` (RFC 9110 §13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preconditions(pub(crate) Precondition);

impl<S: Send + Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let if_match = single(&parts.headers, &header::IF_MATCH)?;
        let if_none_match = single(&parts.headers, &header::IF_NONE_MATCH)?;
        let precondition = match (if_match.as_deref(), if_none_match.as_deref()) {
            (None, None) => Precondition::None,
            (Some("*"), None) => Precondition::Present,
            (None, Some("*")) => Precondition::Absent,
            (Some(tag), None) => match version(tag) {
                Some(version) => Precondition::Version(version),
                // Nothing has it.
                None if is_tag(tag) => {
                    let detail = format!("{} is no tag that was given out here; read what is there", quoted(tag));
                    return Err(Problem::new(Kind::VersionMismatch, detail));
                }
                None => {
                    let reason = format!("{} is no single strong tag, such as `\"3\"`, nor `*`", quoted(tag));
                    return Err(Problem::malformed("if-match", tag, reason));
                }
            },
            (None, Some(tag)) => return Err(Problem::malformed("if-none-match", tag, "only `*` is taken here")),
            (Some(_), Some(tag)) => {
                return Err(Problem::malformed("if-none-match", tag, "it can't be sent together with If-Match"));
            }
        };
        Ok(Preconditions(precondition))
    }
}

/// That a request comes without `If-Match` and `If-None-Match`, where neither means something.
pub(crate) struct Unconditional;

impl<S: Send + Sync> FromRequestParts<S> for Unconditional {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        means_nothing(&parts.headers, &[header::IF_MATCH, header::IF_NONE_MATCH])?;
        Ok(Unconditional)
    }
}

/// The version that a strong entity tag names.
fn version(tag: &str) -> Option<u64> {
    let number = tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()?;
    // Tags are compared as texts (RFC 9110 §8.8.3.2).
    (entity_tag(number) == tag).then_some(number)
}

/// Whether it is one strong entity tag (RFC 9110 §8.8.3).
fn is_tag(text: &str) -> bool {
    let opaque = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    opaque.is_some_and(|opaque| opaque.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'))
}

/// The entity tag of a version.
pub(crate) fn entity_tag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("it is a field's value")
}

/// That a request brings no field that it would be wrong to ignore where none is known: neither a precondition nor
/// `Idempotency-Key`.
pub(crate) struct Bare;

impl<S: Send + Sync> FromRequestParts<S> for Bare {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        means_nothing(&parts.headers, &[header::IF_MATCH, header::IF_NONE_MATCH, IDEMPOTENCY_KEY])?;
        Ok(Bare)
    }
}

/// That a request brings no parameters, and no field that it would be wrong to ignore: neither a precondition nor
/// `Idempotency-Key`. For what changes something and knows none of them.
pub(crate) struct Plain;

/// The same where preconditions are known.
pub(crate) struct Unnamed;

impl<S: Send + Sync> FromRequestParts<S> for Plain {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(query) = InQuery::from_request_parts(parts, state).await;
        query.finish()?;
        let Bare = Bare::from_request_parts(parts, state).await?;
        Ok(Plain)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Unnamed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(query) = InQuery::from_request_parts(parts, state).await;
        query.finish()?;
        means_nothing(&parts.headers, &[IDEMPOTENCY_KEY])?;
        Ok(Unnamed)
    }
}

/// Whether `If-None-Match`, which may come on several lines, names this entity tag.
pub(crate) fn is_known(fields: &HeaderMap, tag: &HeaderValue) -> bool {
    let Ok(tag) = tag.to_str() else { return false };
    fields.get_all(header::IF_NONE_MATCH).iter().any(|line| line.to_str().is_ok_and(|known| names(known, tag)))
}

/// Whether a list of entity tags names this one, in the weak comparison (RFC 9110 §13.1.2).
fn names(known: &str, tag: &str) -> bool {
    known.trim() == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

/// Refuses fields that mean nothing to this request: whoever sends them relies on them.
pub(crate) fn means_nothing(fields: &HeaderMap, names: &[HeaderName]) -> Result<(), Problem> {
    let found = names.iter().filter_map(|name| Some((name, fields.get(name)?)));
    let errors: Vec<_> = found
        .map(|(name, value)| {
            let value = value.to_str().map_or(serde_json::Value::Null, Into::into);
            FieldError::new(name.as_str(), value, "the field means nothing to this request; leave it out")
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Problem::about(Kind::Malformed, errors)) }
}

/// The value of a field that may be there once.
///
/// # Errors
/// 400 if it is there more than once, or is no text.
pub(crate) fn single(fields: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut values = fields.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::malformed(name.as_str(), serde_json::Value::Null, "the field is there more than once"));
    }
    let text = value
        .to_str()
        .map_err(|_| Problem::malformed(name.as_str(), serde_json::Value::Null, "the field holds what is not ASCII"))?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn preconditions(fields: &[(&str, &str)]) -> Result<Precondition, u16> {
        let mut request = Request::builder();
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let read = Preconditions::from_request_parts(&mut parts, &()).await;
        read.map(|Preconditions(precondition)| precondition).map_err(|problem| problem.status())
    }

    #[tokio::test]
    async fn preconditions_are_tags_that_were_given_out() {
        assert_eq!(preconditions(&[]).await, Ok(Precondition::None));
        assert_eq!(preconditions(&[("if-match", "\"3\"")]).await, Ok(Precondition::Version(3)));
        assert_eq!(preconditions(&[("if-match", "*")]).await, Ok(Precondition::Present));
        assert_eq!(preconditions(&[("if-none-match", "*")]).await, Ok(Precondition::Absent));
        for tag in ["3", "W/\"3\"", "\"3\", \"4\"", "\"", "\"a b\""] {
            assert_eq!(preconditions(&[("if-match", tag)]).await, Err(400), "{tag}");
        }
        for tag in ["\"\"", "\"+3\"", "\"03\"", "\"abc\"", "\"99999999999999999999\""] {
            assert_eq!(preconditions(&[("if-match", tag)]).await, Err(412), "{tag}");
        }
        assert_eq!(preconditions(&[("if-none-match", "\"3\"")]).await, Err(400));
        assert_eq!(preconditions(&[("if-match", "*"), ("if-none-match", "*")]).await, Err(400));
        assert_eq!(preconditions(&[("if-match", "*"), ("if-match", "*")]).await, Err(400));
    }

    #[test]
    fn a_known_version_is_found_in_a_list() {
        for (known, is_named) in
            [("\"3\"", true), ("W/\"3\"", true), ("\"2\", \"3\"", true), ("*", true), ("\"4\"", false), ("3", false)]
        {
            assert_eq!(names(known, "\"3\""), is_named, "{known}");
        }
    }

    #[test]
    fn a_key_names_an_operation_of_its_actor() {
        let key = IdempotencyKey(Some("a".to_owned()));
        let local = key.operation(&Actor::local()).unwrap();
        assert_eq!(key.operation(&Actor::local()), Some(local));
        assert_ne!(key.operation(&Actor::token(crate::link::TokenId([1; 8]))), Some(local));
        assert_eq!(IdempotencyKey(None).operation(&Actor::local()), None);
    }
}
