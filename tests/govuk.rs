//! The main job: a real map of 238,119 redirects, every one of them asked for over real sockets.

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use support::{Answer, Client, DRIVERS, Server, govuk_mappings, has_driver};

/// How many rows of the file are valid.
const LINKS: usize = 238_119;

/// How many unknown URLs are asked for.
const UNKNOWN: usize = 100_000;

/// How many requests are sent before their answers are read.
const PIPELINED: usize = 100;

/// A row of the file: what is asked for, and what is to be answered.
struct Row {
    host: String,
    target: String,
    status: u16,
    location: Option<String>,
}

/// Reads the file with nothing of carom's own. The target is expected in its WHATWG serialisation.
fn rows(file: &Path) -> Vec<Row> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(file).unwrap();
    let rows = reader.records().map(Result::unwrap).filter(|record| &record[2] != "418");
    rows.map(|record| {
        let (host, target) = record[0].strip_prefix("http://").unwrap().split_once('/').unwrap();
        let location = match &record[2] {
            "301" => Some(String::from(url::Url::parse(&record[1]).unwrap())),
            "410" => None,
            status => panic!("{status}"),
        };
        Row { host: host.to_owned(), target: format!("/{target}"), status: record[2].parse().unwrap(), location }
    })
    .collect()
}

/// Asks for everything, many requests at a time, and gives each answer to `check`.
fn ask<T>(
    client: &mut Client,
    method: &str,
    all: &[T],
    request: impl Fn(&T) -> (String, String),
    check: impl Fn(&T, Answer),
) {
    for some in all.chunks(PIPELINED) {
        let mut bytes = String::new();
        for one in some {
            let (host, target) = request(one);
            bytes.push_str(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        }
        client.send(bytes);
        for one in some {
            check(one, client.answer(method == "HEAD"));
        }
    }
}

fn serves_all_of_it(server: &Server, rows: &[Row]) {
    let mut client = server.connect();
    for method in ["GET", "HEAD"] {
        let request = |row: &Row| (row.host.clone(), row.target.clone());
        ask(&mut client, method, rows, request, |row, answer| {
            assert_eq!(answer.status, row.status, "{}{}", row.host, row.target);
            assert_eq!(answer.field("location"), row.location.as_deref(), "{}{}", row.host, row.target);
        });
    }
}

#[test]
fn every_redirect_of_the_file_is_served_on_both_drivers_and_nothing_else_is() {
    let Some(file) = govuk_mappings() else { return };
    let rows = rows(&file);
    assert_eq!(rows.len(), LINKS);
    let known: HashSet<(&str, &str)> = rows.iter().map(|row| (row.host.as_str(), row.target.as_str())).collect();

    let mut data = tempfile::tempdir().unwrap();
    let imported = Command::new(env!("CARGO_BIN_EXE_carom"))
        .args(["import", "--keep-going", "--data"])
        .args([&data.path().join("data"), &file])
        .output()
        .unwrap();
    assert!(imported.status.success(), "{imported:?}");

    for driver in DRIVERS.into_iter().filter(|driver| has_driver(driver)) {
        let server = Server::start_on(data, &["--driver", driver]);
        serves_all_of_it(&server, &rows);
        let unknown: Vec<(String, String)> = (0..UNKNOWN)
            .map(|index| {
                let row = &rows[index * 31 % rows.len()];
                (row.host.clone(), format!("/no-such-page/{index}{}", row.target))
            })
            .inspect(|(host, target)| assert!(!known.contains(&(host.as_str(), target.as_str()))))
            .collect();
        ask(&mut server.connect(), "GET", &unknown, Clone::clone, |(host, target), answer| {
            assert_eq!(answer.status, 404, "{host}{target}");
            assert_eq!(answer.field("location"), None);
        });
        data = server.stop();
    }

    // Without its store the server comes up again complete: the log has everything.
    std::fs::remove_dir_all(data.path().join("data/store")).unwrap();
    let server = Server::start_on(data, &[]);
    serves_all_of_it(&server, &rows);
}
