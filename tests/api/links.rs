//! Links, one at a time, and lists of them.

use serde_json::{Value, json};

use crate::client::Admin;

const TARGET: &str = "https://www.example.com/";

fn keys(page: &Value) -> Vec<&str> {
    page["links"].as_array().unwrap().iter().map(|link| link["key"].as_str().unwrap()).collect()
}

#[test]
fn a_link_is_created_read_replaced_changed_and_deleted() {
    let admin = Admin::start(&[]);
    let answer = admin.ask("POST", "/v1/links").json(json!({"key": "http://GO.example/sale", "target": TARGET}));
    let answer = answer.send().is(201);
    // The first change made the token.
    assert_eq!(answer.field("etag"), Some("\"2\""));
    let path = answer.field("location").unwrap().to_owned();
    assert_eq!(path, "/v1/links/go.example%2Fsale");
    let created = answer.json();
    assert_eq!(
        (&created["key"], &created["status"], &created["state"]),
        (&json!("go.example/sale"), &json!(302), &json!("active"))
    );
    assert_eq!((&created["version"], &created["generated"], &created["tags"]), (&json!(2), &json!(false), &json!([])));
    // Any spelling finds it.
    for spelling in [&path, "/v1/links/https%3A%2F%2Fgo.example%3A8080%2Fs%2561le"] {
        assert_eq!(admin.ask("GET", spelling).send().is(200).json(), created);
    }
    let known = admin.ask("GET", &path).field("If-None-Match", "\"2\"").send().is(304);
    assert_eq!((known.field("etag"), known.text.as_str()), (Some("\"2\""), ""));
    // What was answered can be sent back, and changes nothing.
    let same = admin.ask("PUT", &path).field("If-Match", "\"2\"").json(created.clone()).send().is(200);
    assert_eq!(same.json(), created);
    let replaced = admin.ask("PUT", &path).json(json!({"status": 410, "note": "gone"})).send().is(200);
    assert_eq!(replaced.field("etag"), Some("\"3\""));
    assert_eq!((&replaced.json()["target"], &replaced.json()["id"]), (&Value::Null, &created["id"]));
    let patch = json!({"status": 301, "target": TARGET, "note": null, "tags": ["b", "a"]});
    let patched =
        admin.ask("PATCH", &path).body("application/merge-patch+json", patch.to_string()).send().is(200).json();
    assert_eq!(
        (&patched["note"], &patched["tags"], &patched["version"]),
        (&Value::Null, &json!(["a", "b"]), &json!(4))
    );
    admin.ask("PATCH", &path).json(json!({"expired_target": TARGET})).send().problem(422, "invalid");
    admin.ask("PATCH", &path).json(json!({"key": "go.example/other"})).send().problem(422, "invalid");
    for (method, tag) in [("PUT", "\"3\""), ("PATCH", "\"5\""), ("DELETE", "\"3\"")] {
        let body = json!({"target": TARGET});
        admin.ask(method, &path).field("If-Match", tag).json(body).send().problem(412, "version-mismatch");
    }
    let body = || json!({"target": TARGET});
    admin.ask("PUT", &path).field("If-None-Match", "*").json(body()).send().problem(412, "version-mismatch");
    admin.ask("DELETE", &path).field("If-Match", "\"4\"").send().is(204);
    for method in ["GET", "PATCH", "DELETE"] {
        admin.ask(method, &path).json(json!({})).send().problem(404, "not-found");
    }
    admin.ask("PUT", &path).field("If-Match", "*").json(body()).send().problem(412, "version-mismatch");
    let again = admin.ask("PUT", &path).field("If-None-Match", "*").json(body()).send().is(201);
    assert_eq!(again.field("location"), Some(&*path));
    assert_ne!(again.json()["id"], created["id"]);
    // No version of the one that is gone is one of the new one.
    for version in 1..5 {
        let tag = format!("\"{version}\"");
        admin.ask("PUT", &path).field("If-Match", &tag).json(body()).send().problem(412, "version-mismatch");
        admin.ask("GET", &path).field("If-None-Match", &tag).send().is(200);
    }
}

