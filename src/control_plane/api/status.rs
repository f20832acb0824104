//! `/v1/status`: how the server stands; and `/v1/openapi.json`: what the API is.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::refusals::Refused;
use super::answer::{self, Answer};
use super::described::IfNewer;
use super::parameters::InQuery;
use super::problem::Problem;
use super::submit::is_known;
use super::{Api, Caller, time};
use crate::cache::FilterStatus;
use crate::clicks::{ClicksStatus, Keep, UsesStatus};
use crate::engine::{Health, Status};
use crate::link::Scope;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(describe))
}

/// How the server stands, as far as a token is told that is restricted to hosts.
#[derive(Debug, Serialize)]
struct Standing {
    changes: &'static str,
    reason: Option<String>,
    version: &'static str,
}

/// How the server stands. A token that is restricted to hosts is told `changes`, `reason` and `version`.
#[derive(Debug, Serialize, ToSchema)]
struct StatusView {
    /// Whether changes are accepted: `ready`; `paused`, until the cause is gone; `closed`, until carom is started again.
    #[schema(schema_with = changes)]
    changes: &'static str,
    /// Why changes are not accepted; null if they are.
    #[schema(required)]
    reason: Option<String>,
    /// Which version of carom.
    version: &'static str,
    /// Its number among the processes of the machine.
    #[schema(required = false)]
    pid: u32,
    /// For how long it has been running.
    #[schema(required = false, minimum = 0)]
    uptime_seconds: u64,
    /// The name of its log.
    #[schema(required = false, format = "uuid")]
    log: String,
    /// The last record of the log that is applied; null while the store can't be read.
    #[schema(minimum = 0)]
    last_record: Option<u64>,
    /// What is done before a change is acknowledged: `fsync` or `os`.
    #[schema(required = false)]
    durability: &'static str,
    /// Which store holds the links.
    #[schema(required = false)]
    store: &'static str,
    /// How many bytes may still be written to the disk; null if that is not known.
    #[schema(minimum = 0)]
    free_bytes: Option<u64>,
    /// Free space below which no change is accepted, in bytes.
    #[schema(required = false, minimum = 0)]
    reserved_bytes: u64,
    /// How the filter of keys stands, which answers for most keys without a link.
    #[schema(required = false)]
    key_filter: FilterView,
    /// How counting clicks stands; null if clicks are neither counted nor can be asked for.
    clicks: Option<ClicksView>,
    /// How the links with `max_clicks` stand that were clicked.
    #[schema(required = false)]
    max_clicks: UsesView,
    /// What the admin API did not do as it was asked.
    #[schema(required = false)]
    admin: RefusedView,
}

/// Links with `max_clicks` of which a click was counted. Once there are as many as are counted, the first click on another
/// one is answered as if its clicks were used up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CountedLinks)]
struct UsesView {
    /// How many there are.
    #[schema(minimum = 0)]
    links: usize,
    /// How many there can be.
    #[schema(minimum = 1)]
    links_max: usize,
    /// How many clicks were refused since the start of the server because there were as many.
    #[schema(minimum = 0)]
    refused_clicks_total: u64,
}

impl From<UsesStatus> for UsesView {
    fn from(status: UsesStatus) -> Self {
        let UsesStatus { links, links_max, refused } = status;
        UsesView { links, links_max, refused_clicks_total: refused }
    }
}

/// What the admin API did not do as it was asked, since the start of the server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminRefusals)]
struct RefusedView {
    /// Requests without a token that holds: 401.
    #[schema(minimum = 0)]
    unauthorized_total: u64,
    /// Requests that their token does not allow: 403.
    #[schema(minimum = 0)]
    forbidden_total: u64,
    /// Requests over a rate: 429.
    #[schema(minimum = 0)]
    rate_limited_total: u64,
    /// Requests that were not possible just then, or took too long: 503.
    #[schema(minimum = 0)]
    unavailable_total: u64,
    /// Idle connections that were closed to make room for others.
    #[schema(minimum = 0)]
    connections_closed_total: u64,
    /// Connections that were closed at once, since their address had its share.
    #[schema(minimum = 0)]
    connections_refused_total: u64,
}

impl From<Refused> for RefusedView {
    fn from(refused: Refused) -> Self {
        let Refused { unauthorized, forbidden, rate_limited, unavailable, closed, refused } = refused;
        RefusedView {
            unauthorized_total: unauthorized,
            forbidden_total: forbidden,
            rate_limited_total: rate_limited,
            unavailable_total: unavailable,
            connections_closed_total: closed,
            connections_refused_total: refused,
        }
    }
}

/// How the filter of keys stands, which knows of most keys without a link that there is none, without the store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyFilter)]
struct FilterView {
    /// Whether it answers. Not so while all keys are read for the first time.
    ready: bool,
    /// How many keys it knows, about: those of links, and of paths of which links have a query.
    #[schema(minimum = 0)]
    keys: u64,
    /// What it takes in memory.
    #[schema(minimum = 0)]
    bytes: usize,
    /// How many lookups it has answered since the start of the server.
    #[schema(minimum = 0)]
    answered: u64,
    /// Why it could not be built; null if it could. It is tried again.
    #[schema(required)]
    trouble: Option<String>,
}

impl From<FilterStatus> for FilterView {
    fn from(status: FilterStatus) -> Self {
        let FilterStatus { is_ready, keys, bytes, answered, trouble } = status;
        FilterView { ready: is_ready, keys, bytes, answered, trouble }
    }
}

