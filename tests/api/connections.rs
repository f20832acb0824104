//! Who may be connected, and what of that is counted.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::client::{Admin, Request};

/// As many as the server has at a time.
const CONNECTIONS: usize = 1_024;

#[test]
fn idle_connections_keep_nobody_out() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // The server has it from here.
    setrlimit(Resource::Nofile, limit).unwrap();
    let admin = Admin::start(&[]);
    let address = admin.server.admin.unwrap();
    let mut begun = TcpStream::connect(address).unwrap();
    // Less than the ten seconds after which a request that does not go on is closed anyway.
    begun.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    begun.write_all(b"GET /v1/status HTTP/1.1\r\nHost: ad").unwrap();
    let idle: Vec<_> = (0..CONNECTIONS + 5).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..3 {
        let status = admin.ask("GET", "/v1/status").send().is(200).json();
        let closed = status["admin"]["connections_closed_total"].as_u64().unwrap();
        assert!((1..20).contains(&closed), "{closed}");
    }
    // The one that began a request before all others came, and never ended it, was the first to go.
    match begun.read(&mut [0; 16]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    drop(idle);
}

#[test]
fn what_is_not_done_as_it_was_asked_is_counted() {
    let admin = Admin::start(&["--admin-rate", "2"]);
    let (read, _) = admin.create(json!({"name": "r", "scope": "read"}));
    for _ in 0..3 {
        Request::new(&admin.server, "GET", "/v1/status").send().is(401);
    }
    admin.ask_as(&read, "PUT", "/v1/hosts/a.example").json(json!({})).send().is(403);
    let limited = (0..50).filter(|_| admin.ask_as(&read, "GET", "/v1/tokens/self").send().status == 429).count();
    assert!(limited > 0);
    let status = admin.ask("GET", "/v1/status").send().is(200).json();
    let counts = &status["admin"];
    assert_eq!((&counts["unauthorized_total"], &counts["forbidden_total"]), (&json!(3), &json!(1)));
    assert_eq!(counts["rate_limited_total"], json!(limited));
    assert_eq!((&counts["unavailable_total"], &counts["connections_refused_total"]), (&json!(0), &json!(0)));
    assert_eq!(status["max_clicks"], json!({"links": 0, "links_max": 4_194_304, "refused_clicks_total": 0}));
    let data = admin.server.data();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_carom")).args(["status", "--data"]).arg(data).output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    for line in [
        "admin requests without a valid token: 3",
        "admin requests not allowed: 1",
        "links whose max_clicks are counted: 0 of at most 4194304",
    ] {
        assert!(said.contains(line), "{said}");
    }
}