#[test]
fn creating_replaces_only_if_it_is_told_to() {
    let admin = Admin::start(&[]);
    let ask = |path: &str, key: &str| admin.ask("POST", path).json(json!({"key": key, "target": TARGET, "title": key}));
    ask("/v1/links", "/a").send().is(201);
    let problem = ask("/v1/links", "*/a").send().problem(409, "exists");
    assert!(problem["detail"].as_str().unwrap().contains("`*/a` exists already, in version 2"), "{problem}");
    assert_eq!(ask("/v1/links?upsert=true", "*/a").send().is(200).json()["title"], "*/a");
    ask("/v1/links?upsert=true", "/b").send().is(201);
    let problem = admin.ask("POST", "/v1/links?upsret=true").json(json!({})).send().problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `upsert`?"), "{problem}");
    admin.ask("POST", "/v1/links?upsert=true").json(json!({"target": TARGET})).send().problem(422, "invalid");
    let both = json!({"key": "/c", "host": "*", "target": TARGET});
    admin.ask("POST", "/v1/links").json(both).send().problem(422, "invalid");
}

#[test]
fn all_that_is_wrong_with_a_link_is_said_at_once() {
    let admin = Admin::start(&[]);
    let body = json!({"key": "sale", "targt": "x", "status": 200, "tags": ["a,b"], "expires_at": "soon"});
    let problem = admin.ask("POST", "/v1/links").json(body).send().problem(422, "invalid");
    let errors = problem["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["targt", "key", "status", "expires_at", "tags"]);
    assert!(errors[0]["reason"].as_str().unwrap().contains("did you mean `target`?"));
    assert!(errors[1]["reason"].as_str().unwrap().contains("write `/sale`"));
}

#[test]
fn codes_are_generated_from_what_the_host_says() {
    let admin = Admin::start(&[]);
    let new = || json!({"host": "go.example", "target": TARGET});
    let created = admin.ask("POST", "/v1/links").json(new()).send().is(201).json();
    let code = created["key"].as_str().unwrap().strip_prefix("go.example/").unwrap().to_owned();
    assert!(code.len() == 7 && created["generated"] == true, "{created}");
    let anywhere = admin.ask("POST", "/v1/links").json(json!({"target": TARGET})).send().is(201).json();
    assert!(anywhere["key"].as_str().unwrap().starts_with("*/"));
    // Ten digits of five characters: ten codes before a guess finds one once in 10,000 times.
    let settings = json!({"code_alphabet": "0123456789", "code_length": 5, "default_status": 307});
    admin.ask("PUT", "/v1/hosts/go.example").json(settings).send().is(201);
    let name = |name: &str| admin.ask("POST", "/v1/links").field("Idempotency-Key", name).json(new());
    let first = name("one").send().is(201).json();
    let key = first["key"].as_str().unwrap();
    assert!(key["go.example/".len()..].bytes().all(|byte| byte.is_ascii_digit()) && key.len() == 16, "{key}");
    assert_eq!(first["status"], 307);
    for _ in 1..10 {
        admin.ask("POST", "/v1/links").json(new()).send().is(201);
    }
    let problem = name("two").send().problem(409, "codes-exhausted");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("there are 10 codes of 5 characters") && detail.contains("code_length"), "{detail}");
    // What was done is answered again, also after a restart.
    let Admin { server, token } = admin;
    let admin = Admin { server: crate::support::Server::start_on(server.stop(), &[]), token };
    let repeated = admin.ask("POST", "/v1/links").field("Idempotency-Key", "one").json(new()).send().is(201).json();
    assert_eq!(repeated, first);
    let other = json!({"host": "go.example", "target": "https://other.example/"});
    let problem = admin.ask("POST", "/v1/links").field("Idempotency-Key", "one").json(other).send();
    problem.problem(422, "idempotency-key-reused");
    admin.ask("DELETE", &format!("/v1/links/{}", key.replace('/', "%2F"))).send().is(204);
    admin.ask("POST", "/v1/links").json(new()).send().is(201);
}

#[test]
fn a_named_request_is_made_once() {
    let admin = Admin::start(&[]);
    let ask = |method: &str, path: &str, name: &str| admin.ask(method, path).field("Idempotency-Key", name);
    let path = "/v1/links/%2Fa";
    let body = || json!({"key": "/a", "target": TARGET});
    ask("POST", "/v1/links", "n1").json(body()).send().is(201);
    ask("POST", "/v1/links", "n1").json(body()).send().is(201);
    ask("POST", "/v1/links", "n1")
        .json(json!({"key": "/a", "status": 410}))
        .send()
        .problem(422, "idempotency-key-reused");
    ask("POST", "/v1/links", "n2").json(body()).send().problem(409, "exists");
    admin.ask("PATCH", path).json(json!({"title": "x"})).send().is(200);
    // The first answer was that it is there, and still is, though it would be another one now.
    admin.ask("DELETE", path).send().is(204);
    ask("POST", "/v1/links", "n2").json(body()).send().problem(409, "exists");
    ask("POST", "/v1/links", "n3").json(body()).send().is(201);
    ask("DELETE", path, "n4").send().is(204);
    ask("DELETE", path, "n4").send().is(204);
    admin.ask("DELETE", path).send().problem(404, "not-found");
}

