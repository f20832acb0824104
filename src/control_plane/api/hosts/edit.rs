//! How a body becomes settings.

use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

use super::super::body::Fields;
use super::super::links::CacheControlJson;
use super::super::problem::Problem;
use super::super::targets;
use super::{defaults, ways};
use crate::engine::Tables;
use crate::limits::TARGET_PATTERNS;
use crate::link::{
    CacheControl, CodeAlphabet, CodeLength, Edit, Host, HostSettingError, HostSettings, Percent, QueryPolicy,
    ReferrerPolicy, RobotsTag, Status, TargetPatterns, UnknownHosts,
};

/// Settings of a host, as they are sent. Null is as good as nothing for PUT, and the default for PATCH.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it only describes what `read` reads")]
#[schema(example = json!({"default_status": 301, "ignore_case": true, "fallback": "https://www.example.com"}))]
pub(super) struct HostBody {
    /// The status of new links that are given none.
    #[schema(schema_with = status_or_null)]
    default_status: Option<u16>,
    /// What becomes of the query of requests, where the link does not say.
    #[schema(schema_with = query_policy_or_null)]
    query_policy: Option<String>,
    /// Whether a path that no link has is looked up in lower case, in which new links are kept.
    ignore_case: Option<bool>,
    /// Whether a path that no link has is looked up without the slashes at its end, without which new links are kept.
    ignore_trailing_slash: Option<bool>,
    /// How long 301, 308 and 410 may be kept, as in `public, max-age=86400`.
    permanent_cache_control: Option<CacheControlJson>,
    /// How long 302, 303 and 307 may be kept, as in `private, max-age=90`.
    temporary_cache_control: Option<CacheControlJson>,
    /// By up to how many percent a `max-age` is lowered, so that caches do not expire together.
    #[schema(minimum = 0, maximum = 90)]
    cache_jitter_percent: Option<u8>,
    /// Where requests are sent that no link answers: a URL without query and fragment. Path and query of the request
    /// are appended.
    #[schema(format = "uri", pattern = "^[Hh][Tt][Tt][Pp][Ss]?:[^?#]+$", max_length = 3072)]
    fallback: Option<String>,
    /// Where requests are sent instead of a 404.
    #[schema(format = "uri", pattern = "^[Hh][Tt][Tt][Pp][Ss]?:", max_length = 3072)]
    not_found_target: Option<String>,
    /// How many characters generated codes have.
    #[schema(minimum = 4, maximum = 32)]
    code_length: Option<u8>,
    /// What generated codes are made of: each character once.
    #[schema(min_length = 10, max_length = 65, pattern = "^[A-Za-z0-9_~-]+$")]
    code_alphabet: Option<String>,
    /// The field `Referrer-Policy` of redirects.
    #[schema(schema_with = referrer_policy_or_null)]
    referrer_policy: Option<String>,
    /// The field `X-Robots-Tag` of redirects.
    #[schema(min_length = 1, max_length = 256, pattern = "^[ -~]*[!-~][ -~]*$")]
    robots_tag: Option<String>,
    /// Whether targets may hold a user name and a password.
    allow_userinfo: Option<bool>,
    /// The only hosts that targets may have: names, and `*.` and a name for all below it. Empty is any.
    #[schema(max_items = 256)]
    allowed_targets: Option<Vec<String>>,
    /// Hosts that targets may not have. Those of `*` hold for every host.
    #[schema(max_items = 256)]
    denied_targets: Option<Vec<String>>,
    /// Only of `*`: what is answered to requests for hosts that have no settings.
    #[schema(schema_with = unknown_hosts_or_null)]
    unknown_hosts: Option<String>,
    /// Ignored, so that what was answered can be sent back.
    host: Option<Value>,
    /// Ignored.
    version: Option<Value>,
    /// Ignored.
    created_at: Option<Value>,
    /// Ignored.
    updated_at: Option<Value>,
}

/// The fields of a body.
const FIELDS: [&str; 17] = [
    "default_status",
    "query_policy",
    "ignore_case",
    "ignore_trailing_slash",
    "permanent_cache_control",
    "temporary_cache_control",
    "cache_jitter_percent",
    "fallback",
    "not_found_target",
    "code_length",
    "code_alphabet",
    "referrer_policy",
    "robots_tag",
    "allow_userinfo",
    "allowed_targets",
    "denied_targets",
    "unknown_hosts",
];

/// Fields that are answered and can't be set.
pub(super) const READ_ONLY: [&str; 4] = ["host", "version", "created_at", "updated_at"];

/// What holds where the body says nothing.
pub(super) enum Base<'a> {
    /// What holds for a host without settings.
    Defaults,
    /// What is set.
    Current(&'a HostSettings),
}

