//! What is set over the API is what the wire answers.

use serde_json::{Value, json};

use crate::client::{Admin, Session};
use crate::support::Client;

const TARGET: &str = "https://www.example.com/";
const PATH: &str = "/v1/links/go.example%2Fa";

/// A server, a connection to its API and one to its redirects.
struct Place {
    admin: Admin,
    api: Session,
    wire: Client,
}

impl Place {
    fn start() -> Self {
        let admin = Admin::start(&[]);
        let (api, wire) = (Session::open(&admin), admin.server.connect());
        Place { admin, api, wire }
    }

    /// Puts `go.example/a` with a target and these terms.
    fn link(&mut self, terms: Value) {
        let mut link = json!({"target": TARGET});
        link.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
        let answer = self.api.ask("PUT", PATH, &link);
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }

    /// How the wire answers for `go.example/a`.
    fn asked(&mut self) -> String {
        self.asked_for("/a")
    }

    fn asked_for(&mut self, path: &str) -> String {
        let answer = self.wire.get("go.example", path);
        format!("{} {}", answer.status, answer.field("location").unwrap_or("-"))
    }

    /// The state of `go.example/a`, and how many of its clicks are used.
    fn state(&mut self) -> (String, u64) {
        let link = self.api.ask("GET", PATH, &Value::Null).is(200).json();
        (link["state"].as_str().unwrap().to_owned(), link["used_clicks"].as_u64().unwrap())
    }
}

fn state(name: &str, used_clicks: u64) -> (String, u64) {
    (name.to_owned(), used_clicks)
}

#[test]
fn clicks_are_taken_until_none_is_left() {
    let mut place = Place::start();
    place.link(json!({"max_clicks": 3, "expired_target": "https://over.example/"}));
    for used in 0..3 {
        assert_eq!(place.state(), state("active", used));
        assert_eq!(place.asked(), "302 https://www.example.com/");
    }
    assert_eq!(place.state(), state("used_up", 3));
    assert_eq!(place.asked(), "302 https://over.example/");
    // Two more, and those that were used stay used.
    place.api.ask("PATCH", PATH, &json!({"max_clicks": 5})).is(200);
    assert_eq!(place.state(), state("active", 3));
    assert_eq!([(); 3].map(|()| place.asked())[1..], ["302 https://www.example.com/", "302 https://over.example/"]);
    place.api.ask("PATCH", PATH, &json!({"expired_target": null})).is(200);
    assert_eq!((place.state(), place.asked()), (state("used_up", 5), "410 -".to_owned()));
    place.api.ask("PATCH", PATH, &json!({"max_clicks": null})).is(200);
    assert_eq!(place.asked(), "302 https://www.example.com/");
    assert_eq!(place.state().0, "active");
}

#[test]
fn a_link_is_answered_as_its_state_says() {
    let mut place = Place::start();
    let (past, future) = ("2001-01-01T00:00:00Z", "2101-01-01T00:00:00Z");
    for (terms, name, answer) in [
        (json!({}), "active", "302 https://www.example.com/"),
        (json!({"not_before": past, "expires_at": future}), "active", "302 https://www.example.com/"),
        (json!({"not_before": future}), "scheduled", "404 -"),
        (json!({"expires_at": past}), "expired", "410 -"),
        (
            json!({"expires_at": past, "expired_target": "https://over.example/"}),
            "expired",
            "302 https://over.example/",
        ),
        (json!({"disabled": true}), "disabled", "404 -"),
        (json!({"disabled": true, "expires_at": past}), "disabled", "404 -"),
        (json!({"status": 308, "disabled": false}), "active", "308 https://www.example.com/"),
    ] {
        place.link(terms.clone());
        assert_eq!((place.state(), place.asked()), (state(name, 0), answer.to_owned()), "{terms}");
    }
}

