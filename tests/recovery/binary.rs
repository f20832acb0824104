//! The server itself, killed while it starts.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carom::store::StoreKind;

use super::support::{Client, Server};
use super::{random_below, rounds};

const LINKS: usize = 30_000;

/// Requests that are sent at once.
const PIPELINED: usize = 500;

/// Kills of a start before one is let go on.
const KILLS: usize = 3;

fn arguments(store: StoreKind) -> [&'static str; 4] {
    ["--store", store.name(), "--workers", "1"]
}

#[test]
fn a_server_that_is_killed_while_it_starts_answers_with_every_link_once_it_has() {
    for store in StoreKind::ALL {
        let rows: String = (0..LINKS).map(|index| format!("/{index},https://to.example/{index},302\n")).collect();
        let mut data = Server::with_links(&rows, &arguments(store)).stop();
        let mut start = Duration::from_millis(500);
        for round in 0..(rounds() / 20).max(3) {
            let mut killed = Vec::new();
            for kill in 0..KILLS {
                // So that it is in the midst of building it.
                if round % 2 == 0 && kill != 1 {
                    let _ = std::fs::remove_dir_all(data.path().join("data/store"));
                }
                let after = random_below(start);
                kill_start(store, &data.path().join("data"), after);
                killed.push(after);
            }
            let begun = Instant::now();
            let server = Server::start_on(data, &arguments(store));
            start = begun.elapsed();
            assert_all_there(&mut server.connect(), &format!("{store}, round {round}, killed after {killed:?}"));
            data = server.stop();
        }
    }
}

fn kill_start(store: StoreKind, data: &Path, after: Duration) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_carom"))
        .args(["serve", "--admin", "none", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(arguments(store))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

fn assert_all_there(client: &mut Client, round: &str) {
    for first in (0..LINKS).step_by(PIPELINED) {
        let requests = (first..first + PIPELINED).map(|index| format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.send(requests.collect::<String>());
        for index in first..first + PIPELINED {
            let answer = client.answer(false);
            let location = format!("https://to.example/{index}");
            assert_eq!((answer.status, answer.field("location")), (302, Some(location.as_str())), "{round}");
        }
    }
    assert_eq!(client.get("a", "/unknown").status, 404, "{round}");
}
