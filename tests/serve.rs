//! The server on the wire: what it answers, when it closes, and how it ends.

mod support;

use std::io::Read;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Client, DRIVERS, PATIENCE, Server, has_driver};

const LINKS: &str = "\
/sale,https://shop.example/sale,302
www.example.com/old,https://www.example.com/new,301
www.example.com/gone,,410
www.example.com/detail?itemid=7,https://www.example.com/items/7,308
www.example.com/detail,https://www.example.com/items,307
see.example/,https://www.example.com/see,303
";

/// Runs a test on every driver that this machine has.
fn on_each_driver(links: &str, arguments: &[&str], test: impl Fn(&mut Server)) {
    for driver in DRIVERS.into_iter().filter(|driver| has_driver(driver)) {
        let workers: &[&str] = if arguments.contains(&"--workers") { &[] } else { &["--workers", "2"] };
        let arguments = [&["--driver", driver], workers, arguments].concat();
        test(&mut Server::with_links(links, &arguments));
    }
}

#[test]
fn links_of_every_kind_are_answered() {
    on_each_driver(LINKS, &[], |server| {
        let mut client = server.connect();
        for (host, target, status, location) in [
            ("anything.example", "/sale", 302, Some("https://shop.example/sale")),
            ("www.example.com", "/old", 301, Some("https://www.example.com/new")),
            ("WWW.Example.COM.:8080", "/x/../old?utm=1", 301, Some("https://www.example.com/new")),
            ("www.example.com", "/gone", 410, None),
            ("www.example.com", "/detail?itemid=7", 308, Some("https://www.example.com/items/7")),
            ("www.example.com", "/detail?itemid=8", 307, Some("https://www.example.com/items")),
            ("www.example.com", "http://see.example", 303, Some("https://www.example.com/see")),
            ("other.example", "/old", 404, None),
        ] {
            let answer = client.get(host, target);
            assert_eq!((answer.status, answer.field("location")), (status, location), "{host} {target}");
            assert!(answer.field("date").unwrap().ends_with(" GMT"));
            assert!(answer.field("cache-control").is_some());
            assert_eq!(answer.field("server"), None);
            let head = client.send(format!("HEAD {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).answer(true);
            assert_eq!((head.status, head.field("location")), (status, location), "HEAD {host} {target}");
            assert_eq!(head.field("content-length"), answer.field("content-length"));
        }
    });
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    on_each_driver(LINKS, &[], |server| {
        let requests: Vec<String> = (0..500)
            .map(|index| match index % 3 {
                0 => "GET /sale HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                1 => format!("GET /unknown{index} HTTP/1.1\r\nHost: a\r\n\r\n"),
                _ => "HEAD /gone HTTP/1.1\r\nHost: www.example.com\r\n\r\n".to_owned(),
            })
            .collect();
        let mut client = server.connect();
        client.send(requests.concat());
        for index in 0..requests.len() {
            let answer = client.answer(index % 3 == 2);
            assert_eq!(answer.status, [302, 404, 410][index % 3], "{index}");
        }
    });
}

#[test]
fn what_can_not_be_answered_is_refused_with_the_right_status() {
    let long = "x".repeat(9_000);
    let many = "X: y\r\n".repeat(200);
    let big = format!("X: {}\r\n", "y".repeat(20_000));
    let host = "Host: a\r\n";
    on_each_driver(LINKS, &[], |server| {
        for (request, status, closes) in [
            (format!("POST /sale HTTP/1.1\r\n{host}\r\n"), 405, false),
            (format!("POST /sale HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"), 405, true),
            (format!("BREW /sale HTTP/1.1\r\n{host}\r\n"), 501, false),
            ("GET /sale HTTP/1.1\r\n\r\n".to_owned(), 400, true),
            (format!("GET /sale HTTP/1.1\r\n{host}{host}\r\n"), 400, true),
            ("\0\r\n\r\n".to_owned(), 400, true),
            (format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 414, true),
            (format!("GET /sale HTTP/1.1\r\n{host}{many}\r\n"), 431, true),
            (format!("GET /sale HTTP/1.1\r\n{host}{big}\r\n"), 431, true),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505, true),
            (format!("GET /sale HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), 302, true),
            ("GET /sale HTTP/1.0\r\n\r\n".to_owned(), 302, true),
            ("GET /sale HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(), 302, false),
        ] {
            let mut client = server.connect();
            let answer = client.send(&request).answer(false);
            let request = &request[..request.len().min(60)];
            assert_eq!(answer.status, status, "{request}");
            assert_eq!(answer.field("allow"), (status == 405).then_some("GET, HEAD"), "{request}");
            assert_eq!(answer.field("connection") == Some("close"), closes, "{request}");
            if closes {
                assert!(client.is_closed(), "{request}");
            } else {
                assert_eq!(client.get("a", "/sale").status, 302, "{request}");
            }
        }
    });
}

#[test]
fn who_is_slow_is_not_waited_for() {
    let timeouts = ["--idle-timeout", "1", "--header-timeout", "1", "--write-timeout", "1"];
    on_each_driver(LINKS, &timeouts, |server| {
        let begun = Instant::now();
        let mut idle = server.connect();
        let mut used = server.connect();
        assert_eq!(used.get("a", "/sale").status, 302);
        let mut slow = server.connect();
        slow.send("GET /sale HTTP/1.1\r\nHo");
        // One that never reads: its answers fill every buffer on the way.
        let mut deaf = server.connect();
        deaf.stream().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let requests = "GET /sale HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
        let mut writes = 0;
        while std::io::Write::write_all(deaf.stream(), requests.as_bytes()).is_ok() {
            writes += 1;
            assert!(writes < 10_000, "the server takes requests without end from a client that takes no answers");
        }

        assert!(idle.is_closed());
        assert!(used.is_closed());
        let answer = slow.answer(false);
        assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
        assert!(slow.is_closed());
        // A tick that comes late on a busy machine takes its delay from the second before the next one.
        assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
        // Long enough that it was given up: what it gets then is what was on the way, and not all its answers.
        std::thread::sleep(Duration::from_secs(3));
        let mut rest = Vec::new();
        // The end may be a reset, since the server had not read everything.
        let _ = deaf.stream().read_to_end(&mut rest);
        let answers = rest.windows(13).filter(|bytes| bytes == b"HTTP/1.1 302 ").count();
        assert!(answers < writes * 1_000, "{answers} answers to {writes},000 requests");
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert_eq!(server.connect().get("a", "/sale").status, 302);
    });
}

#[test]
fn connections_over_the_limit_are_refused() {
    on_each_driver(LINKS, &["--workers", "1", "--max-connections", "3"], |server| {
        let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("a", "/sale").status, 302);
        }
        let mut refused = server.connect();
        let answer = refused.answer(false);
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
        drop(clients);
        drop(refused);
        let begun = Instant::now();
        loop {
            let mut client = server.connect();
            client.send("GET /sale HTTP/1.1\r\nHost: a\r\n\r\n");
            // Far over the limit a connection is closed without a word.
            if client.try_answer(false).is_some_and(|answer| answer.status == 302) {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "no connection is accepted again");
        }
    });
}

#[test]
fn a_stop_answers_what_was_asked_and_ends_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        on_each_driver(LINKS, &["--drain-timeout", "10"], |server| {
            let mut idle = server.connect();
            assert_eq!(idle.get("a", "/sale").status, 302);
            let mut begun = server.connect();
            begun.send("GET /sale HTTP/1.1\r\nHost: a\r\n");
            let mut waiting: Vec<Client> = (0..50).map(|_| server.connect()).collect();
            for client in &mut waiting {
                client.send("GET /sale HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            server.signal(signal);
            let start = Instant::now();
            // Idle ones are closed.
            assert!(idle.is_closed());
            // Those that had asked are answered, and told that it was the last time.
            for client in &mut waiting {
                let answer = client.answer(false);
                assert_eq!(answer.status, 302);
            }
            // Who comes now is refused at once, and not left waiting.
            let refused = std::net::TcpStream::connect(server.address);
            assert!(refused.is_err(), "{refused:?}");
            // One that was asking may finish.
            begun.send("\r\n");
            let answer = begun.answer(false);
            assert_eq!((answer.status, answer.field("connection")), (302, Some("close")));
            assert!(begun.is_closed());
            assert_eq!(server.wait(PATIENCE).code(), Some(0));
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        });
    }
}

#[test]
fn a_stop_does_not_wait_longer_than_it_was_told() {
    on_each_driver(LINKS, &["--drain-timeout", "1", "--header-timeout", "60"], |server| {
        let mut never_done = server.connect();
        never_done.send("GET /sale HTTP/1.1\r\nHost: a\r\n");
        // Until its bytes have arrived, it would count as idle.
        assert_eq!(server.connect().get("a", "/sale").status, 302);
        std::thread::sleep(Duration::from_millis(100));
        server.signal(Signal::TERM);
        let start = Instant::now();
        assert_eq!(server.wait(PATIENCE).code(), Some(0));
        assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
        assert!(start.elapsed() <= Duration::from_millis(1_500), "{:?}", start.elapsed());
    });
}

#[test]
fn an_address_that_is_taken_is_refused_with_a_way_out() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(&[]);
    for address in [foreign.local_addr().unwrap(), server.address] {
        let data = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_carom"))
            .args(["serve", "--admin", "none", "--listen", &address.to_string(), "--data"])
            .arg(data.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&address.to_string()) && text.contains("--listen"), "{text}");
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_harms_nothing() {
    let mut server = Server::with_links(LINKS, &[]);
    let output = Command::new(env!("CARGO_BIN_EXE_carom"))
        .args(["serve", "--admin", "none", "--listen", "127.0.0.1:0", "--data"])
        .arg(server.data())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("in use by process") && text.contains("--data"), "{text}");
    assert!(server.is_running());
    assert_eq!(server.connect().get("a", "/sale").status, 302);
}

#[test]
fn links_are_there_again_after_a_restart() {
    let server = Server::with_links(LINKS, &[]);
    assert_eq!(server.connect().get("www.example.com", "/gone").status, 410);
    let server = Server::start_on(server.stop(), &[]);
    assert_eq!(server.connect().get("www.example.com", "/gone").status, 410);
}

#[test]
fn who_asks_without_end_does_not_keep_others_waiting() {
    on_each_driver(LINKS, &["--workers", "1"], |server| {
        let mut greedy = server.connect();
        let mut reader = greedy.stream().try_clone().unwrap();
        let mut writer = greedy.stream().try_clone().unwrap();
        let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let writing = std::thread::spawn(move || {
            let requests = "GET /sale HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
            while std::io::Write::write_all(&mut writer, requests.as_bytes()).is_ok() {}
        });
        for _ in 0..20 {
            let start = Instant::now();
            assert_eq!(server.connect().get("a", "/sale").status, 302);
            // Kept waiting it would be for ever; on a busy machine it may be a while.
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        }
        greedy.stream().shutdown(std::net::Shutdown::Both).unwrap();
        writing.join().unwrap();
        let _ = reading.join().unwrap();
    });
}
