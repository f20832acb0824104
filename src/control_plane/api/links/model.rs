//! A link as JSON.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::super::time;
use crate::link::{Link, QueryPolicy, Status};

/// Most clicks that can be given as a number that every reader of JSON understands exactly (RFC 8259 §6).
pub(crate) const MAX_CLICKS: u64 = (1 << 53) - 1;

/// What of a link is told and can't be given; in a body it is taken and ignored, so that what was answered can be sent back.
pub(crate) const READ_ONLY: [&str; 7] =
    ["id", "state", "used_clicks", "generated", "created_at", "updated_at", "version"];

/// A link.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Link)]
pub(crate) struct LinkJson {
    /// What it is found by: `host/path`, with `?query` behind it for a link that is keyed with it; `*` is any host.
    #[schema(max_length = 2048, example = "go.example/sale")]
    pub(super) key: String,
    /// Its number; never given to another link.
    #[schema(pattern = "^[0-9]{1,20}$", example = "1029")]
    id: String,
    /// Where it redirects to: an absolute http(s) URL. Null exactly if the status is 410.
    #[schema(required, format = "uri", max_length = 3072, example = "https://www.example.com/spring")]
    target: Option<String>,
    /// The status of its answer.
    #[schema(value_type = StatusJson)]
    status: u16,
    /// What becomes of a request's query; null is what the host says.
    #[schema(required, value_type = Option<QueryPolicyJson>)]
    query_policy: Option<&'static str>,
    /// From when on it is answered.
    #[schema(required, format = DateTime)]
    not_before: Option<String>,
    /// From when on it is not answered any more.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// How many clicks by people it is answered; programs and HEAD requests take none. A crash may forget the clicks of the
    /// last second: so many more are answered then.
    #[schema(required, minimum = 1, maximum = 9007199254740991u64)]
    max_clicks: Option<u64>,
    /// Where requests are sent once it has expired or its clicks are used up; null is 410.
    #[schema(required, format = "uri", max_length = 3072)]
    expired_target: Option<String>,
    /// How long its answer may be kept; null is what the host says.
    #[schema(required, example = "public, max-age=60")]
    cache_control: Option<String>,
    /// By which it is grouped: each once, in order.
    #[schema(max_items = 16)]
    tags: Vec<String>,
    /// What it is called.
    #[schema(required, max_length = 256)]
    title: Option<String>,
    /// What there is to say about it.
    #[schema(required, max_length = 2048)]
    note: Option<String>,
    /// Whether it is answered as if it were not there.
    disabled: bool,
    /// Whether its clicks are only counted, and neither details nor visitors are kept of them.
    untracked: bool,
    /// How it stands at the moment.
    #[schema(value_type = StateJson)]
    state: &'static str,
    /// How many clicks were taken of `max_clicks`. Without such a limit none are; what was taken is kept, and the next limit
    /// goes on from there.
    #[schema(minimum = 0)]
    used_clicks: u64,
    /// Whether its path is a generated code.
    generated: bool,
    /// When it was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// The number of the change that made it what it is, as in `/v1/changes`; the `ETag`.
    #[schema(minimum = 1)]
    version: u64,
}

/// The statuses that a link can answer with.
pub(crate) struct StatusJson;

impl PartialSchema for StatusJson {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .enum_values(Some(Status::ALL.map(Status::code)))
            .description(Some("301 and 308 are permanent, 302, 303 and 307 temporary; 410 is gone, and has no target."))
            .examples([302]);
        schema.into()
    }
}

impl ToSchema for StatusJson {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Status")
    }
}

/// What becomes of the query of a request.
#[derive(ToSchema)]
#[schema(as = QueryPolicy, rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum QueryPolicyJson {
    /// It is not sent on.
    Drop,
    /// It takes the place of the target's.
    Forward,
    /// Those of its parameters are added that the target does not name.
    Merge,
}

/// How a link stands.
#[derive(ToSchema)]
#[schema(as = LinkState, rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum StateJson {
    /// It is answered.
    Active,
    /// Its time has not come.
    Scheduled,
    /// Its time is over.
    Expired,
    /// Its clicks are used up.
    UsedUp,
    /// It was switched off.
    Disabled,
}

impl LinkJson {
    /// A link as it stands at a time, if so many of its clicks were used.
    pub(crate) fn of(link: &Link, now_ms: u64, used_clicks: u64) -> Self {
        let options = &link.options;
        LinkJson {
            key: link.key.as_str().to_owned(),
            id: link.id.0.to_string(),
            target: link.destination.target().map(|target| target.as_str().to_owned()),
            status: link.destination.status().code(),
            query_policy: options.query_policy.map(QueryPolicy::name),
            not_before: options.not_before_ms.map(time::text),
            expires_at: options.expires_at_ms.map(time::text),
            max_clicks: options.max_clicks.map(std::num::NonZeroU64::get),
            expired_target: options.expired_target.as_ref().map(|target| target.as_str().to_owned()),
            cache_control: options.cache_control.map(|value| value.to_string()),
            tags: options.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            title: options.title.as_ref().map(|title| title.as_str().to_owned()),
            note: options.note.as_ref().map(|note| note.as_str().to_owned()),
            disabled: options.is_disabled,
            untracked: options.is_untracked,
            state: options.state(now_ms, used_clicks).name(),
            used_clicks,
            generated: link.is_generated,
            created_at: time::text(link.created_at_ms),
            updated_at: time::text(link.updated_at_ms),
            version: link.version,
        }
    }
}
