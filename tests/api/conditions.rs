//! What requests demand of links, what they are told of their versions, and which field a refusal is about.

use serde_json::{Value, json};

use crate::client::Admin;

const TARGET: &str = "https://www.example.com/";
const PATH: &str = "/v1/links/go.example%2Fa";

fn put(admin: &Admin, body: Value) -> String {
    let answer = admin.ask("PUT", PATH).json(body).send();
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.field("etag").unwrap().to_owned()
}

#[test]
fn a_condition_holds_or_is_refused_and_never_passed_over() {
    let admin = Admin::start(&[]);
    let old = put(&admin, json!({"target": TARGET}));
    let now = put(&admin, json!({"target": TARGET, "title": "now"}));
    let upsert = "/v1/links?upsert=true";
    let body = |title: &str| json!({"key": "go.example/a", "target": TARGET, "title": title});
    let ask = |method: &str, path: &str, field: &str, value: &str| admin.ask(method, path).field(field, value);
    for tag in [&*old, "\"99\"", "\"other\"", &now.replacen('"', "\"00", 1)] {
        ask("POST", upsert, "If-Match", tag).json(body("x")).send().problem(412, "version-mismatch");
        for method in ["PUT", "PATCH", "DELETE"] {
            let request = ask(method, PATH, "If-Match", tag).json(json!({"target": TARGET}));
            request.send().problem(412, "version-mismatch");
        }
    }
    ask("POST", upsert, "If-None-Match", "*").json(body("x")).send().problem(412, "version-mismatch");
    ask("POST", "/v1/links", "If-None-Match", "*").json(body("x")).send().problem(412, "version-mismatch");
    ask("POST", upsert, "If-Match", &now).json(body("y")).send().is(200);
    let missing = json!({"key": "go.example/none", "target": TARGET});
    ask("POST", upsert, "If-Match", "*").json(missing.clone()).send().problem(412, "version-mismatch");
    ask("POST", upsert, "If-None-Match", "*").json(missing).send().is(201);
    // Where a condition means nothing, or can't be read.
    let commands = || json!({"commands": [{"op": "delete", "key": "go.example/a"}]});
    for field in ["If-Match", "If-None-Match"] {
        let refused = |request: crate::client::Request<'_>| {
            let problem = request.send().problem(400, "malformed");
            assert_eq!(problem["errors"][0]["field"], field.to_ascii_lowercase(), "{problem}");
        };
        refused(ask("POST", "/v1/batch", field, "*").json(commands()));
        refused(ask("POST", "/v1/links", field, "*").json(json!({"target": TARGET})));
        refused(ask("GET", "/v1/links", field, "*"));
    }
    ask("POST", "/v1/links", "If-Match", &now).json(body("x")).send().problem(400, "malformed");
    ask("GET", PATH, "If-Match", "\"99\"").send().problem(400, "malformed");
    for method in ["PATCH", "DELETE"] {
        let request = ask(method, "/v1/links/go.example%2Fgone", "If-None-Match", "*").json(json!({}));
        request.send().problem(400, "malformed");
        // What is not there is said first.
        let request = ask(method, "/v1/links/go.example%2Fgone", "If-Match", "*").json(json!({}));
        request.send().problem(404, "not-found");
    }
    ask("PUT", PATH, "If-Match", "\"1\", \"2\"").json(json!({"target": TARGET})).send().problem(400, "malformed");
    assert_eq!(admin.ask("GET", PATH).send().is(200).json()["title"], "y");
}

#[test]
fn a_known_version_is_not_sent_again_unless_it_changes_by_itself() {
    let admin = Admin::start(&[]);
    let tag = put(&admin, json!({"target": TARGET}));
    admin.ask("GET", PATH).field("If-None-Match", &tag).send().is(304);
    admin.ask("GET", PATH).field("If-None-Match", "\"x\"").field("If-None-Match", &tag).send().is(304);
    admin.ask("GET", PATH).field("If-None-Match", "\"x\"").send().is(200);
    let tag = put(&admin, json!({"target": TARGET, "max_clicks": 1}));
    assert_eq!(admin.server.connect().get("go.example", "/a").status, 302);
    let seen = admin.ask("GET", PATH).field("If-None-Match", &tag).send().is(200).json();
    assert_eq!((&seen["state"], &seen["used_clicks"]), (&json!("used_up"), &json!(1)));
    let tag = put(&admin, json!({"target": TARGET, "expires_at": "2101-01-01T00:00:00Z"}));
    admin.ask("GET", PATH).field("If-None-Match", &tag).send().is(200);
}

