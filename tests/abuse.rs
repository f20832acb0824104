//! Bad input never kills it: after each of these the process is there, and the next good request is answered.

mod support;

use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::{Client, DRIVERS, Server, has_driver};

const LINKS: &str = "/sale,https://shop.example/sale,302\n";
const REQUEST: &str = "GET /sale HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test\r\n\r\n";

fn on_each_driver(test: impl Fn(&mut Server)) {
    for driver in DRIVERS.into_iter().filter(|driver| has_driver(driver)) {
        let mut server = Server::with_links(LINKS, &["--driver", driver, "--workers", "1"]);
        test(&mut server);
        assert!(server.is_running());
        assert_eq!(server.connect().get("a.example", "/sale").status, 302);
    }
}

#[test]
fn random_bytes() {
    on_each_driver(|server| {
        let address = server.address;
        let bytes = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            // Nearly a request: one byte of it is another.
            (0..REQUEST.len(), any::<u8>()).prop_map(|(at, byte)| {
                let mut bytes = REQUEST.as_bytes().to_vec();
                bytes[at] = byte;
                bytes
            }),
        ];
        let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
        runner
            .run(&bytes, |bytes| {
                let mut client = Client::connect(address);
                client.send(&bytes);
                client.stream().shutdown(std::net::Shutdown::Write).unwrap();
                while client.try_answer(false).is_some() {}
                let mut next = Client::connect(address);
                prop_assert_eq!(next.get("a.example", "/sale").status, 302);
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn a_request_in_single_bytes() {
    on_each_driver(|server| {
        let mut client = server.connect();
        for _ in 0..2 {
            for byte in REQUEST.bytes() {
                client.send([byte]);
                // So that it travels, and is read, alone.
                std::thread::sleep(Duration::from_micros(200));
            }
            assert_eq!(client.answer(false).status, 302);
        }
    });
}

#[test]
fn a_header_of_a_megabyte() {
    on_each_driver(|server| {
        let mut client = server.connect();
        client.send(format!("GET /sale HTTP/1.1\r\nHost: a.example\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)));
        assert_eq!(client.answer(false).status, 431);
    });
}

#[test]
fn a_body_without_end() {
    on_each_driver(|server| {
        let mut client = server.connect();
        client.send("POST /sale HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.field("connection")), (405, Some("close")));
        // The server takes some of it, so that its answer gets through, and then no more.
        let mut sent = 0;
        while client.stream().write_all(&[b'x'; 4096]).is_ok() {
            sent += 4096;
            assert!(sent < 64 << 20, "the server reads a body without end");
        }
    });
}

#[test]
fn ten_thousand_idle_connections() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CONNECTIONS: u64 = 10_000;
    let maximum = getrlimit(Resource::Nofile).maximum;
    if maximum.is_some_and(|maximum| maximum < CONNECTIONS + 100) {
        support::not_run(&format!("{CONNECTIONS} idle connections: this process may open {maximum:?} files"));
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    on_each_driver(|server| {
        let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.connect()).collect();
        assert_eq!(server.connect().get("a.example", "/sale").status, 302);
        // They are all still served.
        for client in clients.iter_mut().step_by(97) {
            assert_eq!(client.get("a.example", "/sale").status, 302);
        }
    });
}
