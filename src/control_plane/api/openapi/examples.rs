//! Examples: of each answer, and of what is sent and answered as lines. The tests hold them against their schemas.

use serde_json::{Value, json};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Content, OpenApi, PathItem, RefOr};

/// Adds them.
pub(super) fn add(api: &mut OpenApi) {
    if let Some(components) = &mut api.components {
        for (name, example) in of_schemas() {
            if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(name) {
                object.example.get_or_insert(example);
            }
        }
    }
    for (id, status, media_type, example) in of_contents() {
        if let Some(content) = content(api, id, status, media_type) {
            content.example.get_or_insert(example);
        }
    }
}

/// What an operation takes, where there is no status, or what it answers.
fn content<'a>(api: &'a mut OpenApi, id: &str, status: Option<&str>, media_type: &str) -> Option<&'a mut Content> {
    let mut operations = api.paths.paths.values_mut().flat_map(|item: &mut PathItem| super::operations(item));
    let operation = operations.find(|operation| operation.operation_id.as_deref() == Some(id))?;
    match status {
        None => operation.request_body.as_mut()?.content.get_mut(media_type),
        Some(status) => match operation.responses.responses.get_mut(status)? {
            RefOr::T(response) => response.content.get_mut(media_type),
            RefOr::Ref(_) => None,
        },
    }
}

/// By the name of the schema. What has one in its own place keeps that.
fn of_schemas() -> Vec<(&'static str, Value)> {
    let host = host();
    let token = token();
    let change = json!({
        "sequence": 1042,
        "time": "2026-11-22T07:30:00.250Z",
        "actor": "token 00ff010203040506",
        "operation_id": null,
        "kind": "links",
        "import": null,
        "refused": false,
        "commands": [{
            "op": "patch", "key": "go.example/sale", "precondition": "1041", "says": {"title": "Spring", "expires_at": null}
        }],
    });
    let outcome = json!({"key": "go.example/sale", "outcome": "replaced", "version": 1042});
    let mut created = token.clone();
    created["token"] = "carom_00ff010203040506_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".into();
    if let Some(fields) = created.as_object_mut() {
        fields.remove("expired");
    }
    vec![
        (
            "Batch",
            json!({"commands": [
                {"op": "create", "key": "go.example/spring", "link": {"target": "https://www.example.com/spring"}},
                {"op": "delete", "key": "go.example/winter", "version": 1040},
            ]}),
        ),
        ("BatchOutcome", outcome.clone()),
        ("BatchOutcomes", json!({"outcomes": [outcome]})),
        ("Change", change.clone()),
        (
            "ChangeList",
            json!({
                "changes": [change], "next_cursor": "YgAAAAAAAAQS", "oldest": 1, "newest": 1042, "missed": false
            }),
        ),
        (
            "ClickSeries",
            json!({
                "from": "2026-11-21T00:00:00+01:00",
                "to": "2026-11-22T00:00:00+01:00",
                "step": "day",
                "zone": "Europe/Berlin",
                "granularity": "quarter",
                "points": [{"start": "2026-11-21T00:00:00+01:00", "human": 310, "bot": 12, "preview": 1, "head": 0}],
            }),
        ),
        (
            "ClickTop",
            json!({
                "from": "2026-11-01T00:00:00Z",
                "to": "2026-12-01T00:00:00Z",
                "links": [{"key": "go.example/sale", "clicks": 9120, "error": 0}],
            }),
        ),
        (
            "ClickUniques",
            json!({
                "from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z", "estimate": 4211, "lower": 4077, "upper": 4345
            }),
        ),
        ("CreatedToken", created),
        ("HostList", json!({"hosts": [host], "next_cursor": null})),
        ("HostView", host),
        (
            "Identity",
            json!({
                "actor": "token 00ff010203040506", "scope": "write", "hosts": ["go.example.com"], "token": token
            }),
        ),
        ("ImportAnswer", json!({"line": 1, "key": "go.example/sale", "outcome": "created", "version": 1041})),
        ("Link", link()),
        ("LinkList", json!({"links": [link()], "next_cursor": null})),
        ("LiveClick", live_click()),
        ("StatusView", status()),
        ("TokenList", json!({"tokens": [token], "next_cursor": null})),
        ("TokenView", token),
    ]
}