#[test]
fn what_was_used_is_kept_when_the_limit_goes() {
    let admin = Admin::start(&[]);
    put(&admin, json!({"target": TARGET, "max_clicks": 2}));
    let mut wire = admin.server.connect();
    let mut click = || wire.get("go.example", "/a").status;
    assert_eq!([click(), click(), click()], [302, 302, 410]);
    put(&admin, json!({"target": TARGET}));
    assert_eq!(click(), 302);
    assert_eq!(admin.ask("GET", PATH).send().is(200).json()["used_clicks"], 2);
    put(&admin, json!({"target": TARGET, "max_clicks": 3}));
    assert_eq!([click(), click()], [302, 410]);
}

#[test]
fn a_change_that_changes_nothing_tells_the_version_of_what_was_asked_for() {
    let admin = Admin::start(&[]);
    let tag = put(&admin, json!({"target": TARGET}));
    assert_eq!(put(&admin, json!({"target": TARGET})), tag);
    let answer = admin.ask("PATCH", PATH).json(json!({"title": null})).send().is(200);
    assert_eq!(answer.field("etag"), Some(&*tag));
    // A chain that was flattened says something else than what was asked for.
    let put = || {
        let body = json!({"target": "https://go.example/a"});
        let answer = admin.ask("PUT", "/v1/links/go.example%2Fb?chains=flatten").json(body).send();
        assert_eq!(answer.json()["target"], TARGET);
        answer.field("etag").unwrap().to_owned()
    };
    let tag = put();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(put(), tag);
    let commands =
        json!({"commands": [{"op": "put", "key": "go.example/b", "link": {"target": "https://go.example/a"}}]});
    let told = admin.ask("POST", "/v1/batch?chains=flatten").json(commands).send().is(200).json();
    let outcome = &told["outcomes"][0];
    assert_eq!((&outcome["outcome"], outcome["version"].to_string()), (&json!("unchanged"), tag.replace('"', "")));
}

#[test]
fn a_refusal_names_the_field_its_value_and_the_reason() {
    let admin = Admin::start(&[]);
    put(&admin, json!({"target": TARGET, "not_before": "2030-01-01T00:00:00Z"}));
    let about = |problem: Value, field: &str, value: Value| {
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}"));
        assert_eq!((errors.len(), &errors[0]["field"], &errors[0]["value"]), (1, &json!(field), &value), "{problem}");
        assert!(!errors[0]["reason"].as_str().unwrap().is_empty());
    };
    let own = "https://go.example/a";
    for (patch, status, kind, field, value) in [
        (json!({"expired_target": TARGET}), 422, "invalid", "expired_target", json!(TARGET)),
        (
            json!({"expires_at": "2029-01-01T00:00:00Z"}),
            422,
            "invalid",
            "expires_at",
            json!("2029-01-01T00:00:00.000Z"),
        ),
        (json!({"target": null}), 422, "invalid", "target", Value::Null),
        (json!({"target": own}), 409, "loop", "target", json!(own)),
        (
            json!({"expires_at": "2031-01-01T00:00:00Z", "expired_target": own}),
            409,
            "loop",
            "expired_target",
            json!(own),
        ),
    ] {
        let answer = admin.ask("PATCH", PATH).json(patch).send();
        // What leads back only sometimes, as a link with a time does, is a chain.
        let kind = if kind == "loop" && answer.text.contains("/problems/chain") { "chain" } else { kind };
        about(answer.problem(status, kind), field, value);
    }
    let chain = || json!({"target": own});
    about(admin.ask("PUT", "/v1/links/%2Fb").json(chain()).send().problem(409, "chain"), "target", json!(own));
    about(admin.ask("POST", "/v1/links").json(chain()).send().problem(409, "chain"), "target", json!(own));
    let commands = json!({"commands": [{"op": "put", "key": "/b", "link": chain()}]});
    let problem = admin.ask("POST", "/v1/batch").json(commands).send().problem(409, "chain");
    about(problem, "commands[0].link.target", json!(own));
}