#[test]
fn chains_are_refused_flattened_or_allowed_and_loops_never_made() {
    let admin = Admin::start(&[]);
    let create = |query: &str, key: &str, target: &str| {
        let path = format!("/v1/links{query}");
        admin.ask("POST", &path).json(json!({"key": key, "target": target})).send()
    };
    create("", "go.example/b", TARGET).is(201);
    let problem = create("", "go.example/a", "https://go.example/b").problem(409, "chain");
    assert!(problem["detail"].as_str().unwrap().contains("`go.example/b`"), "{problem}");
    assert_eq!(create("?chains=flatten", "go.example/a", "https://go.example/b").is(201).json()["target"], TARGET);
    create("?chains=allow", "go.example/c", "https://go.example/b").is(201);
    create("?chains=allow", "go.example/d", "http://go.example/d").problem(409, "loop");
    // What may be another server has to be allowed.
    create("", "go.example/d", "https://go.example/d").problem(409, "chain");
    create("?chains=allow", "go.example/d", "https://go.example/d").is(201);
    create("?chains=maybe", "go.example/e", TARGET).problem(400, "malformed");
    let path = "/v1/links/go.example%2Fb";
    admin.ask("PATCH", path).json(json!({"target": "https://go.example/c"})).send().problem(409, "loop");
    admin
        .ask("PATCH", &format!("{path}?chains=allow"))
        .json(json!({"target": "https://go.example/c"}))
        .send()
        .problem(409, "loop");
}

#[test]
fn a_loop_names_the_field_that_leads_back() {
    let admin = Admin::start(&[]);
    let put = |key: &str, target: &str| {
        admin.ask("PUT", &format!("/v1/links/go.example%2F{key}?chains=allow")).json(json!({"target": target})).send()
    };
    put("a", TARGET).is(201);
    put("b", "http://go.example/a").is(201);
    let over = json!({"expires_at": "2090-01-01T00:00:00Z", "expired_target": "http://go.example/b"});
    let problem = admin.ask("PATCH", "/v1/links/go.example%2Fa?chains=allow").json(over).send().problem(409, "loop");
    assert_eq!(problem["errors"][0]["field"], "expired_target", "{problem}");
    assert_eq!(problem["errors"][0]["value"], "http://go.example/b", "{problem}");
}

#[test]
fn links_of_other_hosts_are_not_told_to_a_restricted_token() {
    let admin = Admin::start(&[]);
    admin.ask("POST", "/v1/links").json(json!({"key": "b.example/x", "target": TARGET})).send().is(201);
    let (writer, _) = admin.create(json!({"name": "w", "scope": "write", "hosts": ["a.example"]}));
    let create = |query: &str, key: &str| {
        let body = json!({"key": key, "target": "https://b.example/x"});
        admin.ask_as(&writer, "POST", &format!("/v1/links{query}")).json(body).send()
    };
    let problem = create("", "a.example/x").problem(409, "chain");
    assert!(!problem["detail"].as_str().unwrap().contains("b.example"), "{problem}");
    create("?chains=flatten", "a.example/x").problem(403, "forbidden");
    create("?chains=allow", "a.example/x").is(201);
    // A key that can't be read is no code on any host.
    assert_eq!(create("", "a example/x").problem(422, "invalid")["errors"][0]["field"], "key");
}

#[test]
fn targets_follow_the_rules_of_their_host() {
    let admin = Admin::start(&[]);
    admin.ask("PUT", "/v1/hosts/*").json(json!({"denied_targets": ["evil.example"]})).send().is(201);
    let settings = json!({"allowed_targets": ["*.example.com", "evil.example"], "allow_userinfo": true});
    admin.ask("PUT", "/v1/hosts/go.example").json(settings).send().is(201);
    let create = |key: &str, target: &str| {
        admin.ask("POST", "/v1/links?upsert=true").json(json!({"key": key, "target": target})).send()
    };
    create("go.example/a", "https://u:p@www.example.com/").is(201);
    create("other.example/a", "https://www.example.org/").is(201);
    for (key, target) in [
        ("go.example/a", "https://example.org/"),
        ("go.example/a", "https://evil.example/"),
        ("other.example/a", "https://EVIL.example./"),
        ("other.example/a", "https://u:p@www.example.com/"),
        ("/a", "javascript:alert(1)"),
    ] {
        let problem = create(key, target).problem(422, "invalid");
        assert_eq!(
            (&problem["errors"][0]["field"], &problem["errors"][0]["value"]),
            (&json!("target"), &json!(target))
        );
    }
    let patch = json!({"expires_at": "2030-01-01T00:00:00Z", "expired_target": "https://evil.example/"});
    let problem = admin.ask("PATCH", "/v1/links/go.example%2Fa").json(patch).send().problem(422, "invalid");
    assert_eq!(problem["errors"][0]["field"], "expired_target");
}

