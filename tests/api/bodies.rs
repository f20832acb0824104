//! What is said to bodies that can't be taken.

use serde_json::json;

use crate::client::Admin;

#[test]
fn what_is_no_json_object_is_refused_with_its_place() {
    let admin = Admin::start(&[]);
    let put = || admin.ask("PUT", "/v1/hosts/a.example");
    let problem = put().body("application/json", "{\"a\": 1,\n x}").send().problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("line 2 column 2"), "{problem}");
    put().body("application/json", "").send().problem(400, "malformed");
    put().json(json!([])).send().problem(422, "invalid");
    put().body("text/plain", "{}").send().problem(415, "media-type");
    put().body("application/merge-patch+json", "{}").send().problem(415, "media-type");
    put().send().problem(415, "media-type");
    put().body("application/json; charset=utf-8", "{}").send().is(201);
    let deep = "[".repeat(100_000);
    put().body("application/json", deep).send().problem(400, "malformed");
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let admin = Admin::start(&[]);
    let large = json!({ "robots_tag": "a".repeat(2 << 20) });
    admin.ask("PUT", "/v1/hosts/a.example").json(large).send().problem(413, "too-large");
}

#[test]
fn all_fields_that_are_wrong_are_named_with_value_and_reason() {
    let admin = Admin::start(&[]);
    let body = json!({
        "default_statis": 301,
        "query_policy": "keep",
        "ignore_case": "yes",
        "cache_jitter_percent": 91,
        "fallback": "https://a.example/?b",
        "allowed_targets": ["ok.example", "no/pe"],
        "unknown_hosts": "serve",
    });
    let problem = admin.ask("PUT", "/v1/hosts/a.example").json(body).send().problem(422, "invalid");
    let errors = problem["errors"].as_array().unwrap();
    let error = |field: &str| {
        let found = errors.iter().find(|error| error["field"] == field);
        found.unwrap_or_else(|| panic!("{field}: {problem}")).clone()
    };
    assert_eq!(errors.len(), 7, "{problem}");
    assert_eq!(error("default_statis")["reason"], "unknown field `default_statis`; did you mean `default_status`?");
    assert_eq!(error("query_policy")["value"], "keep");
    assert_eq!(error("ignore_case")["reason"], "true or false is expected, not a text");
    assert_eq!(error("cache_jitter_percent")["value"], 91);
    assert!(error("fallback")["reason"].as_str().unwrap().contains("query"));
    assert!(error("allowed_targets")["reason"].as_str().unwrap().contains("no/pe"));
    assert!(error("unknown_hosts")["reason"].as_str().unwrap().contains('*'));
}

#[test]
fn parameters_are_read_as_strictly() {
    let admin = Admin::start(&[]);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=%2B1", "limit"),
        ("limt=1", "limt"),
        ("cursor=!", "cursor"),
    ] {
        let problem = admin.ask("GET", &format!("/v1/hosts?{query}")).send().problem(400, "malformed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    admin.ask("GET", "/v1/hosts?limit=1&limit=2").send().problem(400, "malformed");
    let problem = admin.ask("GET", "/v1/hosts/A%20Example").send().problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("A Example"), "{problem}");
    let problem = admin.ask("GET", "/v1/hosts/A.Example").send().problem(404, "not-found");
    assert!(problem["detail"].as_str().unwrap().contains("`a.example`"), "{problem}");
}
