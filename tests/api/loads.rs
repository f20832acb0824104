//! Bodies that are meant to take room from others.

use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use crate::client::Admin;
use crate::support::PATIENCE;

/// Most bytes of a body with many commands.
const BATCH_BYTES: usize = 8 << 20;

/// The most memory that a server ever had, in KiB.
fn peak_kib(admin: &Admin) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", admin.server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn a_body_does_not_become_many_times_as_large() {
    let admin = Admin::start(&[]);
    let before = peak_kib(&admin);
    let filled = |item: &str| {
        let items = vec![item; (BATCH_BYTES - 100) / (item.len() + 1)].join(",");
        format!(r#"{{"x":[{items}],"commands":[]}}"#)
    };
    for item in [r#"{"":0}"#, "0", "[]"] {
        let problem = admin.ask("POST", "/v1/batch").body("application/json", filled(item));
        let problem = problem.send().problem(413, "too-large");
        assert!(problem["detail"].as_str().unwrap().contains("65536 values"), "{problem}");
    }
    // As many as may be, where they are ignored and where they are not known.
    let items = vec![r#"{"":0}"#; 30_000].join(",");
    let ignored = format!(
        r#"{{"commands":[{{"op":"put","key":"/a","link":{{"target":"https://b.example/","id":[{items}]}}}}]}}"#
    );
    admin.ask("POST", "/v1/batch").body("application/json", ignored).send().is(200);
    let unknown = format!(r#"{{"x":[{items}],"commands":[]}}"#);
    let problem = admin.ask("POST", "/v1/batch").body("application/json", unknown).send().problem(422, "invalid");
    assert!(problem["errors"][0]["value"].as_str().unwrap().len() < 1_000, "{problem}");
    let one = format!(r#"{{"target":"https://b.example/","id":[{items}]}}"#);
    admin.ask("PUT", "/v1/links/*%2Fa").body("application/json", one).send().problem(413, "too-large");
    // The text is held, and what it may become.
    let grown = peak_kib(&admin) - before;
    assert!(grown < 128 * 1024, "{grown} KiB");
}

#[test]
fn bodies_of_one_caller_that_never_end_shut_nobody_out() {
    let admin = Admin::start(&[]);
    let (token, _) = admin.create(json!({"name": "t", "scope": "write", "hosts": ["other.example"]}));
    let open = || {
        let mut stream = TcpStream::connect(admin.server.admin.unwrap()).unwrap();
        let head = format!(
            "POST /v1/batch HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {BATCH_BYTES}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // It may be refused before all of it is sent.
        let _ = stream.write_all(&vec![b' '; BATCH_BYTES - 1]);
        stream
    };
    let held: Vec<TcpStream> = (0..8).map(|_| open()).collect();
    let long = json!({"commands": [{"op": "put", "key": "/a", "link": {"target": "https://b.example/"}}]}).to_string();
    let long = long + &" ".repeat(1 << 20);
    admin.ask("POST", "/v1/batch").body("application/json", long).send().is(200);
    admin.ask("POST", "/v1/links").json(json!({"target": "https://b.example/"})).send().is(201);
    // Short ones are read, whoever sends them.
    let own = json!({"key": "other.example/a", "target": "https://b.example/"});
    admin.ask_as(&token, "POST", "/v1/links").json(own).send().is(201);
    drop(held);
}