/// By operation, status (none is what is sent) and content type.
fn of_contents() -> Vec<(&'static str, Option<&'static str>, &'static str, Value)> {
    let lines = |values: &[Value]| Value::from(values.iter().map(|value| format!("{value}\n")).collect::<String>());
    let counts = json!({
        "key": "go.example/sale", "start": "2026-11-22T00:00:00Z", "granularity": "day",
        "human": 310, "bot": 12, "preview": 1, "head": 0
    });
    let csv = "key,start,granularity,human,bot,preview,head\r\ngo.example/sale,2026-11-22T00:00:00Z,day,310,12,1,0\r\n";
    let ndjson = "application/x-ndjson";
    vec![
        (
            "importLinks",
            None,
            ndjson,
            lines(&[
                json!({"key": "go.example/spring", "target": "https://www.example.com/spring"}),
                json!({"key": "go.example/winter", "status": 410, "tags": ["season"]}),
            ]),
        ),
        ("exportLinks", Some("200"), ndjson, lines(&[link()])),
        ("exportClicks", Some("200"), ndjson, lines(&[counts])),
        ("exportClicks", Some("200"), "text/csv", csv.into()),
        (
            "followClicks",
            Some("200"),
            "text/event-stream",
            Value::from(format!("retry: 2000\n\nid: 5d1f0c3a9be27764-4711\nevent: click\ndata: {}\n\n", live_click())),
        ),
        (
            "getDescription",
            Some("200"),
            "application/json",
            json!({
                "openapi": "3.1.0", "info": {"title": "Carom", "version": "1"}, "paths": {}
            }),
        ),
    ]
}

fn link() -> Value {
    json!({
        "id": "1065984",
        "key": "go.example/sale",
        "target": "https://www.example.com/spring",
        "status": 302,
        "query_policy": null,
        "not_before": null,
        "expires_at": "2030-05-31T22:00:00Z",
        "max_clicks": null,
        "used_clicks": 0,
        "expired_target": "https://www.example.com/",
        "cache_control": null,
        "tags": ["spring"],
        "title": "Spring",
        "note": null,
        "disabled": false,
        "untracked": false,
        "generated": false,
        "state": "active",
        "created_at": "2026-11-22T07:30:00.250Z",
        "updated_at": "2026-11-22T07:45:12.031Z",
        "version": 1042,
    })
}

fn host() -> Value {
    json!({
        "host": "go.example.com",
        "default_status": 301,
        "query_policy": "drop",
        "ignore_case": true,
        "ignore_trailing_slash": false,
        "permanent_cache_control": "public, max-age=86400",
        "temporary_cache_control": null,
        "cache_jitter_percent": 0,
        "fallback": "https://www.example.com",
        "not_found_target": null,
        "code_length": 7,
        "code_alphabet": "23456789abcdefghjkmnpqrstuvwxyz",
        "referrer_policy": "no-referrer",
        "robots_tag": "noindex",
        "allow_userinfo": false,
        "allowed_targets": ["example.com", "*.example.com"],
        "denied_targets": [],
        "version": 1037,
        "created_at": "2026-11-22T07:30:00.250Z",
        "updated_at": "2026-11-22T07:45:12.031Z",
    })
}

fn token() -> Value {
    json!({
        "id": "00ff010203040506",
        "name": "deploy",
        "scope": "write",
        "hosts": ["go.example.com"],
        "created_at": "2026-11-22T07:30:00.250Z",
        "expires_at": null,
        "expired": false,
    })
}

fn live_click() -> Value {
    json!({
        "time": "2026-11-22T07:30:00.250Z",
        "key": "go.example/sale",
        "class": "human",
        "referrer": "news.example",
        "country": "DE",
        "device": "phone",
        "language": "de",
        "weight": 1,
    })
}

fn status() -> Value {
    json!({
        "changes": "ready",
        "reason": null,
        "version": "0.1.0",
        "pid": 4711,
        "uptime_seconds": 86400,
        "log": "6b3c2f8e-0d7e-4b7c-9a43-6f0f0a3f2a10",
        "last_record": 1042,
        "durability": "fsync",
        "store": "sled",
        "free_bytes": 48_318_382_080_u64,
        "reserved_bytes": 67_108_864,
        "key_filter": {"ready": true, "keys": 1_000_231, "bytes": 4_194_304, "answered": 20_511, "trouble": null},
        "clicks": {
            "keep": "details",
            "counted": 9573,
            "details": 9120,
            "details_share": 1.0,
            "dropped": 0,
            "dropped_details": 0,
            "waiting_batches": 1,
            "lag_batches": 12,
            "journal_bytes": 1_048_576,
            "synced_at": "2026-11-22T07:30:00.250Z",
            "trouble": null,
        },
        "max_clicks": {"links": 12, "links_max": 4_194_304, "refused_clicks_total": 0},
        "admin": {
            "unauthorized_total": 3,
            "forbidden_total": 1,
            "rate_limited_total": 0,
            "unavailable_total": 0,
            "connections_closed_total": 0,
            "connections_refused_total": 0,
        },
    })
}

#[cfg(test)]
mod tests;
