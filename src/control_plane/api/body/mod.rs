//! Bodies: read whole, as JSON, within bounds.
//!
//! - `json`: bytes to values. `fields`: values to what they say, field by field.

mod fields;
mod json;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::caller::Caller;
use super::held::{Held, Share};
use super::problem::{Kind, Problem, quoted};
use crate::link::Actor;
pub(crate) use fields::{Fields, Given, object, unknown};
pub(crate) use json::read as read_json;

/// Most bytes, and most values, of a body with one object.
const OBJECT: Bounds = Bounds { bytes: 1 << 20, values: 4_096, patience: PATIENCE };

/// Most bytes, and most values, of a body with many. What [`BATCH_COMMANDS`](crate::limits::BATCH_COMMANDS) can say at
/// most are some 45,000 values.
const BATCH: Bounds = Bounds { bytes: 8 << 20, values: 64 * 1024, patience: PATIENCE };

/// What a body may have.
#[derive(Clone, Copy)]
struct Bounds {
    bytes: usize,
    values: usize,
    /// How long it may take to come, beside what [`BYTES_PER_SECOND`] allows for its length.
    patience: Duration,
}

/// The first bytes of a body count nowhere, so that those that are short are read whatever others send. There are as many
/// as there are connections.
const SHORT_BYTES: usize = 64 * 1024;

/// The room for what bodies have beyond that.
static HELD: Held = Held::new(48 << 20, 16 << 20);

/// Bodies with more bytes than [`SHORT_BYTES`] are parsed on a thread of their own, for there is one thread for all
/// connections; and so many at a time, for each may take some 50 MiB until it is read.
static PARSED_AT_ONCE: Semaphore = Semaphore::const_new(2);

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many bytes must come in a second beyond that.
const BYTES_PER_SECOND: usize = 512 * 1024;

/// The content type of the bodies.
const JSON: &str = "application/json";

/// The content type of those that change parts.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A body that is not read yet: whether it may be sent at all is judged before.
pub(crate) struct RequestBody {
    /// Who sends it.
    actor: Actor,
    fields: HeaderMap,
    body: Body,
}

impl<S: Send + Sync> FromRequest<S> for RequestBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(RequestBody { actor: caller.actor(), fields: parts.headers, body }),
            None => Err(Problem::internal(&"a body is read of a caller whom nobody let in")),
        }
    }
}

