//! What is wrong with what the server is given is said before it serves.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api;
use crate::client::Admin;
use crate::load::{Asker, HUMAN, HUMANS, Head, one_by_one};
use crate::support::PATIENCE;

/// What the server said on stderr, and how it ended, which it must without serving.
fn refused(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_carom"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "none", "--data", "data"])
        .args(arguments)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or_else(|| panic!("{arguments:?} did not end by itself: {said}")), said)
}

#[track_caller]
fn assert_refused(dir: &Path, arguments: &[&str], codes: &[i32], parts: &[&str]) {
    let (code, said) = refused(dir, arguments);
    assert!(codes.contains(&code), "{arguments:?} ended with {code}: {said}");
    assert!(said.starts_with("carom: "), "{said}");
    assert!(!said.contains("listening on") && !said.contains("panicked"), "{said}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?}: no `{part}` in: {said}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, parts) in [
        (["--trusted-proxies", "10.0.0.0/33"], &["10.0.0.0/33"][..]),
        (["--trusted-proxies", "127.0.0.1,proxy.example"], &["proxy.example"]),
        (["--trusted-proxies", "10.0.0.1/8"], &["10.0.0.1/8", "10.0.0.0/8"]),
        (["--clicks", "sometimes"], &["sometimes", "details", "counts", "none"]),
        (["--clicks-memory-mib", "0"], &["--clicks-memory-mib"]),
        (["--clicks-memory-mib", "99999999999"], &["--clicks-memory-mib", "99999999999"]),
    ] {
        assert_refused(dir.path(), &arguments, &[2], parts);
        assert!(!dir.path().join("data").exists(), "{arguments:?}: nothing is begun");
    }
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
    file("word.txt", b"# mine\nbot examplecrawler\nrobot other\n");
    file("empty.txt", b"bot examplecrawler\n\nbot\n");
    file("binary.txt", b"bot one\nbot \xff\xfe\n");
    file("twice.txt", b"bot examplecrawler\nhuman ExampleCrawler\n");
    file("no.mmdb", b"this is no database of countries");
    file("nothing.mmdb", b"");
    for (arguments, parts) in [
        (["--user-agents", "word.txt"], &["word.txt", "3", "robot other"][..]),
        (["--user-agents", "empty.txt"], &["empty.txt", "3"]),
        (["--user-agents", "binary.txt"], &["binary.txt", "2"]),
        (["--user-agents", "twice.txt"], &["twice.txt", "2"]),
        (["--user-agents", "missing.txt"], &["missing.txt"]),
        (["--user-agents", "."], &["."]),
        (["--countries", "no.mmdb"], &["no.mmdb"]),
        (["--countries", "nothing.mmdb"], &["nothing.mmdb"]),
        (["--countries", "missing.mmdb"], &["missing.mmdb"]),
    ] {
        assert_refused(dir.path(), &arguments, &[1, 2], parts);
    }
}

#[test]
fn own_lists_of_user_agents_count() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("agents.txt");
    std::fs::write(&file, "include built-in\nbot examplecrawler\nhuman curl/\npreview exampleshow\n").unwrap();
    let admin = Admin::start(&["--workers", "2", "--user-agents", file.to_str().unwrap()]);
    api::create(&admin, [("a.example/x".to_owned(), json!({"target": "https://to.example/"}))]);
    let user_agents = [
        HUMANS[0],
        "curl/8.11.0",
        "Mozilla/5.0 ExampleCrawler/1",
        "ExampleShow/2",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    ];
    let request = |user_agent| Head::new(HUMAN, "a.example", "/x").field("User-Agent", user_agent).end();
    let mut asker = Asker::connect(admin.server.address).unwrap();
    assert_eq!(one_by_one(&mut asker, HUMAN, &user_agents.map(request)), [302; 5]);
    api::counted(&admin, "a.example/x", [2, 2, 1, 0]);
}