#[test]
fn a_batch_tells_how_the_links_are_after_all_of_it() {
    let admin = Admin::start(&[]);
    let link = |title: &str| json!({"target": TARGET, "title": title});
    let batch = |commands: Value| admin.ask("POST", "/v1/batch").json(json!({"commands": commands})).send();
    admin.ask("PUT", "/v1/hosts/go.example").json(json!({"ignore_case": true})).send().is(201);
    let told = batch(json!([
        {"op": "put", "key": "go.example/A", "link": link("a")},
        {"op": "delete", "key": "go.example/a"},
        {"op": "put", "key": "go.example/b", "link": link("a")},
        {"op": "patch", "key": "go.example/B", "link": {"title": "b", "key": "go.example/b"}},
        {"op": "put", "key": "go.example/b", "link": link("b")},
    ]));
    let told = told.is(200).json();
    let versions: Vec<&Value> = told["outcomes"].as_array().unwrap().iter().map(|told| &told["version"]).collect();
    let version = &admin.ask("GET", "/v1/links/go.example%2Fb").send().is(200).json()["version"];
    assert_eq!(versions, [&Value::Null, &Value::Null, version, version, version], "{told}");
    for (commands, status, kind, index) in [
        (json!([["create", "/x"], ["create", "/x"]]), 409, "exists", 1),
        (json!([["create", "go.example/b"], ["create", "go.example/b"]]), 409, "exists", 0),
        (
            json!([["patch", "go.example/b"], ["delete", "go.example/b"], ["patch", "go.example/b"]]),
            404,
            "not-found",
            2,
        ),
    ] {
        let command = |said: &Value| match said[0].as_str() {
            Some("delete") => json!({"op": "delete", "key": said[1]}),
            _ => json!({"op": said[0], "key": said[1], "link": link("c")}),
        };
        let commands: Vec<Value> = commands.as_array().unwrap().iter().map(command).collect();
        let problem = batch(json!(commands)).problem(status, kind);
        assert_eq!(problem["errors"][0]["field"], format!("commands[{index}]"), "{problem}");
    }
    let problem = batch(json!([{"op": "delete", "key": "go.example/b", "version": 0}])).problem(422, "invalid");
    assert!(problem["detail"].as_str().unwrap().contains("at least 1"), "{problem}");
    let other = json!({"target": TARGET, "key": "/c"});
    batch(json!([{"op": "put", "key": "go.example/b", "link": other}])).problem(422, "invalid");
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let admin = Admin::start(&[]);
    for (method, path, body, field) in [
        ("PUT", PATH, r#"{"target":"https://a.example/","target":"https://b.example/"}"#, "target"),
        ("POST", "/v1/tokens", r#"{"name":"t","scope":"read","scope":"admin"}"#, "scope"),
        ("POST", "/v1/batch", r#"{"commands":[{"op":"delete","key":"/a","key":"/b"}]}"#, "key"),
    ] {
        let problem = admin.ask(method, path).body("application/json", body).send().problem(400, "malformed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    admin.ask("GET", PATH).send().is(404);
}

#[test]
fn a_key_in_several_segments_is_told_how_to_be_written() {
    let admin = Admin::start(&[]);
    let problem = admin.ask("GET", "/v1/links/go.example/sale").send().problem(404, "not-found");
    assert!(problem["detail"].as_str().unwrap().contains("`/v1/links/go.example%2Fsale`"), "{problem}");
    let problem = admin.ask("PATCH", PATH).body("text/plain", "{}").send().problem(415, "media-type");
    assert!(problem["detail"].as_str().unwrap().contains("`application/merge-patch+json`"), "{problem}");
}

#[test]
fn lists_go_on_only_with_the_same_filter_and_find_what_is_folded() {
    let admin = Admin::start(&[]);
    let create = |key: &str, target: &str| {
        admin.ask("POST", "/v1/links").json(json!({"key": key, "target": target})).send().is(201);
    };
    create("go.example/Sale/1", TARGET);
    admin.ask("PUT", "/v1/hosts/go.example").json(json!({"ignore_case": true})).send().is(201);
    create("go.example/Sale/2", "https://m\u{fc}nchen.example/stra\u{df}e");
    let list = |query: &str| admin.ask("GET", &format!("/v1/links?{query}")).send();
    let count = |query: &str| list(query).is(200).json()["links"].as_array().unwrap().len();
    assert_eq!(count("host=go.example&path_prefix=/Sale"), 2);
    assert_eq!(count("host=go.example&path_prefix=/sale"), 1);
    assert_eq!([count("text=m%C3%BCnchen"), count("text=stra%C3%9Fe"), count("text=%C3%B6")], [1, 1, 0]);
    let page = list("host=go.example&limit=1").is(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(count(&format!("host=go.example&cursor={cursor}")), 1);
    let problem = list(&format!("host=other.example&cursor={cursor}")).problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("the same filter"), "{problem}");
}