/// How counting clicks stands. Numbers are since the start of the server, unless told otherwise.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClickCounting)]
struct ClicksView {
    /// What is kept of clicks, as `--clicks` says: `details`, `counts` or `none`.
    #[schema(schema_with = keeps)]
    keep: &'static str,
    /// How many clicks of all classes were counted.
    #[schema(minimum = 0)]
    counted: u64,
    /// Of how many of these details were kept.
    #[schema(minimum = 0)]
    details: u64,
    /// Which part that is of the clicks whose details were to be kept; of the others, those that are kept tell, by their weight. Null
    /// if there were none.
    #[schema(required, minimum = 0, maximum = 1)]
    details_share: Option<f64>,
    /// How many clicks were lost because they could not be written for too long.
    #[schema(minimum = 0)]
    dropped: u64,
    /// How many details were lost for that reason; clicks on their links are counted all the same.
    #[schema(minimum = 0)]
    dropped_details: u64,
    /// How many batches of half a second wait now to be made durable.
    #[schema(minimum = 0)]
    waiting_batches: u64,
    /// How many batches are durable now and not in the statistics yet.
    #[schema(minimum = 0)]
    lag_batches: u64,
    /// How long the journal of clicks is now.
    #[schema(minimum = 0)]
    journal_bytes: u64,
    /// When all that was counted until then was last durable; null if that was never.
    #[schema(required, format = "date-time")]
    synced_at: Option<String>,
    /// What keeps clicks from being made durable, or from the statistics; null if nothing does.
    #[schema(required)]
    trouble: Option<String>,
}

fn keeps() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(
        [Keep::Details, Keep::Counts, Keep::Nothing].map(|keep| serde_json::Value::from(keep.name())),
    ))
}

impl ClicksView {
    fn of(keep: Keep, status: ClicksStatus) -> Self {
        ClicksView {
            keep: keep.name(),
            counted: status.clicks,
            details: status.details,
            // So many digits are more than anybody needs.
            details_share: status.kept_share().map(|share| (share * 1e6).round() / 1e6),
            dropped: status.lost_clicks(),
            dropped_details: status.details_dropped,
            waiting_batches: status.waiting,
            lag_batches: status.lag_windows,
            journal_bytes: status.journal_bytes,
            synced_at: (status.synced_at_ms > 0).then(|| time::text(status.synced_at_ms)),
            trouble: status.trouble,
        }
    }
}

fn changes() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(["ready", "paused", "closed"].map(serde_json::Value::from)))
}

/// How the server stands
///
/// A token that is restricted to hosts is told only whether changes are accepted, and the version: what is left tells of the
/// links of all hosts.
#[utoipa::path(
    get, path = "/v1/status", tag = "server", operation_id = "getStatus",
    responses((status = 200, description = "How it stands", body = StatusView)),
)]
async fn status(State(api): State<Arc<Api>>, caller: Caller, query: InQuery) -> Answer {
    caller.require(Scope::Read)?;
    query.finish()?;
    // It asks the disk, which may be slow just when somebody asks how things stand.
    let stands = api.blocking(|engine| Ok::<_, Problem>(engine.status())).await?;
    let Status { health, log_id, record, durability, store, free_bytes, disk_reserve_bytes, filter, clicks, uses } =
        stands;
    let (changes, reason) = match health {
        Health::Ready => ("ready", None),
        Health::Paused { reason } => ("paused", Some(reason)),
        Health::Closed { reason } => ("closed", Some(reason)),
    };
    let version = env!("CARGO_PKG_VERSION");
    if caller.hosts().is_some() {
        return Ok(answer::json(StatusCode::OK, &Standing { changes, reason, version }));
    }
    let view = StatusView {
        changes,
        reason,
        version,
        pid: std::process::id(),
        uptime_seconds: api.since.elapsed().as_secs(),
        log: log_id.to_string(),
        last_record: record,
        durability: durability.name(),
        store: store.name(),
        free_bytes,
        reserved_bytes: disk_reserve_bytes,
        key_filter: filter.into(),
        clicks: clicks.map(|(keep, status)| ClicksView::of(keep, status)),
        max_clicks: uses.into(),
        admin: api.refusals.get().into(),
    };
    Ok(answer::json(StatusCode::OK, &view))
}

/// What the API is
///
/// This description, in OpenAPI 3.1. It needs no token.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "server", operation_id = "getDescription", security(()),
    params(IfNewer),
    responses(
        (status = 200, description = "The description", body = Object, content_type = "application/json",
            headers(("etag" = String, description = "Which description it is"))),
        (status = 304, description = "It is the one that is known"),
    ),
)]
async fn describe(query: InQuery, fields: HeaderMap) -> Answer {
    static TEXT: OnceLock<(Bytes, HeaderValue)> = OnceLock::new();
    query.finish()?;
    let (text, tag) = TEXT.get_or_init(|| {
        let text = super::openapi::compact(&super::openapi()).expect("the description is JSON");
        let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..16]);
        (Bytes::from(text), HeaderValue::try_from(tag).expect("it is made of digits"))
    });
    let mut response = match is_known(&fields, tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "application/json")], Body::from(text.clone())).into_response(),
    };
    response.headers_mut().insert(header::ETAG, tag.clone());
    // It may be kept, and is asked for again with its tag. A 304 says what the 200 would (RFC 9110 §15.4.5).
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}
