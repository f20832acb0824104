//! Settings of hosts.

use serde_json::{Value, json};

use crate::client::Admin;

#[test]
fn settings_are_set_read_changed_and_taken_away() {
    let admin = Admin::start(&[]);
    let path = "/v1/hosts/a.example";
    admin.ask("GET", path).send().problem(404, "not-found");
    let answer = admin.ask("PUT", path).json(json!({"default_status": 301, "robots_tag": "noindex"})).send().is(201);
    assert_eq!(answer.field("etag"), Some("\"1\""));
    let set = answer.json();
    assert_eq!(
        (&set["default_status"], &set["query_policy"], &set["version"]),
        (&json!(301), &json!("drop"), &json!(1))
    );
    assert_eq!((&set["fallback"], set.get("unknown_hosts")), (&Value::Null, None));
    // What was answered can be sent back, and changes nothing.
    let answer = admin.ask("PUT", path).json(set.clone()).send().is(200);
    assert_eq!((answer.field("etag"), answer.json()), (Some("\"1\""), set));
    // PUT leaves nothing of what it does not say.
    let answer = admin.ask("PUT", path).json(json!({"ignore_case": true})).send().is(200).json();
    assert_eq!(
        (&answer["default_status"], &answer["robots_tag"], &answer["version"]),
        (&json!(302), &Value::Null, &json!(2))
    );
    // PATCH leaves all that it does not say; null is the default.
    let patch = json!({"ignore_case": null, "fallback": "https://b.example/c", "code_length": 9});
    let answer = admin.ask("PATCH", path).body("application/merge-patch+json", patch.to_string()).send().is(200).json();
    assert_eq!((&answer["ignore_case"], &answer["fallback"]), (&json!(false), &json!("https://b.example/c")));
    let answer = admin.ask("PATCH", path).json(json!({"code_length": null})).send().is(200);
    assert_eq!(answer.field("etag"), Some("\"4\""));
    assert_eq!((&answer.json()["code_length"], &answer.json()["fallback"]), (&json!(7), &json!("https://b.example/c")));
    admin.ask("DELETE", path).send().is(204);
    admin.ask("DELETE", path).send().problem(404, "not-found");
    admin.ask("PATCH", path).json(json!({})).send().problem(404, "not-found");
}

#[test]
fn preconditions_are_kept() {
    let admin = Admin::start(&[]);
    let path = "/v1/hosts/*";
    let ask = |method: &str, field: &str, value: &str| admin.ask(method, path).field(field, value);
    let json = || json!({"unknown_hosts": "not_found"});
    ask("PUT", "If-Match", "*").json(json()).send().problem(412, "version-mismatch");
    ask("DELETE", "If-Match", "*").send().problem(404, "not-found");
    assert_eq!(ask("PUT", "If-None-Match", "*").json(json()).send().is(201).json()["unknown_hosts"], "not_found");
    ask("PUT", "If-None-Match", "*").json(json()).send().problem(412, "version-mismatch");
    for method in ["PUT", "PATCH", "DELETE"] {
        ask(method, "If-Match", "\"7\"").json(json()).send().problem(412, "version-mismatch");
        ask(method, "If-Match", "W/\"1\"").json(json()).send().problem(400, "malformed");
        ask(method, "If-Match", "\"1\", \"2\"").json(json()).send().problem(400, "malformed");
    }
    ask("PATCH", "If-Match", "\"1\"").json(json!({"ignore_case": true})).send().is(200);
    ask("DELETE", "If-Match", "\"2\"").send().is(204);
}

#[test]
fn targets_are_judged_by_what_is_set_with_them() {
    let admin = Admin::start(&[]);
    let put = |host: &str, body: Value| admin.ask("PUT", &format!("/v1/hosts/{host}")).json(body).send();
    put("*", json!({"denied_targets": ["*.bad.example"]})).is(201);
    put("a.example", json!({"fallback": "https://x.bad.example/"})).problem(422, "invalid");
    put("a.example", json!({"fallback": "https://u:p@good.example/"})).problem(422, "invalid");
    put("a.example", json!({"fallback": "https://u:p@good.example/", "allow_userinfo": true})).is(201);
    // What stays has to go with what is new.
    let answer = admin.ask("PATCH", "/v1/hosts/a.example").json(json!({"allow_userinfo": false})).send();
    assert_eq!(answer.problem(422, "invalid")["errors"][0]["field"], "fallback");
}

#[test]
fn pages_follow_each_other_to_the_end() {
    let admin = Admin::start(&[]);
    for host in ["c.example", "a.example", "b.example"] {
        admin.ask("PUT", &format!("/v1/hosts/{host}")).json(json!({})).send().is(201);
    }
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = admin.ask("GET", &format!("/v1/hosts?limit=1{cursor}")).send().is(200).json();
        seen.push(page["hosts"][0]["host"].as_str().unwrap().to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["a.example", "b.example", "c.example"]);
}
