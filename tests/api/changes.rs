//! What was changed, by whom and when.

use serde_json::{Value, json};

use crate::client::Admin;

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
