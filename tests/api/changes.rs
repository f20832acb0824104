//! What was changed, by whom and when.

use serde_json::{Value, json};

use crate::client::Admin;
use crate::support::Server;

#[test]
fn changes_are_told_newest_first_with_who_made_them() {
    let admin = Admin::start(&[]);
    let (_, id) = admin.create(json!({"name": "a", "scope": "read"}));
    admin.ask("PUT", "/v1/hosts/a.example").json(json!({"ignore_case": true})).send().is(201);
    admin.ask("DELETE", "/v1/hosts/a.example").send().is(204);
    let answer = admin.ask("GET", "/v1/changes").send().is(200);
    assert!(!answer.text.contains("secret"), "{answer:?}");
    let list = answer.json();
    let changes = list["changes"].as_array().unwrap();
    let said = |change: &Value| {
        let command = &change["commands"][0];
        (change["kind"].as_str().unwrap().to_owned(), command["op"].as_str().unwrap().to_owned())
    };
    let said: Vec<_> = changes.iter().map(said).collect();
    let pair = |kind: &str, op: &str| (kind.to_owned(), op.to_owned());
    assert_eq!(said, [pair("host", "delete"), pair("host", "put"), pair("token", "create"), pair("token", "create")]);
    let first = &admin.token[6..22];
    assert_eq!((&changes[0]["actor"], &changes[3]["actor"]), (&json!(format!("token {first}")), &json!("local")));
    assert_eq!(
        (&changes[2]["commands"][0]["key"], &changes[1]["commands"][0]["says"]["ignore_case"]),
        (&json!(id), &json!(true))
    );
    let (reader, _) = admin.create(json!({"name": "b", "scope": "read"}));
    let read = admin.ask_as(&reader, "GET", "/v1/changes").send().is(200).json();
    assert_eq!((&read["changes"][1], &read["changes"][3]["commands"][0]["says"]), (&changes[0], &Value::Null));
    assert_eq!((&list["oldest"], &list["newest"], &list["next_cursor"]), (&json!(1), &json!(4), &json!(null)));
}

#[test]
fn what_was_refused_is_told_from_what_was_done() {
    let admin = Admin::start(&[]);
    let create = |target: &str| {
        let link = json!({"key": "a.example/x", "target": target});
        admin.ask("POST", "/v1/links").field("Idempotency-Key", target).json(link).send().status
    };
    assert_eq!((create("https://one.example/"), create("https://two.example/")), (201, 409));
    let list = admin.ask("GET", "/v1/changes?limit=2").send().is(200).json();
    let told = |index: usize| {
        let change = &list["changes"][index];
        (change["refused"].as_bool().unwrap(), change["commands"][0]["says"]["target"].as_str().unwrap().to_owned())
    };
    assert_eq!((told(0), told(1)), ((true, "https://two.example/".into()), (false, "https://one.example/".into())));
}

#[test]
fn pages_go_to_either_end() {
    let admin = Admin::start(&[]);
    for _ in 0..3 {
        admin.create(json!({"name": "a", "scope": "read"}));
    }
    let walk = |first: &str| {
        let (mut query, mut seen) = (first.to_owned(), Vec::new());
        loop {
            let page = admin.ask("GET", &format!("/v1/changes?limit=1&{query}")).send().is(200).json();
            seen.extend(page["changes"].as_array().unwrap().iter().map(|change| change["sequence"].as_u64().unwrap()));
            let Some(next) = page["next_cursor"].as_str() else { return seen };
            query = format!("cursor={next}");
        }
    };
    assert_eq!((walk("before=4"), walk("after=1"), walk("after=4")), (vec![3, 2, 1], vec![2, 3, 4], Vec::new()));
    admin.ask("GET", "/v1/changes?before=3&after=1").send().problem(400, "malformed");
    let (narrow, _) = admin.create(json!({"name": "n", "scope": "admin", "hosts": ["a.example"]}));
    admin.ask_as(&narrow, "GET", "/v1/changes").send().problem(403, "forbidden");
}

#[test]
fn a_page_is_bounded_by_its_bytes_and_none_is_left_out() {
    let admin = Admin::start(&[]);
    for batch in 0..6 {
        let command = |number: usize| {
            let link = json!({"target": "https://t.example/"});
            json!({"op": "create", "key": format!("a.example/{batch}-{number}"), "link": link})
        };
        let commands: Vec<_> = (0..1_000).map(command).collect();
        admin.ask("POST", "/v1/batch").json(json!({ "commands": commands })).send().is(200);
    }
    let walk = |first: &str| {
        let (mut query, mut seen, mut pages) = (first.to_owned(), Vec::new(), 0);
        loop {
            let answer = admin.ask("GET", &format!("/v1/changes?{query}")).send().is(200);
            // One change more than what fills it.
            assert!(answer.text.len() < 2 << 20, "{}", answer.text.len());
            let page = answer.json();
            let changes = page["changes"].as_array().unwrap();
            assert!(!changes.is_empty());
            seen.extend(changes.iter().map(|change| change["sequence"].as_u64().unwrap()));
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { return (seen, pages) };
            query = format!("cursor={next}");
        }
    };
    let (seen, pages) = walk("limit=100");
    assert!(seen == [7, 6, 5, 4, 3, 2, 1] && pages > 1, "{seen:?} {pages}");
    let (seen, pages) = walk("limit=100&after=0");
    assert!(seen == [1, 2, 3, 4, 5, 6, 7] && pages > 1, "{seen:?} {pages}");
}

#[test]
fn who_follows_is_told_that_some_changes_are_gone() {
    let admin = Admin::start(&[]);
    for _ in 0..2 {
        admin.create(json!({"name": "a", "scope": "read"}));
    }
    let (token, missed) = (admin.token.clone(), |page: Value| (page["missed"].clone(), page["oldest"].clone()));
    let page = admin.ask("GET", "/v1/changes?after=0").send().is(200).json();
    assert_eq!(missed(page), (json!(false), json!(1)));
    let dir = admin.server.stop();
    let carom = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_carom"));
        let output = { output }.args(arguments).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    // The log of what is restored begins behind the backup.
    carom(&["backup", "a.snapshot", "--data", "data"]);
    let other = tempfile::tempdir().unwrap();
    let data = other.path().join("data");
    carom(&["restore", "a.snapshot", "--data", data.to_str().unwrap()]);
    let admin = Admin { server: Server::start_on(other, &[]), token };
    admin.create(json!({"name": "b", "scope": "read"}));
    let page = |after: u64| admin.ask("GET", &format!("/v1/changes?after={after}")).send().is(200).json();
    for after in [0, 2] {
        assert_eq!(missed(page(after)), (json!(true), json!(4)), "{after}");
    }
    assert_eq!(missed(page(3)), (json!(false), json!(4)));
    assert_eq!(page(0)["changes"][0]["sequence"], 4);
    let newest = admin.ask("GET", "/v1/changes").send().is(200).json();
    assert_eq!(missed(newest), (json!(false), json!(4)));
}
