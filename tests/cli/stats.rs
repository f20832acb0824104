//! `carom stats`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{Place, WAYS, Way};
use crate::support::PATIENCE;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn click(place: &Place, path: &str, times: usize) {
    let mut client = place.server.as_ref().unwrap().connect();
    for _ in 0..times {
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: go.example\r\nUser-Agent: {FIREFOX}\r\nReferer: https://news.example/\r\n\r\n"
        ));
        assert_eq!(client.answer(false).status, 302);
    }
}

/// Waits until so many clicks are counted.
#[track_caller]
fn wait(place: &Place, of: &str, clicks: u64) {
    let begun = Instant::now();
    loop {
        let all: Value = serde_json::from_str(&place.say(&format!("stats {of} --json")).done()).unwrap();
        if all["totals"]["total"] == clicks && all["breakdowns"]["device"]["total"] == clicks {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{all}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn clicked(way: Way) -> Place {
    let place = Place::new(way);
    place.say("link add go.example/sale --target https://x.example/ --tag spring").done();
    place.say("link add go.example/other --target https://x.example/").done();
    click(&place, "/sale", 3);
    click(&place, "/other", 1);
    wait(&place, "--host go.example", 4);
    place
}

#[test]
fn a_link_is_shown_with_counts_a_chart_and_where_its_clicks_come_from() {
    for way in [Way::Network, Way::Control] {
        let place = clicked(way);
        let shown = place.say("stats go.example/sale").done();
        let parts = ["Clicks by people: 3, by ", "All:              3", "for each day:", "news.example", "desktop"];
        for part in parts {
            assert!(shown.contains(part), "no `{part}` in {shown}");
        }
        // Not a terminal: nothing that not every reader can show.
        assert!(shown.is_ascii(), "{shown}");
        assert!(!shown.contains("go.example/other"), "{shown}");

        let host = place.say("stats --host go.example").done();
        let sale = host.lines().find(|line| line.starts_with("go.example/sale")).unwrap();
        assert!(sale.ends_with(" 3"), "{host}");
        let top = place.say("stats --all --top 1").done();
        assert_eq!(top, "key              clicks\ngo.example/sale  3");
        let by = place.say("stats --tag spring --by referrer").done();
        assert!(by.lines().nth(1).unwrap().starts_with("news.example  3"), "{by}");
        // They are kept by day, and of which days they are is said.
        let range = by.lines().last().unwrap();
        assert!(range.starts_with("From ") && range.ends_with("T00:00:00Z."), "{by}");
        assert_eq!(shown.matches("Of whole days in UTC, from ").count(), 1, "{shown}");
        assert!(place.say("stats go.example/sale --uniques").done().contains("1 person"));
        let json: Value = serde_json::from_str(&place.say("stats go.example/sale --json").done()).unwrap();
        assert_eq!((&json["totals"]["human"], &json["top"]), (&3.into(), &Value::Null), "{json}");
    }
}

#[test]
fn counts_are_exported_and_deleted() {
    for way in [Way::Network, Way::Control] {
        let place = clicked(way);
        let csv = place.say("stats --host go.example --export csv").done();
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows[0], "key,start,granularity,human,bot,preview,head");
        assert!(rows[1].starts_with("go.example/sale,") && rows[1].ends_with(",day,3,0,0,0"), "{csv}");
        let said = place.say("stats --all --export ndjson --granularity quarter -o clicks.ndjson");
        assert_eq!((said.code, said.out.as_str()), (0, ""));
        assert!(said.err.contains("rows to clicks.ndjson"), "{}", said.err);
        let lines = std::fs::read_to_string(place.dir().join("clicks.ndjson")).unwrap();
        assert!(lines.lines().all(|line| line.contains(r#""granularity":"quarter""#)), "{lines}");

        assert_eq!(place.say("stats go.example/sale --delete --yes").done(), "deleted the clicks of go.example/sale");
        let json: Value = serde_json::from_str(&place.say("stats go.example/sale --json").done()).unwrap();
        assert_eq!(json["totals"]["total"], 0, "{json}");
    }
}

#[test]
fn clicks_are_shown_as_they_come() {
    let place = Place::new(Way::Control);
    place.say("link add go.example/sale --target https://x.example/").done();
    let mut command = Command::new(env!("CARGO_BIN_EXE_carom"));
    command.args(["stats", "go.example/sale", "--live"]).args(place.arguments()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Until it listens, clicks are not for it.
    let (seen, clicked) = std::sync::mpsc::channel::<()>();
    let line = std::thread::scope(|scope| {
        let place = &place;
        scope.spawn(move || {
            let begun = Instant::now();
            while clicked.recv_timeout(Duration::from_millis(200)).is_err() && begun.elapsed() < PATIENCE {
                click(place, "/sale", 1);
            }
        });
        let line = lines.next().unwrap().unwrap();
        seen.send(()).unwrap();
        line
    });
    let _ = child.kill();
    let _ = child.wait();
    assert!(line.contains("  human    ") && line.contains("go.example/sale  news.example"), "{line}");
}

#[test]
fn a_directory_that_is_not_served_is_asked_too() {
    let place = Place::new(Way::Process);
    place.say("link add go.example/sale --target https://x.example/").done();
    let shown = place.say("stats go.example/sale").done();
    assert!(shown.contains("All:              0"), "{shown}");
    place.say("stats go.example/sale --live").fails(2, &["no server runs on carom-data"]);
}

#[test]
fn what_can_not_be_asked_is_said() {
    for way in WAYS {
        let place = Place::new(way);
        place.say("link add go.example/sale --target https://x.example/").done();
        place.say("stats").fails(2, &["--all"]);
        place.say("stats go.example/sale --all").fails(2, &["cannot be used with"]);
        place.say("stats go.example/sale --by colour").fails(2, &["referrer, country, device, language"]);
        place.say("stats sale").fails(1, &["may be a path or a host"]);
        place.say("stats go.example/sale --from yesterday").fails(1, &["`yesterday` is neither a time"]);
        place.say("stats go.example/sale --zone Europe/Berln").fails(1, &["did you mean `Europe/Berlin`?"]);
        place.say("stats --host go.example --delete --yes").fails(2, &["--delete"]);
        place.say("stats go.example/sale -o x.csv").fails(2, &["--export"]);
    }
}