#[test]
fn a_time_that_was_set_comes() {
    let mut place = Place::start();
    let soon = std::time::SystemTime::now() + std::time::Duration::from_millis(1_500);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let soon = jiff::Timestamp::from_millisecond(soon.try_into().unwrap()).unwrap();
    place.link(json!({"not_before": soon.to_string()}));
    assert_eq!((place.state(), place.asked()), (state("scheduled", 0), "404 -".to_owned()));
    std::thread::sleep(std::time::Duration::from_millis(1_700));
    assert_eq!((place.state(), place.asked()), (state("active", 0), "302 https://www.example.com/".to_owned()));
}

#[test]
fn a_host_answers_as_its_settings_say() {
    let mut place = Place::start();
    let set = |place: &mut Place, settings: Value| {
        let answer = place.api.ask("PUT", "/v1/hosts/go.example", &settings);
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    };
    place.link(json!({}));
    assert_eq!((place.asked_for("/none"), place.asked_for("/A/")), ("404 -".to_owned(), "404 -".to_owned()));
    for (settings, path, answer) in [
        (json!({"fallback": "https://old.example/b"}), "/none?q", "302 https://old.example/b/none?q"),
        (json!({"not_found_target": "https://lost.example/"}), "/none?q", "302 https://lost.example/"),
        (json!({"ignore_case": true}), "/A", "302 https://www.example.com/"),
        (json!({"ignore_trailing_slash": true}), "/a//", "302 https://www.example.com/"),
        (json!({"query_policy": "forward"}), "/a?q=1", "302 https://www.example.com/?q=1"),
        (json!({}), "/a?q=1", "302 https://www.example.com/"),
    ] {
        set(&mut place, settings.clone());
        assert_eq!(place.asked_for(path), answer, "{settings}");
    }
    set(&mut place, json!({"robots_tag": "noindex", "temporary_cache_control": "no-cache"}));
    let answer = place.wire.get("go.example", "/a");
    assert_eq!((answer.field("x-robots-tag"), answer.field("cache-control")), (Some("noindex"), Some("no-cache")));
    place.api.ask("DELETE", "/v1/hosts/go.example", &Value::Null).is(204);
    assert_eq!(place.wire.get("go.example", "/a").field("x-robots-tag"), None);
    // Hosts without settings of their own go by those of any host.
    place.api.ask("PUT", "/v1/hosts/*", &json!({"not_found_target": "https://lost.example/"})).is(201);
    assert_eq!(place.asked_for("/none"), "302 https://lost.example/");
}

#[test]
fn a_token_for_one_host_changes_nothing_of_another() {
    let mut place = Place::start();
    place.link(json!({}));
    let (token, _) = place.admin.create(json!({"name": "t", "scope": "admin", "hosts": ["other.example"]}));
    let evil = json!({"target": "https://evil.example/"});
    let create = json!({"key": "go.example/a", "target": "https://evil.example/"});
    let batch = json!({"commands": [{"op": "put", "key": "go.example/a", "link": evil}]});
    for (method, path, body) in [
        ("PUT", PATH, &evil),
        ("PATCH", PATH, &evil),
        ("DELETE", PATH, &evil),
        ("POST", "/v1/links?upsert=true", &create),
        ("POST", "/v1/batch", &batch),
        ("PUT", "/v1/hosts/go.example", &json!({"fallback": "https://evil.example/"})),
        ("PUT", "/v1/hosts/*", &json!({"fallback": "https://evil.example/"})),
    ] {
        place.admin.ask_as(&token, method, path).json(body.clone()).send().problem(403, "forbidden");
    }
    assert_eq!((place.asked(), place.asked_for("/b")), ("302 https://www.example.com/".to_owned(), "404 -".to_owned()));
    place.admin.ask_as(&token, "PUT", "/v1/links/other.example%2Fa").json(evil).send().is(201);
    assert_eq!(place.wire.get("other.example", "/a").field("location"), Some("https://evil.example/"));
}
