//! `/v1/status`: how the server stands; and `/v1/openapi.json`: what the API is.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, Answer};
use super::{Api, Caller};
use crate::engine::{Health, Status};
use crate::link::Scope;

pub(super) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(describe))
}

/// How the server stands.
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
    pid: u32,
    /// For how long it has been running.
    #[schema(minimum = 0)]
    uptime_seconds: u64,
    /// The name of its log.
    #[schema(format = "uuid")]
    log: String,
    /// The last record of the log that is applied; null while the store can't be read.
    #[schema(required, minimum = 0)]
    last_record: Option<u64>,
    /// What is done before a change is acknowledged: `fsync` or `os`.
    durability: &'static str,
    /// Which store holds the links.
    store: &'static str,
    /// How many bytes may still be written to the disk; null if that is not known.
    #[schema(required, minimum = 0)]
    free_bytes: Option<u64>,
    /// Free space below which no change is accepted, in bytes.
    #[schema(minimum = 0)]
    reserved_bytes: u64,
}

fn changes() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(["ready", "paused", "closed"].map(serde_json::Value::from)))
}

/// How the server stands
#[utoipa::path(
    get, path = "/v1/status", tag = "server", operation_id = "getStatus",
    responses((status = 200, description = "How it stands", body = StatusView)),
)]
async fn status(State(api): State<Arc<Api>>, caller: Caller) -> Answer {
    caller.require(Scope::Read)?;
    // It asks the disk, which may be slow just when somebody asks how things stand.
    let stands = api.blocking(|engine| Ok::<_, super::Problem>(engine.status())).await?;
    let Status { health, log_id, record, durability, store, free_bytes, disk_reserve_bytes } = stands;
    let (changes, reason) = match health {
        Health::Ready => ("ready", None),
        Health::Paused { reason } => ("paused", Some(reason)),
        Health::Closed { reason } => ("closed", Some(reason)),
    };
    let view = StatusView {
        changes,
        reason,
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: api.since.elapsed().as_secs(),
        log: log_id.to_string(),
        last_record: record,
        durability: durability.name(),
        store: store.name(),
        free_bytes,
        reserved_bytes: disk_reserve_bytes,
    };
    Ok(answer::json(StatusCode::OK, &view))
}

/// What the API is
///
/// This description, in OpenAPI 3.1. It needs no token.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "server", operation_id = "getDescription", security(()),
    responses((status = 200, description = "The description", body = Object, content_type = "application/json")),
)]
async fn describe() -> Response {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text =
        TEXT.get_or_init(|| Bytes::from(super::openapi::text(&super::openapi()).expect("the description is JSON")));
    let mut response = Response::new(Body::from(text.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
