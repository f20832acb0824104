//! Answers.
//!
//! Large ones are made where it may take time, off the runtime's only thread; and what is held of all of them until the
//! clients have taken it is bounded, in all and for one caller, as what is held of bodies is: a client need not take what
//! it has asked for.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::held::{Held, Share};
use super::problem::Problem;
use super::submit::entity_tag;
use crate::link::{Actor, Outcome};

/// What a handler gives.
pub(crate) type Answer = Result<Response, Problem>;

/// A page of a list ends with the entry that brings it over so many bytes, whatever its limit of entries is.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// The room for what was not taken yet, of all and of one caller.
static HELD: Held = Held::new(64 << 20, 16 << 20);

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => of_json(status, bytes.into()),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// An answer of bytes that are JSON.
pub(crate) fn json_bytes(bytes: Vec<u8>) -> Response {
    of_json(StatusCode::OK, bytes.into())
}

fn of_json(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A page of a list in the making, in JSON: an object with the list, and what stands beside it.
pub(crate) struct Page(Vec<u8>);

impl Page {
    /// One whose list has this name, and no entry yet.
    pub(crate) fn new(list: &'static str) -> Self {
        Page(format!("{{\"{list}\":[").into_bytes())
    }

    /// Whether another entry may follow.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < PAGE_BYTES
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// If it is no JSON, which would be a fault of the code.
    pub(crate) fn push(&mut self, entry: &impl Serialize) -> Result<(), serde_json::Error> {
        if self.0.last() != Some(&b'[') {
            self.0.push(b',');
        }
        serde_json::to_writer(&mut self.0, entry)
    }

    /// Ends it with what stands beside the list: an object with one field at least.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(crate) fn end(self, beside: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = self.0;
        bytes.extend_from_slice(b"],");
        let begin = bytes.len();
        serde_json::to_writer(&mut bytes, beside)?;
        // Its opening brace: it goes on the object that is open.
        bytes.remove(begin);
        Ok(bytes)
    }
}

/// A page of a list in JSON: as many of the entries as have room, and `next_cursor`, which is `next` if these are all.
/// `push` adds an entry, `cursor` gives what stands for the place behind it.
///
/// # Errors
/// As [`Page::push`].
pub(crate) fn list<T>(
    name: &'static str,
    entries: &[T],
    next: Option<String>,
    push: impl Fn(&mut Page, &T) -> Result<(), serde_json::Error>,
    cursor: impl Fn(&T) -> String,
) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Beside {
        next_cursor: Option<String>,
    }
    let mut page = Page::new(name);
    let mut shown = 0;
    while page.has_room()
        && let Some(entry) = entries.get(shown)
    {
        push(&mut page, entry)?;
        shown += 1;
    }
    // What is left out here comes with the next page.
    let next_cursor = if shown < entries.len() { entries[..shown].last().map(cursor) } else { next };
    page.end(&Beside { next_cursor })
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Problem::internal(&error)
    }
}

/// Bytes that count as held until the connection has written them, or is gone.
struct HeldBytes {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer in JSON that may be large, for this caller.
///
/// # Errors
/// 503 if as much is held already of answers that nobody has taken yet.
pub(crate) fn page(actor: Actor, bytes: Vec<u8>) -> Answer {
    held_by(&HELD, actor, bytes).map(|bytes| of_json(StatusCode::OK, bytes))
}

fn held_by(held: &'static Held, actor: Actor, mut bytes: Vec<u8>) -> Result<Bytes, Problem> {
    // It may be there for a minute: no more than it needs.
    bytes.shrink_to_fit();
    let mut share = held.share(actor);
    share.grow_to(bytes.len())?;
    Ok(Bytes::from_owner(HeldBytes { bytes, _share: share }))
}

/// The same with the entity tag of a version.
pub(crate) fn tagged(status: StatusCode, version: u64, value: &impl Serialize) -> Response {
    let mut response = json(status, value);
    response.headers_mut().insert(header::ETAG, entity_tag(version));
    response
}

/// What is there after a change was made.
pub(crate) struct Found<T> {
    /// Its version.
    pub(crate) version: u64,
    /// Whether it is what the change made of it, or what it asked for and found: somebody else may have changed it since.
    pub(crate) is_its: bool,
    /// What is shown of it.
    pub(crate) value: T,
}

/// The answer to a change that was made: what is there now, and its version.
///
/// The entity tag is left out if that is not what the change made of it: with the tag the client would take for its own
/// what is another's (RFC 9110 §9.3.4). 204 if there is nothing to be shown: the change was made all the same.
pub(crate) fn changed_to<T: Serialize>(outcome: Outcome, found: Option<Found<T>>) -> Response {
    let Some(Found { version, is_its, value }) = found else { return no_content() };
    let status = if matches!(outcome, Outcome::Created(_)) { StatusCode::CREATED } else { StatusCode::OK };
    if is_its { tagged(status, version, &value) } else { json(status, &value) }
}

/// An answer without content.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::TokenId;
    use serde_json::json;

    #[test]
    fn a_page_is_an_object_and_ends_when_it_is_large() {
        let mut page = Page::new("numbers");
        page.push(&1).unwrap();
        page.push(&"two").unwrap();
        let bytes = page.end(&json!({"next_cursor": null, "all": 2})).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read, json!({"numbers": [1, "two"], "next_cursor": null, "all": 2}));
        let empty = Page::new("numbers").end(&json!({"next_cursor": null})).unwrap();
        assert_eq!(empty, br#"{"numbers":[],"next_cursor":null}"#);
        let push = |page: &mut Page, _: &u32| page.push(&"x".repeat(PAGE_BYTES / 2));
        let list = |entries: &[u32]| {
            let bytes = list("texts", entries, Some("next".to_owned()), push, u32::to_string).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            (read["texts"].as_array().unwrap().len(), read["next_cursor"].as_str().unwrap().to_owned())
        };
        assert_eq!(list(&[7, 8]), (2, "next".to_owned()));
        assert_eq!(list(&[7, 8, 9]), (2, "8".to_owned()));
    }

    #[test]
    fn what_nobody_has_taken_counts_until_it_is_dropped() {
        static PLACE: Held = Held::new(10, 6);
        let taken = |id: u8, count: usize| held_by(&PLACE, Actor::token(TokenId([id; 8])), vec![b'a'; count]);
        let first = taken(1, 6).unwrap();
        // One caller leaves room for others, and for who is on the machine.
        assert_eq!(taken(1, 1).unwrap_err().status(), 503);
        assert_eq!(taken(2, 5).unwrap_err().status(), 503);
        let second = taken(2, 4).unwrap();
        assert_eq!(held_by(&PLACE, Actor::local(), vec![b'b'; 6]).unwrap().len(), 6);
        // A part of it is as good as all of it: its memory is the same.
        let part = first.slice(2..3);
        drop((first, second));
        assert_eq!(taken(1, 1).unwrap_err().status(), 503);
        drop(part);
        taken(1, 6).unwrap();
    }
}