#[test]
fn lists_are_filtered_and_walked_to_their_end() {
    let admin = Admin::start(&[]);
    for number in 0..25 {
        let host = if number % 2 == 0 { "a.example" } else { "b.example" };
        let tags = if number % 5 == 0 { json!(["five", "all"]) } else { json!(["all"]) };
        let body = json!({
            "key": format!("{host}/p{}/{number:02}", number % 3), "target": format!("{TARGET}{number}"), "tags": tags,
            "title": (number == 7).then_some("A Needle"), "disabled": number == 8,
        });
        admin.ask("POST", "/v1/links").json(body).send().is(201);
    }
    let list = |query: &str| admin.ask("GET", &format!("/v1/links?{query}")).send();
    let count = |query: &str| {
        let page = list(query).is(200).json();
        assert_eq!(page["next_cursor"], Value::Null);
        keys(&page).len()
    };
    for (query, links) in [
        ("", 25),
        ("host=a.example", 13),
        ("host=a.example&path_prefix=/p1", 4),
        ("path_prefix=/p0/", 9),
        ("tag=five", 5),
        ("tag=five&host=b.example", 2),
        ("text=needle", 1),
        ("text=example.com/24", 1),
        ("state=disabled", 1),
        ("state=active", 24),
        ("state=scheduled", 0),
        ("created_from=2020-01-01T00:00:00Z", 25),
        ("created_to=2020-01-01T00:00:00Z", 0),
        ("host=c.example", 0),
    ] {
        assert_eq!(count(query), links, "{query}");
    }
    let whole = list("").json();
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("limit=4{cursor}")).is(200).json();
        assert!(keys(&page).len() <= 4);
        walked.extend(keys(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(walked, keys(&whole));
    for query in [
        "cursor=x",
        "limit=0",
        "limit=1001",
        "state=gone",
        "created_from=1",
        "tag=",
        "text=",
        "host=a/b",
        "limit=1&limit=1",
    ] {
        list(query).problem(400, "malformed");
    }
    let problem = list("path_perfix=/a").problem(400, "malformed");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `path_prefix`?"), "{problem}");
}

#[test]
fn tokens_see_and_change_what_they_are_for() {
    let admin = Admin::start(&[]);
    for key in ["a.example/x", "b.example/x", "/x"] {
        admin.ask("POST", "/v1/links").json(json!({"key": key, "target": TARGET})).send().is(201);
    }
    let (reader, _) = admin.create(json!({"name": "r", "scope": "read"}));
    let (writer, _) = admin.create(json!({"name": "w", "scope": "write", "hosts": ["a.example"]}));
    let page = admin.ask_as(&writer, "GET", "/v1/links").send().is(200).json();
    assert_eq!(keys(&page), ["a.example/x"]);
    let exported = admin.ask_as(&writer, "GET", "/v1/export").send().is(200).text;
    assert!(exported.contains("a.example/x") && !exported.contains("b.example/x"), "{exported}");
    for path in ["/v1/links/b.example%2Fx", "/v1/links/%2Fx", "/v1/links?host=b.example"] {
        admin.ask_as(&writer, "GET", path).send().problem(403, "forbidden");
        admin.ask_as(&reader, "GET", path).send().is(200);
    }
    let body = |key: &str| json!({"key": key, "target": TARGET, "title": "t"});
    admin.ask_as(&writer, "POST", "/v1/links?upsert=true").json(body("a.example/x")).send().is(200);
    for (token, key) in [(&writer, "b.example/x"), (&writer, "/x"), (&reader, "a.example/x")] {
        admin.ask_as(token, "POST", "/v1/links?upsert=true").json(body(key)).send().problem(403, "forbidden");
        let path = format!("/v1/links/{}", key.replace('/', "%2F"));
        for method in ["PUT", "PATCH", "DELETE"] {
            admin.ask_as(token, method, &path).json(json!({})).send().problem(403, "forbidden");
        }
    }
    admin.ask_as(&writer, "POST", "/v1/links").json(json!({"target": TARGET})).send().problem(403, "forbidden");
}
