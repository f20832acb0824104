//! Tokens.

use std::path::Path;

use serde_json::json;

use crate::client::Admin;

#[test]
fn a_token_is_shown_once_and_kept_nowhere() {
    let admin = Admin::start(&[]);
    let answer = admin.ask("POST", "/v1/tokens").json(json!({"name": " deploy ", "scope": "write"})).send().is(201);
    let location = answer.field("location").unwrap().to_owned();
    let created = answer.json();
    assert_eq!((&created["name"], &created["hosts"]), (&json!("deploy"), &json!([])));
    let token = created["token"].as_str().unwrap();
    let answer = admin.ask("GET", &location).send().is(200);
    assert!(!answer.text.contains(&token[23..]) && answer.json().get("token").is_none(), "{answer:?}");
    let list = admin.ask("GET", "/v1/tokens").send().is(200);
    assert_eq!(list.json()["tokens"].as_array().unwrap().len(), 2);
    assert!(!list.text.contains(&token[23..]));
    let data = admin.server.stop();
    // That of the first token is where it should be, and nowhere else.
    assert_eq!(files_with(data.path(), &token.as_bytes()[23..]), Vec::<String>::new());
    assert_eq!(files_with(data.path(), &admin.token.as_bytes()[23..]), ["admin.token"]);
}

fn files_with(dir: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if path.is_file() && std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn what_a_token_can_not_be_is_said() {
    let admin = Admin::start(&[]);
    let post = |body| admin.ask("POST", "/v1/tokens").json(body).send().problem(422, "invalid");
    let fields = |problem: serde_json::Value| {
        problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["field"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(fields(post(json!({}))), ["name", "scope"]);
    let body =
        json!({"name": "", "scope": "root", "hosts": ["a b"], "expires_at": "2001-01-01T00:00:00Z", "token": "x"});
    assert_eq!(fields(post(body)), ["token", "name", "scope", "hosts[0]", "expires_at"]);
    let hosts: Vec<String> = (0..101).map(|number| format!("h{number}.example")).collect();
    assert_eq!(fields(post(json!({"name": "a", "scope": "read", "hosts": hosts}))), ["hosts"]);
    let hosts = json!(["a.example", "a b", 7]);
    assert_eq!(fields(post(json!({"name": "a", "scope": "read", "hosts": hosts}))), ["hosts[1]", "hosts[2]"]);
    // No host would be every host.
    let problem = post(json!({"name": "a", "scope": "read", "hosts": []}));
    assert!(problem["detail"].as_str().unwrap().contains("leave it out for all hosts"), "{problem}");
}

#[test]
fn what_means_nothing_is_refused_and_nothing_is_done() {
    let admin = Admin::start(&[]);
    let (_, id) = admin.create(json!({"name": "a", "scope": "read"}));
    let path = format!("/v1/tokens/{id}");
    let new = || json!({"name": "b", "scope": "read"});
    admin.ask("POST", "/v1/tokens?dry_run=true").json(new()).send().problem(400, "malformed");
    admin.ask("DELETE", &format!("{path}?version=9")).send().problem(400, "malformed");
    for path in [&*path, "/v1/tokens/self", "/v1/status"] {
        admin.ask("GET", &format!("{path}?fields=id")).send().problem(400, "malformed");
    }
    for (field, value) in [("If-Match", "\"1\""), ("If-None-Match", "*"), ("Idempotency-Key", "k")] {
        let problem = admin.ask("POST", "/v1/tokens").field(field, value).json(new()).send().problem(400, "malformed");
        assert_eq!(problem["errors"][0]["field"], field.to_ascii_lowercase());
        admin.ask("DELETE", &path).field(field, value).send().problem(400, "malformed");
    }
    assert_eq!(admin.ask("GET", "/v1/tokens").send().is(200).json()["tokens"].as_array().unwrap().len(), 2);
}

#[test]
fn the_last_that_can_make_others_stays() {
    let admin = Admin::start(&[]);
    let first = format!("/v1/tokens/{}", &admin.token[6..22]);
    admin.create(json!({"name": "narrow", "scope": "admin", "hosts": ["a.example"]}));
    admin.ask("DELETE", &first).send().problem(409, "conflict");
    let (second, _) = admin.create(json!({"name": "second", "scope": "admin"}));
    admin.ask("DELETE", &first).send().is(204);
    admin.ask("GET", "/v1/status").send().problem(401, "unauthorized");
    admin.ask_as(&second, "GET", "/v1/status").send().is(200);
}
