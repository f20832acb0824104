//! Who may do what.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use crate::client::{Admin, Request, first_token};
use crate::support::Server;

#[test]
fn the_first_token_lies_in_the_data_directory_for_its_owner_only() {
    let admin = Admin::start(&[]);
    let file = admin.server.data().join("admin.token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!admin.server.data().join("admin.token.new").exists());
    let (prefix, rest) = admin.token.split_at(6);
    let (id, secret) = rest.split_once('_').unwrap();
    assert_eq!((prefix, id.len(), secret.len()), ("carom_", 16, 43));
    let who = admin.ask("GET", "/v1/tokens/self").send().is(200).json();
    assert_eq!((&who["scope"], &who["token"]["name"]), (&json!("admin"), &json!("first")));
    // The next start makes no other.
    let data = admin.server.stop();
    let server = Server::start_on(data, &[]);
    assert_eq!(first_token(&server), admin.token);
    Request::new(&server, "GET", "/v1/status").token(&admin.token).send().is(200);
}

#[test]
fn without_a_token_that_holds_there_is_nothing_but_the_description() {
    let admin = Admin::start(&[]);
    let ask = |path| Request::new(&admin.server, "GET", path);
    let answer = ask("/v1/status").send();
    assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"carom\""));
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    answer.problem(401, "unauthorized");
    let mut other = admin.token.clone();
    let last = other.pop().unwrap();
    other.push(if last == 'A' { 'E' } else { 'A' });
    for value in [
        format!("Bearer {other}"),
        format!("Basic {}", admin.token),
        "Bearer carom_0000000000000000_".to_owned() + &"A".repeat(43),
        "Bearer".to_owned(),
        "Bearer x".to_owned(),
    ] {
        ask("/v1/status").field("Authorization", &value).send().problem(401, "unauthorized");
    }
    ask("/v1/status").token(&admin.token).token(&admin.token).send().problem(401, "unauthorized");
    assert_eq!(ask("/v1/openapi.json").send().is(200).json()["openapi"], "3.1.0");
    let answer = ask("/v1/nothing").send();
    answer.problem(404, "not-found");
    let answer = Request::new(&admin.server, "POST", "/v1/status").send();
    assert!(answer.field("allow").is_some_and(|allow| allow.contains("GET")), "{answer:?}");
    answer.problem(405, "method-not-allowed");
}

#[test]
fn a_token_allows_what_its_scope_and_hosts_say() {
    let admin = Admin::start(&[]);
    let put = |token: &str, host: &str| {
        admin.ask_as(token, "PUT", &format!("/v1/hosts/{host}")).json(json!({})).send().status
    };
    let get = |token: &str, path: &str| admin.ask_as(token, "GET", path).send().status;
    let (read, _) = admin.create(json!({"name": "r", "scope": "read"}));
    let (write, _) = admin.create(json!({"name": "w", "scope": "write"}));
    let (narrow, _) = admin.create(json!({"name": "n", "scope": "admin", "hosts": ["A.example"]}));
    assert_eq!((put(&read, "a.example"), put(&write, "a.example")), (403, 403));
    assert_eq!((put(&narrow, "a.example"), put(&narrow, "b.example"), put(&narrow, "*")), (201, 403, 403));
    assert_eq!((put(&admin.token, "b.example"), put(&admin.token, "*")), (201, 201));
    assert_eq!((get(&read, "/v1/hosts/b.example"), get(&narrow, "/v1/hosts/b.example")), (200, 403));
    for path in ["/v1/tokens", "/v1/tokens/00ff010203040506"] {
        assert_eq!((get(&read, path), get(&write, path), get(&narrow, path)), (403, 403, 403));
    }
    let hosts = |token: &str| {
        let list = admin.ask_as(token, "GET", "/v1/hosts").send().is(200).json();
        list["hosts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|host| host["host"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(hosts(&read), ["*", "a.example", "b.example"]);
    assert_eq!(hosts(&narrow), ["a.example"]);
    let problem = admin.ask_as(&read, "PUT", "/v1/hosts/a.example").send().problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("scope admin"), "{problem}");
}

#[test]
fn a_token_ends_when_it_is_revoked_or_expires() {
    let admin = Admin::start(&[]);
    let (token, id) = admin.create(json!({"name": "a", "scope": "read"}));
    admin.ask_as(&token, "GET", "/v1/status").send().is(200);
    admin.ask("DELETE", &format!("/v1/tokens/{id}")).send().is(204);
    admin.ask_as(&token, "GET", "/v1/status").send().problem(401, "unauthorized");
    admin.ask("DELETE", &format!("/v1/tokens/{id}")).send().problem(404, "not-found");

    let soon = std::time::SystemTime::now() + Duration::from_millis(1_500);
    let soon = i64::try_from(soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let soon = jiff::Timestamp::from_millisecond(soon).unwrap().to_string();
    let (token, _) = admin.create(json!({"name": "a", "scope": "read", "expires_at": soon}));
    admin.ask_as(&token, "GET", "/v1/status").send().is(200);
    std::thread::sleep(Duration::from_millis(1_600));
    let problem = admin.ask_as(&token, "GET", "/v1/status").send().problem(401, "unauthorized");
    assert!(problem["detail"].as_str().unwrap().contains("expired"), "{problem}");
}

#[test]
fn too_many_requests_are_told_so() {
    let admin = Admin::start(&["--admin-rate", "2"]);
    let limited = (0..20).map(|_| admin.ask("GET", "/v1/tokens/self").send()).find(|answer| answer.status == 429);
    let limited = limited.expect("twenty requests take less than nine seconds");
    assert!(limited.field("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    limited.problem(429, "rate-limited");
    // Those without a token that holds have a limit of their own.
    let mut kinds = (0..200).map(|_| Request::new(&admin.server, "GET", "/v1/status").token("x").send().status);
    assert!(kinds.any(|status| status == 429));
}

#[test]
fn a_busy_port_is_an_error_with_a_way_out() {
    let admin = Admin::start(&[]);
    let address = admin.server.admin.unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_carom"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", &address, "--data"])
        .arg(data.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [&*address, "--admin 127.0.0.1:0", "--admin none"] {
        assert!(said.contains(part), "{said}");
    }
}
