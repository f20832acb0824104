//! Clicks as they come: server-sent events (WHATWG HTML §9.2).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api;
use crate::client::Admin;
use crate::load::{Asker, BOTS, HUMAN, HUMANS, Head, one_by_one};
use crate::support::PATIENCE;

/// An event of the feed.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) data: Value,
    /// All of it, as it was sent.
    pub(crate) text: String,
}

impl Event {
    /// Its number in this run of the server.
    fn number(&self) -> u64 {
        self.id.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).expect("a run and a number")
    }
}

/// A feed that is followed.
pub(crate) struct Feed {
    lines: BufReader<TcpStream>,
}

impl Feed {
    /// Follows it, from behind an event if one is given. What is clicked from now on is in it.
    pub(crate) fn open(admin: &Admin, query: &str, last_event_id: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(admin.server.admin.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last_event_id.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!(
            "GET /v1/stats/live{query} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {}\r\n\
             Accept: text/event-stream\r\n{last}\r\n",
            admin.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream"), "{head}");
        Feed { lines }
    }

    /// The next click. Lines of events end with a bare line feed, and so are told from those of chunks (RFC 9112 §7.1).
    pub(crate) fn next(&mut self) -> Event {
        let (mut id, mut text) = (None, String::new());
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("an event") > 0, "the feed ended: {text}");
            if line.ends_with("\r\n") {
                continue;
            }
            text += &line;
            let line = line.trim_end();
            if let Some(number) = line.strip_prefix("id: ") {
                id = Some(number.to_owned());
            }
            match line.strip_prefix("data: ") {
                Some(data) if text.contains("event: click\n") => {
                    let data = serde_json::from_str(data).unwrap();
                    return Event { id: id.expect("a click has an id"), data, text };
                }
                // Another event, or the time after which to come again.
                None if line.is_empty() => (id, text) = (None, String::new()),
                _ => {}
            }
        }
    }

    /// Whether nothing comes for some time.
    pub(crate) fn stays_silent(mut self, time: Duration) -> bool {
        self.lines.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let begun = Instant::now();
        let mut seen = Vec::new();
        while begun.elapsed() < time {
            let mut line = Vec::new();
            let _ = self.lines.read_until(b'\n', &mut line);
            seen.extend(line);
        }
        !String::from_utf8(seen).unwrap().contains("event: click")
    }
}

fn click(asker: &mut Asker, path: &str, user_agent: &str, referer: &str, language: &str) {
    let request = Head::new(HUMAN, "a.example", path).field("User-Agent", user_agent).field("Referer", referer);
    let request = request.field("Accept-Language", language).end();
    assert_eq!(one_by_one(asker, HUMAN, &[request]), [302]);
}

fn started() -> Admin {
    let admin = Admin::start(&["--workers", "2"]);
    let link = || json!({"target": "https://to.example/"});
    let keys = ["a.example/x", "a.example/y", "b.example/z"];
    api::create(&admin, keys.map(|key| (key.to_owned(), link())));
    admin
}

#[test]
fn a_click_is_told_within_two_seconds() {
    let admin = started();
    let mut feed = Feed::open(&admin, "", None);
    let mut asker = Asker::connect(admin.server.address).unwrap();
    for (user_agent, referer, language, told) in [
        (
            HUMANS[1],
            "https://www.News.example:8443/a?b=secret#c",
            "de-CH,de;q=0.9,en;q=0.8",
            json!({"class": "human", "referrer": "news.example", "device": "phone", "language": "de"}),
        ),
        (HUMANS[0], "", "", json!({"class": "human", "referrer": null, "device": "desktop", "language": null})),
        (
            HUMANS[2],
            "http://192.0.2.7/",
            "gsw",
            json!({"class": "human", "referrer": "(address)", "device": "tablet", "language": "gsw"}),
        ),
        (BOTS[1], "https://mail.example/", "*", json!({"class": "bot", "referrer": "mail.example", "language": null})),
    ] {
        let begun = Instant::now();
        click(&mut asker, "/x", user_agent, referer, language);
        let event = feed.next();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        for (field, value) in told.as_object().unwrap() {
            assert_eq!(event.data[field], *value, "{field}: {}", event.text);
        }
        assert_eq!((&event.data["key"], &event.data["weight"]), (&json!("a.example/x"), &json!(1)));
        assert_eq!(event.data["country"], Value::Null, "no file of countries is given");
        let fields: Vec<&String> = event.data.as_object().unwrap().keys().collect();
        assert_eq!(fields.len(), 8, "nothing else is told: {fields:?}");
    }
}

#[test]
fn a_feed_goes_on_behind_what_was_seen() {
    let admin = started();
    let mut asker = Asker::connect(admin.server.address).unwrap();
    let mut feed = Feed::open(&admin, "", None);
    let clicks = |asker: &mut Asker, numbers: std::ops::Range<u32>| {
        for number in numbers {
            click(asker, "/x", HUMANS[0], &format!("https://r{number}.example/"), "");
            // Of each half second, some are told and some are not, if there are more than a few.
            if number % 5 == 4 {
                std::thread::sleep(Duration::from_millis(700));
            }
        }
    };
    let referrer = |event: &Event| event.data["referrer"].as_str().unwrap().to_owned();
    clicks(&mut asker, 0..5);
    let seen: Vec<Event> = (0..3).map(|_| feed.next()).collect();
    assert_eq!(seen.iter().map(referrer).collect::<Vec<_>>(), ["r0.example", "r1.example", "r2.example"]);
    assert!(seen.windows(2).all(|pair| pair[0].number() + 1 == pair[1].number()), "{seen:?}");
    drop(feed);
    clicks(&mut asker, 5..10);
    let mut feed = Feed::open(&admin, "", Some(&seen[2].id));
    for number in 3..10 {
        assert_eq!(referrer(&feed.next()), format!("r{number}.example"));
    }
    // Of another run, none is known: all that are kept come again.
    let mut feed = Feed::open(&admin, "", Some("0123456789abcdef-3"));
    for number in 0..10 {
        assert_eq!(referrer(&feed.next()), format!("r{number}.example"));
    }
    // Who does not say what was seen begins with now.
    let mut feed = Feed::open(&admin, "", None);
    clicks(&mut asker, 10..11);
    assert_eq!(referrer(&feed.next()), "r10.example");
}

#[test]
fn a_feed_of_a_link_or_host_has_no_others() {
    let admin = started();
    let mut asker = Asker::connect(admin.server.address).unwrap();
    let mut of_link = Feed::open(&admin, "?key=a.example%2Fy", None);
    let mut of_host = Feed::open(&admin, "?host=a.example", None);
    let of_other = Feed::open(&admin, "?host=b.example", None);
    for path in ["/x", "/y", "/x"] {
        click(&mut asker, path, HUMANS[0], "", "");
    }
    let key = |event: Event| event.data["key"].as_str().unwrap().to_owned();
    assert_eq!(key(of_link.next()), "a.example/y");
    assert_eq!([(); 3].map(|()| key(of_host.next())), ["a.example/x", "a.example/y", "a.example/x"]);
    assert!(of_other.stays_silent(Duration::from_millis(1_200)));
}
