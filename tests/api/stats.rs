//! What was clicked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Admin, Answer};
use crate::support::PATIENCE;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.5 Mobile/15E148 Safari/604.1";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const WHATSAPP: &str = "WhatsApp/2.23.20.0";

fn link(admin: &Admin, key: &str, tags: &[&str]) {
    let body = json!({"key": key, "target": "https://x.example/", "tags": tags});
    admin.ask("POST", "/v1/links").json(body).send().is(201);
}

/// Clicks `times` times.
fn click(admin: &Admin, method: &str, host: &str, path: &str, fields: &str, times: usize) {
    let mut client = admin.server.connect();
    for _ in 0..times {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
        assert_eq!(client.answer(method == "HEAD").status, 302);
    }
}

fn agent(name: &str) -> String {
    format!("User-Agent: {name}\r\n")
}

fn stats(admin: &Admin, question: &str) -> Answer {
    admin.ask("GET", &format!("/v1/stats/{question}")).send()
}

/// The totals, as soon as there are so many clicks.
#[track_caller]
fn totals(admin: &Admin, query: &str, total: u64) -> Value {
    let begun = Instant::now();
    loop {
        let totals = stats(admin, &format!("totals?{query}")).is(200).json();
        if totals["total"] == total {
            return totals;
        }
        assert!(begun.elapsed() < PATIENCE, "not {total} clicks: {totals}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A link that was clicked by all kinds, and one that was clicked once.
fn clicked() -> Admin {
    let admin = Admin::start(&[]);
    link(&admin, "go.example/sale", &["spring"]);
    link(&admin, "go.example/other", &[]);
    let from = "Referer: https://news.example/a\r\nAccept-Language: de-DE,de;q=0.9\r\n";
    click(&admin, "GET", "go.example", "/sale", &(agent(FIREFOX) + from), 5);
    click(&admin, "GET", "go.example", "/sale", &agent(IPHONE), 2);
    click(&admin, "GET", "go.example", "/sale", &agent(GOOGLEBOT), 3);
    click(&admin, "GET", "go.example", "/sale", &agent(WHATSAPP), 1);
    click(&admin, "HEAD", "go.example", "/sale", &agent(FIREFOX), 1);
    click(&admin, "GET", "go.example", "/other", &agent(FIREFOX), 1);
    totals(&admin, "host=go.example", 13);
    admin
}

#[test]
fn clicks_are_counted_by_class_for_links_hosts_tags_and_all() {
    let admin = clicked();
    let counts = |query: &str| {
        let totals = stats(&admin, &format!("totals?{query}")).is(200).json();
        ["human", "bot", "preview", "head"].map(|class| totals[class].as_u64().unwrap())
    };
    assert_eq!(counts("key=go.example/sale"), [7, 3, 1, 1]);
    assert_eq!(counts("key=https://GO.example/sale"), [7, 3, 1, 1]);
    assert_eq!(counts("tag=spring"), [7, 3, 1, 1]);
    assert_eq!(counts("host=go.example"), [8, 3, 1, 1]);
    assert_eq!(counts(""), [8, 3, 1, 1]);
    assert_eq!(counts("host=other.example"), [0; 4]);
    assert_eq!(counts("from=2020-01-01&to=2020-02-01"), [0; 4]);
    stats(&admin, "totals?key=go.example/none").problem(404, "not-found");
}

#[test]
fn series_have_a_point_for_each_step() {
    let admin = clicked();
    for (query, least) in [("step=day", 30), ("step=hour&zone=Europe/Berlin", 24 * 29), ("step=month", 1), ("", 30)] {
        let series = stats(&admin, &format!("series?key=go.example/sale&{query}")).is(200).json();
        let points = series["points"].as_array().unwrap();
        assert!(points.len() >= least, "{query}: {} points", points.len());
        let sum = |class: &str| points.iter().map(|point| point[class].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("human"), sum("bot"), sum("preview"), sum("head")), (7, 3, 1, 1), "{query}");
    }
    let series = stats(&admin, "series?from=2026-10-24&to=2026-10-27&step=day&zone=Europe/Berlin").is(200).json();
    let starts: Vec<&str> =
        series["points"].as_array().unwrap().iter().map(|point| point["start"].as_str().unwrap()).collect();
    assert_eq!(starts, ["2026-10-24T00:00:00+02:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"]);
}

#[test]
fn clicks_are_broken_down_by_what_they_differ_by() {
    let admin = clicked();
    let begun = Instant::now();
    let value = |by: &str| loop {
        let breakdown = stats(&admin, &format!("breakdown?key=go.example/sale&by={by}")).is(200).json();
        if breakdown["total"] == 7 {
            assert_eq!((&breakdown["error"], &breakdown["details"]), (&json!(0), &json!(7)), "{breakdown}");
            let first = &breakdown["shares"][0];
            assert_eq!(first["sampling_error"], 0.0, "{breakdown}");
            break (first["value"].clone(), first["clicks"].clone());
        }
        assert!(begun.elapsed() < PATIENCE, "{breakdown}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(value("referrer"), (json!("news.example"), json!(5)));
    assert_eq!(value("language"), (json!("de"), json!(5)));
    assert_eq!(value("device"), (json!("desktop"), json!(5)));
    // Nothing is known of where this is.
    assert_eq!(value("country"), (json!(null), json!(7)));
    let top = stats(&admin, "top?host=go.example").is(200).json();
    assert_eq!(
        top["links"],
        json!([{"key": "go.example/sale", "clicks": 12, "error": 0}, {"key": "go.example/other", "clicks": 1, "error": 0}])
    );
    // What is kept by day says of which days it is.
    let noon = "from=2026-11-01T12:00:00Z&to=2026-11-02T12:00:00Z";
    for question in ["breakdown?by=device&", "top?tag=spring&"] {
        let answer = stats(&admin, &format!("{question}{noon}&zone=Europe/Berlin")).is(200).json();
        let range = (&answer["from"], &answer["to"]);
        assert_eq!(range, (&json!("2026-11-01T00:00:00Z"), &json!("2026-11-03T00:00:00Z")), "{answer}");
    }
    let top = stats(&admin, &format!("top?host=go.example&{noon}")).is(200).json();
    assert_eq!((&top["from"], &top["to"]), (&json!("2026-11-01T12:00:00Z"), &json!("2026-11-02T12:00:00Z")), "{top}");
    let uniques = stats(&admin, "uniques?key=go.example/sale").is(200).json();
    assert_eq!(uniques["estimate"], 2, "{uniques}");
    assert!(uniques["from"].as_str().unwrap().ends_with("T00:00:00Z"), "{uniques}");
}

/// The content of an answer in chunks.
fn content(answer: &Answer) -> String {
    let (mut rest, mut content) = (answer.text.as_str(), String::new());
    loop {
        let (length, behind) = rest.split_once("\r\n").expect("the answer broke off");
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return content;
        }
        content += &behind[..length];
        rest = behind[length..].strip_prefix("\r\n").expect("the answer broke off");
    }
}

#[test]
fn counts_are_exported_as_csv_and_as_lines() {
    let admin = clicked();
    let csv = stats(&admin, "export?format=csv&host=go.example").is(200);
    assert!(csv.field("content-type").unwrap().starts_with("text/csv"), "{csv:?}");
    let csv = content(&csv);
    let rows: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!((rows[0], rows[rows.len() - 1]), ("key,start,granularity,human,bot,preview,head", ""), "{csv}");
    // Midnight may have been in between.
    let sum = |key: &str, column: usize| -> u64 {
        let rows = rows.iter().filter(|row| row.starts_with(&format!("{key},")));
        rows.map(|row| row.split(',').nth(column).unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!([3, 4, 5, 6].map(|column| sum("go.example/sale", column)), [7, 3, 1, 1], "{csv}");
    assert_eq!(sum("go.example/other", 3), 1);
    for granularity in ["quarter", "day", "month"] {
        let lines = stats(&admin, &format!("export?key=go.example/sale&granularity={granularity}")).is(200);
        assert_eq!(lines.field("content-type"), Some("application/x-ndjson"));
        let rows: Vec<Value> = content(&lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(rows.iter().all(|row| row["granularity"] == granularity), "{rows:?}");
        assert_eq!(rows.iter().map(|row| row["human"].as_u64().unwrap()).sum::<u64>(), 7);
    }
}

#[test]
fn the_clicks_of_a_link_are_deleted_and_it_is_counted_on() {
    let admin = clicked();
    admin.ask("DELETE", "/v1/stats?key=go.example/sale").send().is(204);
    totals(&admin, "key=go.example/sale", 0);
    let uniques = stats(&admin, "uniques?key=go.example/sale").is(200).json();
    assert_eq!(uniques["estimate"], 0);
    // What was added up stays.
    totals(&admin, "host=go.example", 13);
    click(&admin, "GET", "go.example", "/sale", &agent(FIREFOX), 2);
    totals(&admin, "key=go.example/sale", 2);
    admin.ask("DELETE", "/v1/stats?key=go.example/none").send().problem(404, "not-found");
    let problem = admin.ask("DELETE", "/v1/stats").send().problem(400, "malformed");
    assert_eq!(problem["errors"][0]["field"], "key");
}

#[test]
fn the_status_says_how_counting_stands() {
    let admin = clicked();
    let begun = Instant::now();
    let clicks = loop {
        let clicks = admin.ask("GET", "/v1/status").send().is(200).json()["clicks"].clone();
        if clicks["counted"] == 13 && clicks["lag_batches"] == 0 {
            break clicks;
        }
        assert!(begun.elapsed() < PATIENCE, "{clicks}");
        std::thread::sleep(Duration::from_millis(50));
    };
    // A HEAD request has no details.
    assert_eq!(
        (&clicks["keep"], &clicks["details"], &clicks["details_share"]),
        (&json!("details"), &json!(12), &json!(1.0))
    );
    assert_eq!((&clicks["dropped"], &clicks["trouble"]), (&json!(0), &Value::Null), "{clicks}");
    assert!(clicks["journal_bytes"].as_u64().unwrap() > 0 && clicks["synced_at"].is_string(), "{clicks}");
}

#[test]
fn clicks_outlast_a_restart() {
    let admin = clicked();
    let data = admin.server.stop();
    let server = crate::support::Server::start_on(data, &[]);
    let admin = Admin { token: crate::client::first_token(&server), server };
    totals(&admin, "key=go.example/sale", 12);
}

/// A feed that is open.
struct Feed {
    stream: TcpStream,
    read: String,
}

impl Feed {
    fn open(admin: &Admin, token: &str, query: &str, fields: &str) -> Self {
        let mut stream = TcpStream::connect(admin.server.admin.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET /v1/stats/live{query} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\n{fields}\r\n"
        )
        .unwrap();
        let mut feed = Feed { stream, read: String::new() };
        feed.until("retry: ");
        assert!(feed.read.to_ascii_lowercase().contains("content-type: text/event-stream"), "{}", feed.read);
        feed
    }

    /// Reads until this was said.
    #[track_caller]
    fn until(&mut self, part: &str) {
        let mut bytes = [0; 4096];
        while !self.read.contains(part) {
            let read = self.stream.read(&mut bytes).unwrap_or(0);
            assert!(read > 0, "no {part} in {}", self.read);
            self.read += std::str::from_utf8(&bytes[..read]).unwrap();
        }
    }
}

#[test]
fn clicks_are_told_as_they_come_and_again_to_who_missed_them() {
    let admin = Admin::start(&[]);
    link(&admin, "go.example/a", &[]);
    link(&admin, "other.example/b", &[]);
    let mut all = Feed::open(&admin, &admin.token, "", "");
    let mut one = Feed::open(&admin, &admin.token, "?host=other.example", "");
    click(&admin, "GET", "go.example", "/a", &agent(FIREFOX), 1);
    all.until(r#""key":"go.example/a","class":"human""#);
    click(&admin, "GET", "other.example", "/b", &agent(GOOGLEBOT), 1);
    all.until(r#""key":"other.example/b","class":"bot""#);
    one.until(r#""key":"other.example/b""#);
    assert!(!one.read.contains("go.example/a"), "{}", one.read);
    assert!(!all.read.contains("127.0.0.1") && !all.read.contains("visitor"), "{}", all.read);

    let first = all.read.split_once("id: ").unwrap().1.lines().next().unwrap().to_owned();
    let mut later = Feed::open(&admin, &admin.token, "", &format!("Last-Event-ID: {first}\r\n"));
    later.until(r#""key":"other.example/b""#);
    assert!(!later.read.contains("go.example/a"), "{}", later.read);

    // It ends whole when the server stops.
    admin.server.stop();
    all.until("\r\n0\r\n\r\n");
}

#[test]
fn a_feed_ends_with_its_token_and_tells_it_of_its_hosts_alone() {
    let admin = Admin::start(&[]);
    link(&admin, "go.example/a", &[]);
    link(&admin, "other.example/b", &[]);
    let (narrow, id) = admin.create(json!({"name": "n", "scope": "read", "hosts": ["other.example"]}));
    let mut feed = Feed::open(&admin, &narrow, "", "");
    click(&admin, "GET", "go.example", "/a", &agent(FIREFOX), 1);
    click(&admin, "GET", "other.example", "/b", &agent(FIREFOX), 1);
    feed.until(r#""key":"other.example/b""#);
    assert!(!feed.read.contains("go.example"), "{}", feed.read);
    admin.ask("DELETE", &format!("/v1/tokens/{id}")).send().is(204);
    feed.until("\r\n0\r\n\r\n");
}

#[test]
fn too_many_feeds_of_one_token_wait() {
    let admin = Admin::start(&[]);
    let feeds: Vec<Feed> = (0..16).map(|_| Feed::open(&admin, &admin.token, "", "")).collect();
    let refused = stats(&admin, "live");
    assert!(refused.field("retry-after").is_some(), "{refused:?}");
    refused.problem(503, "unavailable");
    drop(feeds);
    // The places of those that have gone are free soon.
    let begun = Instant::now();
    loop {
        let mut stream = TcpStream::connect(admin.server.admin.unwrap()).unwrap();
        let token = &admin.token;
        write!(stream, "GET /v1/stats/live HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        if &head == b"HTTP/1.1 200" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the places are not given back");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_token_for_some_hosts_asks_of_these_alone() {
    let admin = Admin::start(&[]);
    let (narrow, _) = admin.create(json!({"name": "n", "scope": "write", "hosts": ["go.example"]}));
    let (reader, _) = admin.create(json!({"name": "r", "scope": "read"}));
    let ask = |method: &str, path: &str| admin.ask_as(&narrow, method, path).send();
    for question in ["totals", "series", "breakdown", "top", "uniques", "export"] {
        let by = if question == "breakdown" { "&by=device" } else { "" };
        for of in ["", "tag=spring", "host=other.example", "host=*"] {
            ask("GET", &format!("/v1/stats/{question}?{of}{by}")).problem(403, "forbidden");
        }
        if question != "top" {
            ask("GET", &format!("/v1/stats/{question}?key=other.example/a{by}")).problem(403, "forbidden");
        }
    }
    ask("GET", "/v1/stats/live?host=other.example").problem(403, "forbidden");
    ask("DELETE", "/v1/stats?key=other.example/a").problem(403, "forbidden");
    admin.ask_as(&reader, "DELETE", "/v1/stats?key=go.example/a").send().problem(403, "forbidden");
}

#[test]
fn what_can_not_be_asked_is_said_with_the_way_out() {
    let admin = Admin::start(&[]);
    for (question, field, part) in [
        ("totals?form=2026-01-01", "form", "did you mean `from`?"),
        ("totals?from=yesterday", "from", "such as `2026-11-22`"),
        ("totals?from=2026-02-02&to=2026-02-01", "from", "before `to`"),
        ("totals?host=a.example&tag=b", "host", "only one of key, host and tag"),
        ("series?step=dya", "step", "did you mean `day`?"),
        ("series?step=minute&from=2026-01-01&to=2026-02-01", "step", "give the step `hour`"),
        ("series?zone=Europe/Berln", "zone", "did you mean `Europe/Berlin`?"),
        ("breakdown?by=referer", "by", "did you mean `referrer`?"),
        ("breakdown", "by", "referrer, country, device, language"),
        ("breakdown?by=device&limit=101", "limit", "from 1 to 100"),
        ("top?key=a.example/b", "key", "unknown parameter"),
        ("export?format=xls", "format", "ndjson, csv"),
        ("export?granularity=minute", "granularity", "quarter, day, month"),
        ("live?tag=a", "tag", "unknown parameter"),
    ] {
        let problem = stats(&admin, question).problem(400, "malformed");
        let errors = problem["errors"].as_array().unwrap();
        let told = errors.iter().find(|error| error["field"] == field).unwrap_or_else(|| panic!("{problem}"));
        assert!(told["reason"].as_str().unwrap().contains(part), "{question}: {problem}");
    }
    // All of it at once.
    let problem = stats(&admin, "series?from=x&step=y&zone=z").problem(400, "malformed");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");
    admin.ask("GET", "/v1/stats/live").field("Last-Event-ID", "x").send().problem(400, "malformed");
}
