//! `carom status`, `carom resolve` and `carom verify`, and output that can't be written.

use std::fs::File;

use serde_json::Value;

use crate::place::{Place, WAYS, Way};

#[test]
fn how_the_server_stands_is_told_to_programs() {
    let place = Place::new(Way::Control);
    let status: Value = serde_json::from_str(&place.say("status --json").done()).unwrap();
    assert_eq!((&status["changes"], &status["store"]), (&"ready".into(), &"sled".into()), "{status}");
    let place = Place::new(Way::Process);
    place.say("link add /a --target https://x.example/").done();
    place.say("status --json").fails(1, &["no server runs on carom-data"]);
}

#[test]
fn what_is_answered_is_told_to_programs() {
    let place = Place::new(Way::Process);
    place.say("link add go.example/a --target https://x.example/ --status 307").done();
    let resolved =
        |url: &str| -> Value { serde_json::from_str(&place.carom(&["resolve", url, "--json"]).done()).unwrap() };
    let found = resolved("http://go.example/a");
    assert_eq!((&found["status"], &found["location"]), (&307.into(), &"https://x.example/".into()), "{found}");
    let link = &found["link"];
    assert_eq!((&link["key"], &link["version"], &link["state"]), (&"go.example/a".into(), &1.into(), &"active".into()));
    let id: Value = serde_json::from_str(&place.say("link get go.example/a --json").done()).unwrap();
    assert_eq!(link["id"], id["id"]);
    let missing = resolved("http://go.example/b");
    let nothing = (&404.into(), &Value::Null, &Value::Null);
    assert_eq!((&missing["status"], &missing["location"], &missing["link"]), nothing, "{missing}");
}

#[test]
fn a_file_that_is_not_there_is_no_damage() {
    let place = Place::new(Way::Process);
    let said = place.say("verify none.snapshot");
    assert!(!said.err.contains("damage"), "{}", said.err);
    said.fails(1, &["none.snapshot can't be opened", "No such file"]);
    place.file("none.snapshot", "no snapshot");
    place.say("verify none.snapshot").fails(1, &["1 damage found"]);
}

#[test]
fn an_answer_that_is_lost_is_a_failure() {
    let full = |place: &Place, line: &str| {
        let stdout = File::options().write(true).open("/dev/full").unwrap();
        place.say_into(line, stdout.into())
    };
    let place = Place::new(Way::Process);
    place.say("link add /a --target https://x.example/").done();
    for line in ["resolve /a", "resolve /a --json", "verify", "link get /a", "export", "export --format csv"] {
        full(&place, line).fails(1, &["stdout can't be written", "No space left"]);
    }
    full(&Place::new(Way::Control), "status").fails(1, &["stdout can't be written", "No space left"]);
    // Nobody could know its code otherwise.
    let said = full(&place, "link add --target https://x.example/");
    said.fails(1, &["the link */", "was created, but can't be shown"]);
    let said = place.unread("link add --target https://x.example/");
    assert!(said.code == 1 && said.err.contains("was created, but can't be shown"), "{}", said.err);
    // Who stops reading did not ask for the rest; but how it went is still to be told.
    assert_eq!(place.unread("verify").code, 0);
}

#[test]
fn all_that_a_link_says_is_shown() {
    for way in WAYS {
        let place = Place::new(way);
        let add = "link add go.example/a --target https://x.example/a --status 307 --query-policy forward --not-before \
                   2030-01-01T00:00:00Z --expires-at 2031-01-01T00:00:00Z --max-clicks 3 --expired-target \
                   https://x.example/over --cache-control no-store --tag t --title T --note N --untracked --disabled";
        place.say(add).done();
        let link: Value = serde_json::from_str(&place.say("link get go.example/a --json").done()).unwrap();
        let shown = place.say("link get go.example/a").done();
        for (name, value) in link.as_object().unwrap() {
            let line = match (name.as_str(), value) {
                ("generated", _) => continue,
                ("status", _) => "Status:         307 Temporary Redirect".to_owned(),
                ("query_policy", Value::String(text)) => format!("Query:          {text}"),
                ("max_clicks" | "used_clicks", _) => "Clicks:         0 of 3 used".to_owned(),
                ("disabled" | "state", _) => "State:          disabled".to_owned(),
                ("untracked", _) => "Untracked:      its clicks are only counted".to_owned(),
                ("cache_control", _) => "Cache-Control:  no-store".to_owned(),
                ("tags", _) => "Tags:           t".to_owned(),
                ("created_at" | "updated_at", Value::String(text)) => {
                    format!("{:<16}{text}", if name == "created_at" { "Created:" } else { "Updated:" })
                }
                (name, value) => {
                    let mut label = name.replace('_', " ") + ":";
                    label[..1].make_ascii_uppercase();
                    format!("{label:<16}{}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                }
            };
            assert!(shown.lines().any(|shown| shown == line), "{name}: no `{line}` in\n{shown}");
        }
        let set = place.say("link set go.example/a --untracked=false").done();
        assert!(!set.contains("Untracked"), "{set}");
        let set = place.say("link set go.example/a --untracked").done();
        assert!(set.contains("Untracked:      its clicks are only counted"), "{set}");
    }
}