/// Makes settings of a body.
pub(super) fn read(
    body: Map<String, Value>,
    tables: &Tables,
    host: &Host,
    base: Base<'_>,
) -> Result<HostSettings, Problem> {
    let usual = defaults();
    let mut settings = match base {
        Base::Defaults => defaults(),
        Base::Current(settings) => settings.clone(),
    };
    let mut fields = Fields::new(body, &FIELDS, &READ_ONLY);
    let status = fields.number("default_status", |code| {
        let status = u16::try_from(code).ok().and_then(Status::from_code);
        status.ok_or("the status is none of 301, 302, 303, 307, 308 and 410")
    });
    set(&mut settings.default_status, status, usual.default_status);
    set(&mut settings.query_policy, fields.text("query_policy", QueryPolicy::parse), usual.query_policy);
    set(&mut settings.ignore_case, fields.flag("ignore_case"), usual.ignore_case);
    set(&mut settings.ignore_trailing_slash, fields.flag("ignore_trailing_slash"), usual.ignore_trailing_slash);
    fields.text("permanent_cache_control", CacheControl::parse).apply(&mut settings.permanent_cache_control);
    fields.text("temporary_cache_control", CacheControl::parse).apply(&mut settings.temporary_cache_control);
    set(&mut settings.cache_jitter, fields.number("cache_jitter_percent", Percent::new), usual.cache_jitter);
    set(&mut settings.code_length, fields.number("code_length", CodeLength::new), usual.code_length);
    set(&mut settings.code_alphabet, fields.text("code_alphabet", CodeAlphabet::parse), usual.code_alphabet);
    fields.text("referrer_policy", ReferrerPolicy::parse).apply(&mut settings.referrer_policy);
    fields.text("robots_tag", RobotsTag::parse).apply(&mut settings.robots_tag);
    set(&mut settings.allow_userinfo, fields.flag("allow_userinfo"), usual.allow_userinfo);
    set(&mut settings.allowed_targets, fields.texts("allowed_targets", patterns), usual.allowed_targets);
    set(&mut settings.denied_targets, fields.texts("denied_targets", patterns), usual.denied_targets);
    // The host's own targets are judged by what is set together with them.
    let judged = settings.clone();
    let fallback = fields.text("fallback", |text| {
        if text.contains(['?', '#']) {
            return Err("the fallback has a query or fragment; those of the request are appended to it".to_owned());
        }
        targets::read_by(tables, &judged, text)
    });
    fallback.apply(&mut settings.fallback);
    let not_found = fields.text("not_found_target", |text| targets::read_by(tables, &judged, text));
    not_found.apply(&mut settings.not_found_target);
    // Those that stay have to go with what is new as well.
    for (field, target) in [("fallback", &settings.fallback), ("not_found_target", &settings.not_found_target)] {
        if let Some(target) = target
            && let Err(reason) = targets::judge(tables, &judged, target)
        {
            fields.fail(field, target.as_str(), reason);
        }
    }
    // One that stays was judged when it was set; what others set since is not this change's matter.
    let before = tables.host(host.as_str().as_bytes()).and_then(|entry| entry.record.settings.fallback.as_ref());
    if let Some(fallback) = &settings.fallback
        && before != Some(fallback)
        && let Err(reason) = ways::judge_fallback(tables, host, &settings)
    {
        fields.fail("fallback", fallback.as_str(), reason);
    }
    let unknown = fields.name("unknown_hosts", &UnknownHosts::ALL, UnknownHosts::name);
    if host.as_str() != Host::ANY && matches!(unknown, Edit::Set(_)) {
        fields.fail("unknown_hosts", Value::Null, "this can be set only for the host `*`");
    }
    set(&mut settings.unknown_hosts, unknown, usual.unknown_hosts);
    fields.finish()?;
    Ok(settings)
}

/// Bounded before those that are there twice are left out.
fn patterns(texts: Vec<&str>) -> Result<TargetPatterns, HostSettingError> {
    if texts.len() > TARGET_PATTERNS {
        return Err(HostSettingError::TooManyPatterns(texts.len()));
    }
    TargetPatterns::parse(texts)
}

fn set<T>(setting: &mut T, edit: Edit<T>, usual: T) {
    match edit {
        Edit::Keep => {}
        Edit::Clear => *setting = usual,
        Edit::Set(value) => *setting = value,
    }
}

// Schemas of what has a few values only.

fn choice(values: Vec<Value>, kind: Type, or_null: bool) -> ObjectBuilder {
    let values = values.into_iter().chain(or_null.then_some(Value::Null));
    let kind = if or_null { SchemaType::from_iter([kind, Type::Null]) } else { SchemaType::new(kind) };
    ObjectBuilder::new().schema_type(kind).enum_values(Some(values.collect::<Vec<_>>()))
}

fn names<T>(all: impl IntoIterator<Item = T>, name: impl Fn(T) -> &'static str) -> Vec<Value> {
    all.into_iter().map(|choice| name(choice).into()).collect()
}

fn statuses() -> Vec<Value> {
    Status::ALL.iter().map(|status| status.code().into()).collect()
}

pub(super) fn status() -> ObjectBuilder {
    choice(statuses(), Type::Integer, false)
}

fn status_or_null() -> ObjectBuilder {
    choice(statuses(), Type::Integer, true)
}

pub(super) fn query_policy() -> ObjectBuilder {
    choice(names(QueryPolicy::ALL, QueryPolicy::name), Type::String, false)
}

fn query_policy_or_null() -> ObjectBuilder {
    choice(names(QueryPolicy::ALL, QueryPolicy::name), Type::String, true)
}

pub(super) fn referrer_policy_or_null() -> ObjectBuilder {
    choice(names(ReferrerPolicy::ALL, |policy| policy), Type::String, true)
}

pub(super) fn unknown_hosts() -> ObjectBuilder {
    choice(names(UnknownHosts::ALL, UnknownHosts::name), Type::String, false)
}

fn unknown_hosts_or_null() -> ObjectBuilder {
    choice(names(UnknownHosts::ALL, UnknownHosts::name), Type::String, true)
}
