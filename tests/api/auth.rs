//! Who may do what.

use std::io::{Read, Write};
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
fn a_request_that_was_let_in_before_its_token_was_revoked_changes_nothing_after() {
    let admin = Admin::start(&[]);
    let address = admin.server.admin.unwrap();
    for (path, body) in [
        ("/v1/tokens", r#"{"name": "mine", "scope": "admin"}"#),
        ("/v1/links", r#"{"key": "a.example/late", "target": "https://to.example/"}"#),
        ("/v1/batch", r#"{"commands": [{"op": "create", "key": "a.example/late", "link": {"status": 410}}]}"#),
    ] {
        let (token, id) = admin.create(json!({"name": "a", "scope": "admin"}));
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // It is let in once its body is asked for.
        let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        let mut said = vec![0; go_on.len()];
        stream.read_exact(&mut said).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), go_on);
        admin.ask("DELETE", &format!("/v1/tokens/{id}")).send().is(204);
        let newest = admin.ask("GET", "/v1/changes").send().json()["newest"].clone();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
        assert_eq!(admin.ask("GET", "/v1/changes").send().json()["newest"], newest, "{path}");
    }
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

#[test]
fn a_token_for_some_hosts_is_told_nothing_of_others() {
    let admin = Admin::start(&[]);
    let (narrow, _) = admin.create(json!({"name": "n", "scope": "read", "hosts": ["a.example"]}));
    let (wide, _) = admin.create(json!({"name": "w", "scope": "read"}));
    let status = admin.ask_as(&narrow, "GET", "/v1/status").send().is(200).json();
    assert_eq!(status, json!({"changes": "ready", "reason": null, "version": env!("CARGO_PKG_VERSION")}));
    let status = admin.ask_as(&wide, "GET", "/v1/status").send().is(200).json();
    assert!(status["pid"].is_u64() && status["key_filter"].is_object(), "{status}");
}

#[test]
fn the_description_is_sent_once_to_who_keeps_it() {
    let admin = Admin::start(&[]);
    let ask = || Request::new(&admin.server, "GET", "/v1/openapi.json");
    let answer = ask().send().is(200);
    let tag = answer.field("etag").unwrap();
    assert!(!answer.text.contains('\n') && answer.json()["info"]["version"] == "1");
    let known = ask().field("If-None-Match", tag).send().is(304);
    assert_eq!((known.text.as_str(), known.field("etag")), ("", Some(tag)));
    // A 304 says of keeping what the answer itself does.
    assert_eq!((answer.field("cache-control"), known.field("cache-control")), (Some("no-cache"), Some("no-cache")));
    ask().field("If-None-Match", "\"other\"").field("If-None-Match", tag).send().is(304);
    ask().field("If-None-Match", "\"other\"").send().is(200);
    Request::new(&admin.server, "GET", "/v1/openapi.json?pretty=1").send().problem(400, "malformed");
}

#[test]
fn a_start_names_the_file_of_a_token_only_if_that_holds_and_warns_of_other_machines() {
    let admin = Admin::start(&[]);
    let said = |server: &Server| server.said().lock().unwrap().clone();
    assert!(said(&admin.server).contains("admin.token") && !said(&admin.server).contains("WARNING"));
    admin.create(json!({"name": "other", "scope": "admin"}));
    admin.ask("DELETE", &format!("/v1/tokens/{}", &admin.token[6..22])).send().is(204);
    let server = Server::start_on(admin.server.stop(), &["--admin", "0.0.0.0:0"]);
    let said = said(&server);
    assert!(server.data().join("admin.token").exists());
    assert!(said.contains("admin API on http://0.0.0.0:") && !said.contains("admin.token"), "{said}");
    assert!(said.contains("WARNING: the admin API can be reached from other machines"), "{said}");
}
