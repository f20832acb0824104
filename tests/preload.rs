//! A server that fills its cache before it listens, and one that knows which keys there are.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::{PATIENCE, Server};

const LINKS: usize = 3_000;

fn rows() -> String {
    (0..LINKS).map(|number| format!("short.example/{number},https://to.example/{number},302\n")).collect()
}

fn carom(server: &Server, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_carom")).args(arguments).arg("--data").arg(server.data()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A number that `carom status` says.
fn status(server: &Server, key: &str) -> String {
    let said = carom(server, &["status"]);
    let value = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {key} in {said}")).to_owned()
}

fn location(server: &Server, path: &str) -> Option<String> {
    server.connect().get("short.example", path).field("location").map(str::to_owned)
}

#[track_caller]
fn wait_until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Links of before a start, of its import, and of after it; changed and deleted ones.
fn changes_are_seen(server: &Server) {
    for number in [0, 17, LINKS - 1] {
        assert_eq!(location(server, &format!("/{number}")), Some(format!("https://to.example/{number}")));
    }
    carom(server, &["link", "set", "short.example/17", "--target", "https://new.example/17"]);
    assert_eq!(location(server, "/17").as_deref(), Some("https://new.example/17"));
    assert_eq!(location(server, "/another"), None);
    carom(server, &["link", "add", "short.example/another", "--target", "https://to.example/another"]);
    assert_eq!(location(server, "/another").as_deref(), Some("https://to.example/another"));
    carom(server, &["link", "rm", "short.example/another"]);
    assert_eq!(location(server, "/another"), None);
    carom(server, &["link", "add", "short.example/another", "--target", "https://to.example/once-more"]);
    assert_eq!(location(server, "/another").as_deref(), Some("https://to.example/once-more"));
    carom(server, &["link", "rm", "short.example/another"]);
    carom(server, &["link", "set", "short.example/17", "--target", "https://to.example/17"]);
}

#[test]
fn a_server_preloads_what_it_imports_and_what_it_has() {
    let server = Server::with_links(&rows(), &["--preload", "--workers", "2"]);
    let preloaded = format!("carom: preloaded {} links in ", text(LINKS));
    assert!(server.said().lock().unwrap().contains(&preloaded), "{:?}", server.said());
    changes_are_seen(&server);
    for store in ["fjall", "sled"] {
        let data = Server::start_on(tempfile::tempdir().unwrap(), &["--store", store]).stop();
        let file = data.path().join("links.csv");
        std::fs::write(&file, format!("source,target,status\n{}", rows())).unwrap();
        let data = Server::start_on(data, &["--import", file.to_str().unwrap()]).stop();
        let server = Server::start_on(data, &["--preload"]);
        assert!(server.said().lock().unwrap().contains(&preloaded), "{:?}", server.said());
        assert_eq!(status(&server, "key filter"), "ready");
        assert_eq!(status(&server, "store"), store);
        changes_are_seen(&server);
    }
}

fn text(number: usize) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

#[test]
fn requests_for_unknown_keys_are_answered_without_the_store() {
    const FLOOD: usize = 1_000;
    let server = Server::with_links(&rows(), &["--workers", "1"]);
    wait_until(|| status(&server, "key filter") == "ready");
    assert_eq!(status(&server, "key filter keys"), LINKS.to_string());
    let mut client = server.connect();
    for number in 0..FLOOD {
        assert_eq!(client.get("short.example", &format!("/none-{number}")).status, 404);
    }
    // Each is looked up on its host and on any.
    let answered: usize = status(&server, "lookups answered by the key filter").parse().unwrap();
    assert!((2 * FLOOD * 98 / 100..=2 * FLOOD).contains(&answered), "{answered}");
    changes_are_seen(&server);
}

#[test]
fn a_cache_that_is_too_small_is_filled_and_the_server_serves() {
    let rows: String = (0..LINKS)
        .map(|number| format!("short.example/{number},https://to.example/{number}?{},302\n", "x".repeat(800)))
        .collect();
    let server = Server::with_links(&rows, &["--preload", "--cache-mib", "1", "--workers", "1"]);
    let said = server.said().lock().unwrap().clone();
    assert!(said.contains("then the cache was full, and --cache-mib gives it more"), "{said}");
    for number in (0..LINKS).step_by(100) {
        let expected = format!("https://to.example/{number}?{}", "x".repeat(800));
        assert_eq!(location(&server, &format!("/{number}")), Some(expected));
    }
    wait_until(|| status(&server, "key filter") == "ready");
    assert_eq!(location(&server, "/none"), None);
}
