//! Settings of hosts.

use serde_json::{Value, json};

use crate::client::Admin;

#[test]
fn settings_are_set_read_changed_and_taken_away() {
    let admin = Admin::start(&[]);
    let path = "/v1/hosts/a.example";
    admin.ask("GET", path).send().problem(404, "not-found");
    let answer = admin.ask("PUT", path).json(json!({"default_status": 301, "robots_tag": "noindex"})).send().is(201);
    // The change before made the token.
    assert_eq!(answer.field("etag"), Some("\"2\""));
    let set = answer.json();
    assert_eq!(
        (&set["default_status"], &set["query_policy"], &set["version"]),
        (&json!(301), &json!("drop"), &json!(2))
    );
    assert_eq!((&set["fallback"], set.get("unknown_hosts")), (&Value::Null, None));
    // What was answered can be sent back, and changes nothing.
    let answer = admin.ask("PUT", path).json(set.clone()).send().is(200);
    assert_eq!((answer.field("etag"), answer.json()), (Some("\"2\""), set));
    // PUT leaves nothing of what it does not say.
    let answer = admin.ask("PUT", path).json(json!({"ignore_case": true})).send().is(200).json();
    assert_eq!(
        (&answer["default_status"], &answer["robots_tag"], &answer["version"]),
        (&json!(302), &Value::Null, &json!(3))
    );
    // PATCH leaves all that it does not say; null is the default.
    let patch = json!({"ignore_case": null, "fallback": "https://b.example/c", "code_length": 9});
    let answer = admin.ask("PATCH", path).body("application/merge-patch+json", patch.to_string()).send().is(200).json();
    assert_eq!((&answer["ignore_case"], &answer["fallback"]), (&json!(false), &json!("https://b.example/c")));
    let answer = admin.ask("PATCH", path).json(json!({"code_length": null})).send().is(200);
    assert_eq!(answer.field("etag"), Some("\"5\""));
    assert_eq!((&answer.json()["code_length"], &answer.json()["fallback"]), (&json!(7), &json!("https://b.example/c")));
    admin.ask("DELETE", path).send().is(204);
    admin.ask("DELETE", path).send().problem(404, "not-found");
    admin.ask("PATCH", path).json(json!({})).send().problem(404, "not-found");
}

#[test]
fn preconditions_are_kept() {
    let admin = Admin::start(&[]);
    let path = "/v1/hosts/*";
    let ask = |method: &str, field: &str, value: &str| admin.ask(method, path).field(field, value);
    let json = || json!({"unknown_hosts": "not_found"});
    ask("PUT", "If-Match", "*").json(json()).send().problem(412, "version-mismatch");
    ask("DELETE", "If-Match", "*").send().problem(404, "not-found");
    assert_eq!(ask("PUT", "If-None-Match", "*").json(json()).send().is(201).json()["unknown_hosts"], "not_found");
    ask("PUT", "If-None-Match", "*").json(json()).send().problem(412, "version-mismatch");
    for method in ["PUT", "PATCH", "DELETE"] {
        ask(method, "If-Match", "\"7\"").json(json()).send().problem(412, "version-mismatch");
        ask(method, "If-Match", "W/\"1\"").json(json()).send().problem(400, "malformed");
        ask(method, "If-Match", "\"1\", \"2\"").json(json()).send().problem(400, "malformed");
    }
    ask("PATCH", "If-Match", "\"2\"").json(json!({"ignore_case": true})).send().is(200);
    ask("DELETE", "If-Match", "\"3\"").send().is(204);
    // No version comes again.
    admin.ask("PUT", path).json(json()).send().is(201);
    ask("DELETE", "If-Match", "\"2\"").send().problem(412, "version-mismatch");
}

#[test]
fn targets_are_judged_by_what_is_set_with_them() {
    let admin = Admin::start(&[]);
    let put = |host: &str, body: Value| admin.ask("PUT", &format!("/v1/hosts/{host}")).json(body).send();
    put("*", json!({"denied_targets": ["*.bad.example"]})).is(201);
    put("a.example", json!({"fallback": "https://x.bad.example/"})).problem(422, "invalid");
    put("a.example", json!({"fallback": "https://u:p@good.example/"})).problem(422, "invalid");
    put("a.example", json!({"fallback": "https://u:p@good.example/", "allow_userinfo": true})).is(201);
    // What stays has to go with what is new.
    let answer = admin.ask("PATCH", "/v1/hosts/a.example").json(json!({"allow_userinfo": false})).send();
    assert_eq!(answer.problem(422, "invalid")["errors"][0]["field"], "fallback");
}

