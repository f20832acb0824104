//! The settings of a host as they are answered.

use serde::Serialize;
use utoipa::ToSchema;

use super::super::time;
use super::edit;
use crate::link::{Host, HostRecord, HostSettings};

/// What is set for a host.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HostView {
    /// Which host; `*` is any.
    host: String,
    /// The status of new links that are given none.
    #[schema(schema_with = edit::status)]
    default_status: u16,
    /// What becomes of the query of requests, where the link does not say.
    #[schema(schema_with = edit::query_policy)]
    query_policy: &'static str,
    /// Whether a path that no link has is looked up in lower case, in which new links are kept.
    ignore_case: bool,
    /// Whether a path that no link has is looked up without the slashes at its end, without which new links are kept.
    ignore_trailing_slash: bool,
    /// How long 301, 308 and 410 may be kept; null is the usual.
    #[schema(required)]
    permanent_cache_control: Option<String>,
    /// How long 302, 303 and 307 may be kept; null is the usual.
    #[schema(required)]
    temporary_cache_control: Option<String>,
    /// By up to how many percent a `max-age` is lowered, so that caches do not expire together.
    #[schema(minimum = 0, maximum = 90)]
    cache_jitter_percent: u8,
    /// Where requests are sent that no link answers; path and query of the request are appended.
    #[schema(required, format = "uri", max_length = 3072)]
    fallback: Option<String>,
    /// Where requests are sent instead of a 404.
    #[schema(required, format = "uri", max_length = 3072)]
    not_found_target: Option<String>,
    /// How many characters generated codes have.
    #[schema(minimum = 4, maximum = 32)]
    code_length: u8,
    /// What generated codes are made of.
    #[schema(min_length = 10, max_length = 65, pattern = "^[A-Za-z0-9_~-]+$")]
    code_alphabet: String,
    /// The field `Referrer-Policy` of redirects.
    #[schema(required, schema_with = edit::referrer_policy_or_null)]
    referrer_policy: Option<&'static str>,
    /// The field `X-Robots-Tag` of redirects.
    #[schema(required, max_length = 256)]
    robots_tag: Option<String>,
    /// Whether targets may hold a user name and a password.
    allow_userinfo: bool,
    /// The only hosts that targets may have: names, and `*.` and a name for all below it. Empty is any.
    #[schema(max_items = 256)]
    allowed_targets: Vec<String>,
    /// Hosts that targets may not have. Those of `*` hold for every host.
    #[schema(max_items = 256)]
    denied_targets: Vec<String>,
    /// Only of `*`: what is answered to requests for hosts that have no settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = edit::unknown_hosts)]
    unknown_hosts: Option<&'static str>,
    /// The number of the change that made it what it is, as in `/v1/changes`; the `ETag`.
    #[schema(minimum = 1)]
    version: u64,
    /// When it was first set.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was last changed.
    #[schema(format = "date-time")]
    updated_at: String,
}

/// A page of hosts.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes; a page is written piece by piece")]
pub(super) struct HostList {
    /// In the order of their names. They may be fewer than asked for though there are more.
    #[schema(max_items = 1000)]
    hosts: Vec<HostView>,
    /// Where the next page begins; null if this is the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<&HostRecord> for HostView {
    fn from(record: &HostRecord) -> Self {
        let HostRecord { host, settings, created_at_ms, updated_at_ms, version } = record;
        // All of them, so that a new one is not forgotten here.
        let HostSettings {
            default_status,
            query_policy,
            ignore_case,
            ignore_trailing_slash,
            permanent_cache_control,
            temporary_cache_control,
            cache_jitter,
            fallback,
            not_found_target,
            code_length,
            code_alphabet,
            referrer_policy,
            robots_tag,
            allow_userinfo,
            allowed_targets,
            denied_targets,
            unknown_hosts,
        } = settings;
        HostView {
            host: host.as_str().to_owned(),
            default_status: default_status.code(),
            query_policy: query_policy.name(),
            ignore_case: *ignore_case,
            ignore_trailing_slash: *ignore_trailing_slash,
            permanent_cache_control: permanent_cache_control.map(|control| control.to_string()),
            temporary_cache_control: temporary_cache_control.map(|control| control.to_string()),
            cache_jitter_percent: cache_jitter.get(),
            fallback: fallback.as_ref().map(|target| target.as_str().to_owned()),
            not_found_target: not_found_target.as_ref().map(|target| target.as_str().to_owned()),
            code_length: code_length.get(),
            code_alphabet: code_alphabet.as_str().to_owned(),
            referrer_policy: referrer_policy.map(|policy| policy.as_str()),
            robots_tag: robots_tag.as_ref().map(|tag| tag.as_str().to_owned()),
            allow_userinfo: *allow_userinfo,
            allowed_targets: allowed_targets.iter().map(str::to_owned).collect(),
            denied_targets: denied_targets.iter().map(str::to_owned).collect(),
            unknown_hosts: (host.as_str() == Host::ANY).then(|| unknown_hosts.name()),
            version: *version,
            created_at: time::text(*created_at_ms),
            updated_at: time::text(*updated_at_ms),
        }
    }
}
