//! Parameters that several areas have, as they are described. What reads them is in `parameters` and `submit`.
#![allow(dead_code, reason = "these only describe")]

use utoipa::IntoParams;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Most entries of the page
    #[param(minimum = 1, maximum = 1000, required = false, nullable = false)]
    limit: u32,
    /// `next_cursor` of the page before
    #[param(pattern = "^[A-Za-z0-9_-]+$", required = false, nullable = false)]
    cursor: String,
}

/// A precondition of what changes or deletes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfMatch {
    /// The version that it must have, as `ETag` gave it; or `*`, for any
    #[param(rename = "If-Match", pattern = r#"^(\*|"(0|[1-9][0-9]{0,17})")$"#, required = false, nullable = false)]
    if_match: String,
}

/// A precondition of what creates.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfNoneMatch {
    /// `*`: there must be none yet. Not together with If-Match
    #[param(rename = "If-None-Match", schema_with = none_yet, required = false, nullable = false)]
    if_none_match: String,
}

/// When an answer is not needed.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfNewer {
    /// The version that is known already, as `ETag` gave it, or several; then the answer is 304 without it
    #[param(rename = "If-None-Match", required = false, nullable = false)]
    if_none_match: String,
}

fn none_yet() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(["*"]))
}

/// What makes a request safe to repeat.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Idempotency {
    /// A name for the request: sent again with it within 24 hours, it is not made again, and gets the same outcome
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        required = false,
        nullable = false
    )]
    idempotency_key: String,
}

/// A host in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct HostPath {
    /// The host, in any case and with U-labels or A-labels; `*` is any host. Addresses are hosts, too
    #[param(min_length = 1, example = "go.example.com")]
    host: String,
}

/// A token in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TokenPath {
    /// The public half of a token, as it stands behind `carom_`
    #[param(pattern = "^[0-9a-f]{16}$", example = "00ff010203040506")]
    id: String,
}
