//! The API over the control socket and within the process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::client::{Admin, Request, exchange};
use crate::support::{PATIENCE, Server};

fn connect(server: &Server) -> UnixStream {
    let stream = carom::control_plane::connect_control(&server.data()).unwrap().expect("it runs");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn whoever_may_open_the_control_socket_may_do_all() {
    let server = Server::start(&["--admin", "none"]);
    assert!(server.admin.is_none() && !server.data().join("admin.token").exists());
    let ask = |method: &str, path: &str| Request::new(&server, method, path);
    let who = exchange(&mut connect(&server), &ask("GET", "/v1/tokens/self").text()).is(200).json();
    assert_eq!((&who["actor"], &who["token"]), (&json!("local"), &json!(null)));
    let put = ask("PUT", "/v1/hosts/a.example").json(json!({"ignore_case": true}));
    exchange(&mut connect(&server), &put.text()).is(201);
    // It needs no token, and one that does not hold makes no difference.
    exchange(&mut connect(&server), &ask("GET", "/v1/status").token("x").text()).is(200);
}

#[test]
fn only_what_comes_through_the_socket_is_local() {
    let admin = Admin::start(&[]);
    let id = admin.token[6..22].to_owned();
    let revoke = Request::new(&admin.server, "DELETE", &format!("/v1/tokens/{id}"));
    // From afar this needs a token, and would be refused with one.
    let text = revoke.text();
    revoke.send().problem(401, "unauthorized");
    exchange(&mut connect(&admin.server), &text).is(204);
    admin.ask("GET", "/v1/status").send().problem(401, "unauthorized");
}

#[test]
fn a_server_that_stops_lets_go_of_idle_streams() {
    let mut server = Server::start(&[]);
    let stream = connect(&server);
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait(PATIENCE).success());
    let mut rest = String::new();
    let mut reader = BufReader::new(stream);
    // Whatever can still be written, nothing comes back.
    let _ = reader.get_mut().write_all(b"GET /v1/status HTTP/1.1\r\n\r\n");
    assert_eq!(reader.read_line(&mut rest).unwrap_or(0), 0);
}