#[test]
fn pages_follow_each_other_to_the_end() {
    let admin = Admin::start(&[]);
    for host in ["c.example", "a.example", "b.example"] {
        admin.ask("PUT", &format!("/v1/hosts/{host}")).json(json!({})).send().is(201);
    }
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = admin.ask("GET", &format!("/v1/hosts?limit=1{cursor}")).send().is(200).json();
        seen.push(page["hosts"][0]["host"].as_str().unwrap().to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["a.example", "b.example", "c.example"]);
}

#[test]
fn what_means_nothing_is_refused_and_nothing_is_done() {
    let admin = Admin::start(&[]);
    let set = admin.ask("PUT", "/v1/hosts/c.example").json(json!({})).send().is(201);
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        admin.ask(method, "/v1/hosts/c.example?version=9").json(json!({})).send().problem(400, "malformed");
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        let request = admin.ask(method, "/v1/hosts/c.example").field("Idempotency-Key", "k");
        request.json(json!({})).send().problem(400, "malformed");
    }
    let answer = admin.ask("GET", "/v1/hosts/c.example").send().is(200);
    assert_eq!(answer.field("etag"), set.field("etag"));
}

#[test]
fn a_restricted_token_pages_through_its_own_hosts() {
    let admin = Admin::start(&[]);
    for host in ["a.example", "b.example", "c.example", "d.example"] {
        admin.ask("PUT", &format!("/v1/hosts/{host}")).json(json!({})).send().is(201);
    }
    let hosts = json!(["d.example", "none.example", "a.example", "c.example"]);
    let (narrow, _) = admin.create(json!({"name": "n", "scope": "read", "hosts": hosts}));
    let page = |query: &str| {
        let page = admin.ask_as(&narrow, "GET", &format!("/v1/hosts?limit=2{query}")).send().is(200).json();
        let names = page["hosts"].as_array().unwrap().iter().map(|host| host["host"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), page["next_cursor"].as_str().map(str::to_owned))
    };
    let (first, next) = page("");
    assert_eq!(first, ["a.example", "c.example"]);
    assert_eq!(page(&format!("&cursor={}", next.unwrap())), (vec!["d.example".to_owned()], None));
}

#[test]
fn a_fallback_that_could_never_work_is_refused() {
    let admin = Admin::start(&[]);
    let put = |host: &str, fallback: &str| {
        admin.ask("PUT", &format!("/v1/hosts/{host}")).json(json!({"fallback": fallback})).send()
    };
    let refused = |host: &str, fallback: &str, why: &str| {
        let problem = put(host, fallback).problem(422, "invalid");
        assert_eq!(problem["errors"][0]["field"], "fallback");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    };
    for own in ["https://a.example/", "http://A.EXAMPLE.:8443/old"] {
        refused("a.example", own, "on a.example itself");
    }
    put("a.example", "https://b.example/x").is(201);
    refused("b.example", "https://a.example/", "in a circle: b.example, a.example, b.example");
    put("b.example", "https://c.example/").is(201);
    refused("c.example", "https://a.example/", "in a circle: c.example, a.example, b.example, c.example");
    put("c.example", "https://out.example/").is(201);
    // Through what is set for any host: `out.example` has nothing else.
    refused("*", "https://a.example/", "in a circle: *, a.example, b.example, c.example, out.example, a.example");
    // A host that has no settings may be where all others are sent: itself it is not.
    put("*", "https://out.example/").is(201);
    // What is changed beside one that was let in before has to go with it, too.
    let patch = admin.ask("PATCH", "/v1/hosts/a.example").json(json!({"fallback": "https://a.example/"})).send();
    patch.problem(422, "invalid");
    admin.ask("PATCH", "/v1/hosts/a.example").json(json!({"ignore_case": true})).send().is(200);
}

#[test]
fn two_fallbacks_that_lead_to_each_other_are_not_both_let_in() {
    let admin = Admin::start(&[]);
    let hosts = ["a.example", "b.example"];
    for round in 0..20 {
        let method = if round % 2 == 0 { "PUT" } else { "PATCH" };
        for host in hosts {
            admin.ask("PUT", &format!("/v1/hosts/{host}")).json(json!({})).send();
        }
        let statuses = std::thread::scope(|scope| {
            let sent = [(hosts[0], hosts[1]), (hosts[1], hosts[0])].map(|(host, other)| {
                let body = json!({"fallback": format!("https://{other}/")});
                let admin = &admin;
                scope.spawn(move || admin.ask(method, &format!("/v1/hosts/{host}")).json(body).send().status)
            });
            let mut statuses = sent.map(|sent| sent.join().unwrap());
            statuses.sort_unstable();
            statuses
        });
        assert_eq!(statuses, [200, 422], "{method}");
    }
}