impl RequestBody {
    /// The content type without its parameters, in lower case.
    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.fields.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Reads all of it. What is held of all bodies is bounded: it is, as long as the share is.
    ///
    /// # Errors
    /// 413 if it has, or announces, more bytes than this, 400 if it breaks off, 503 if too much is held already or it comes
    /// too slowly.
    async fn bytes(self, Bounds { bytes: most, patience, .. }: Bounds) -> Result<(Vec<u8>, Share), Problem> {
        let too_large =
            || Problem::new(Kind::TooLarge, format!("the body has more than {most} bytes, the most that is read here"));
        let mut body = self.body;
        if body.size_hint().lower() > most as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut share = HELD.share(self.actor);
        let begun = Instant::now();
        loop {
            let due = begun + patience + Duration::from_secs((bytes.len() / BYTES_PER_SECOND) as u64);
            let Ok(frame) = timeout_at(due, body.frame()).await else {
                return Err(Problem::unavailable(format!(
                    "the body came too slowly: {} bytes in {} seconds. Nothing was changed",
                    bytes.len(),
                    begun.elapsed().as_secs()
                )));
            };
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| Problem::new(Kind::Malformed, "the body broke off"))?;
            // What is no data is a field behind the body; there is none that means something here.
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > most - bytes.len() {
                return Err(too_large());
            }
            share.grow_to((bytes.len() + data.len()).saturating_sub(SHORT_BYTES))?;
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, share))
    }

    /// The body as it comes in, for who reads it in parts.
    pub(crate) fn into_stream(self) -> Body {
        self.body
    }

    /// Reads it as JSON of one of these types, and makes something of that where it was parsed: the value is no more
    /// when this returns. What was made counts as held as long as the share beside it is there.
    ///
    /// # Errors
    /// 415, 413, 503, 400 with the place of the fault, or what `make` says.
    async fn read<T: Send + 'static>(
        self,
        types: &[&str],
        most: Bounds,
        make: impl FnOnce(Value) -> Result<T, Problem> + Send + 'static,
    ) -> Result<(T, Share), Problem> {
        let sendable = || types.iter().map(|media_type| format!("`{media_type}`")).collect::<Vec<_>>().join(" or ");
        match self.media_type().as_deref() {
            Some(media_type) if types.contains(&media_type) => {}
            Some(other) => {
                let detail = format!("the content type {} is not read here; send {}", quoted(other), sendable());
                return Err(Problem::new(Kind::MediaType, detail));
            }
            None => {
                return Err(Problem::new(Kind::MediaType, format!("there is no content type; send {}", sendable())));
            }
        }
        let (bytes, share) = self.bytes(most).await?;
        let is_short = bytes.len() <= SHORT_BYTES;
        let work = move || make(json::read("body", &bytes, most.values)?);
        if is_short {
            return Ok((work()?, share));
        }
        let place = PARSED_AT_ONCE.acquire().await.expect("nobody closes it");
        // Share and place come along, so that they are kept until what was made is taken, or until it is made and nobody
        // waits for it any more.
        let made = tokio::task::spawn_blocking(move || (work(), share, place)).await;
        let (made, share, _) = made.map_err(|error| Problem::internal(&error))?;
        Ok((made?, share))
    }

    /// Reads it as one JSON object of at most 1 MiB and 4,096 values.
    ///
    /// # Errors
    /// 415, 413, 503, 400 with the place of the fault, and 422 if it is JSON and no object.
    pub(crate) async fn object(self) -> Result<Map<String, Value>, Problem> {
        Ok(self.read(&[JSON], OBJECT, |value| object(value, "body")).await?.0)
    }

    /// The same for what changes parts (RFC 7396), which may say so in its content type.
    ///
    /// # Errors
    /// As [`object`](Self::object).
    pub(crate) async fn merge_patch(self) -> Result<Map<String, Value>, Problem> {
        Ok(self.read(&[MERGE_PATCH, JSON], OBJECT, |value| object(value, "body")).await?.0)
    }

    /// Reads it as one JSON object with many things in it, and makes something of that, on a thread of its own if it is
    /// long. The share is to be kept as long as what was made.
    ///
    /// # Errors
    /// As [`object`](Self::object), and what `make` says.
    pub(crate) async fn batch<T: Send + 'static>(
        self,
        make: impl FnOnce(Map<String, Value>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<(T, Share), Problem> {
        self.read(&[JSON], BATCH, |value| make(object(value, "body")?)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(text: impl Into<Body>) -> RequestBody {
        let fields = HeaderMap::from_iter([(header::CONTENT_TYPE, JSON.parse().unwrap())]);
        RequestBody { actor: Actor::local(), fields, body: text.into() }
    }

    #[tokio::test]
    async fn a_body_is_refused_by_the_length_that_it_announces() {
        let read = async |text: &str| {
            let most = Bounds { bytes: 6, values: 2, ..OBJECT };
            let read = body(text.to_owned()).read(&[JSON], most, Ok).await;
            read.map(|(value, _)| value).map_err(|problem| problem.status())
        };
        assert_eq!(read("\"abcd\"").await, Ok(json!("abcd")));
        assert_eq!(read("\"abcde\"").await, Err(413));
        assert_eq!(read("[1,2]").await, Err(413));
    }

    #[tokio::test]
    async fn a_long_body_is_read_like_a_short_one() {
        let text = "a".repeat(SHORT_BYTES);
        let read = body(json!({ "a": text }).to_string()).object().await.unwrap();
        assert_eq!(read["a"], text);
        let (count, share) = body(json!({ "a": text }).to_string()).batch(|map| Ok(map.len())).await.unwrap();
        assert_eq!((count, share.bytes()), (1, text.len() + 8 - SHORT_BYTES));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let (mut sender, pieces) = http_body_util::channel::Channel::<_, std::io::Error>::new(1);
        sender.send_data(axum::body::Bytes::from_static(b"{")).await.unwrap();
        let most = Bounds { patience: Duration::from_millis(10), ..OBJECT };
        let problem = body(Body::new(pieces)).read(&[JSON], most, Ok).await.err().unwrap();
        assert_eq!(problem.status(), 503);
        assert!(problem.detail().contains("too slowly: 1 bytes"), "{}", problem.detail());
        drop(sender);
    }
}
