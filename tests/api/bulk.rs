//! Many links at once.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Admin, Answer, exchange};

pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The content of an answer that came in chunks (RFC 9112 §7.1).
fn whole(text: &str) -> String {
    let (mut rest, mut content) = (text, String::new());
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

#[track_caller]
pub(crate) fn lines(answer: Answer) -> Vec<Value> {
    let answer = answer.is(200);
    assert_eq!(answer.field("content-type"), Some(NDJSON));
    whole(&answer.text).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn batch(admin: &Admin, commands: Value) -> Answer {
    admin.ask("POST", "/v1/batch").json(json!({"commands": commands})).send()
}

#[test]
fn a_batch_is_made_wholly_or_not_at_all() {
    let admin = Admin::start(&[]);
    let link = |title: &str| json!({"target": "https://www.example.com/", "title": title});
    let outcomes = batch(
        &admin,
        json!([
            {"op": "create", "key": "http://A.example/1", "link": link("a")},
            {"op": "put", "key": "a.example/2", "link": link("a")},
            {"op": "patch", "key": "a.example/2", "link": {"title": "b"}},
            {"op": "put", "key": "a.example/1", "link": link("a")},
            {"op": "delete", "key": "a.example/3"},
        ]),
    );
    // It is the second change: the first made the token.
    let outcome =
        |key: &str, outcome: &str, version: Value| json!({"key": key, "outcome": outcome, "version": version});
    assert_eq!(
        outcomes.is(200).json(),
        json!({"outcomes": [
            outcome("a.example/1", "created", json!(2)),
            outcome("a.example/2", "created", json!(2)),
            outcome("a.example/2", "replaced", json!(2)),
            outcome("a.example/1", "unchanged", json!(2)),
            outcome("a.example/3", "unchanged", Value::Null),
        ]})
    );
    for (last, status, kind) in [
        (json!({"op": "create", "key": "a.example/2", "link": link("x")}), 409, "exists"),
        (json!({"op": "patch", "key": "a.example/9", "link": {"title": "x"}}), 404, "not-found"),
        (json!({"op": "delete", "key": "a.example/2", "version": 1}), 412, "version-mismatch"),
        (json!({"op": "put", "key": "a.example/9", "link": {"target": "https://a.example/2"}}), 409, "chain"),
    ] {
        let problem = batch(&admin, json!([{"op": "delete", "key": "a.example/1"}, last])).problem(status, kind);
        let field = if kind == "chain" { "commands[1].link.target" } else { "commands[1]" };
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        admin.ask("GET", "/v1/links/a.example%2F1").send().is(200);
    }
}

#[test]
fn the_command_that_was_refused_is_the_one_that_is_named() {
    let admin = Admin::start(&[]);
    let link = json!({"target": "https://www.example.com/"});
    batch(&admin, json!([{"op": "put", "key": "a.example/1", "link": link}])).is(200);
    let patch = |link: Value| json!({"op": "patch", "key": "a.example/1", "link": link});
    for (second, status, kind, field) in [
        (json!({"expired_target": "https://www.example.com/"}), 422, "invalid", "expired_target"),
        (json!({"target": "http://a.example/1"}), 409, "loop", "target"),
    ] {
        // The first one of this link would do.
        let problem = batch(&admin, json!([patch(json!({"title": "x"})), patch(second)])).problem(status, kind);
        assert_eq!(problem["errors"][0]["field"], format!("commands[1].link.{field}"), "{problem}");
    }
}

#[test]
fn what_is_wrong_with_a_batch_is_said_of_each_command() {
    let admin = Admin::start(&[]);
    let problem = batch(
        &admin,
        json!([
            {"op": "put", "key": "/a", "link": {"target": "x", "tag": []}},
            {"op": "delete", "key": "/b", "link": {}},
            {"op": "make", "key": "b"},
            7,
            {"op": "create", "key": "/a", "version": 1},
        ]),
    );
    let problem = problem.problem(422, "invalid");
    let errors = problem["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "commands[0].link.tag",
            "commands[0].link.target",
            "commands[1].link",
            "commands[2].op",
            "commands[2].key",
            "commands[3]",
            "commands[4].version",
            "commands[4].link",
        ]
    );
    let misspelt = admin.ask("POST", "/v1/batch").json(json!({"comands": []})).send().problem(422, "invalid");
    let fields: Vec<_> = misspelt["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["comands", "commands"], "{misspelt}");
    batch(&admin, json!([])).problem(422, "invalid");
    let many: Vec<Value> = (0..1_001).map(|number| json!({"op": "delete", "key": format!("/{number}")})).collect();
    batch(&admin, json!(many)).problem(422, "invalid");
    batch(&admin, json!(many[..1_000])).is(200);
    let note = "n".repeat(2_000);
    let link = json!({"target": "https://a.example/", "note": note});
    let large: Vec<Value> = (0..500).map(|n| json!({"op": "put", "key": format!("/{n}"), "link": link})).collect();
    batch(&admin, json!(large)).problem(413, "too-large");
}

#[test]
fn a_named_batch_is_made_once() {
    let admin = Admin::start(&[]);
    let ask = |target: &str| {
        let commands = json!({"commands": [{"op": "create", "key": "/a", "link": {"target": target}}]});
        admin.ask("POST", "/v1/batch").field("Idempotency-Key", "b").json(commands).send()
    };
    let first = ask("https://a.example/").is(200).json();
    assert_eq!(ask("https://a.example/").is(200).json(), first);
    ask("https://b.example/").problem(422, "idempotency-key-reused");
}

#[test]
fn good_lines_are_imported_and_bad_ones_told() {
    let admin = Admin::start(&[]);
    let long = format!("{{\"key\":\"/l\",\"note\":\"{}\"}}", "x".repeat(70_000));
    let body = [
        r#"{"key":"/a","target":"https://a.example/"}"#,
        "",
        "{",
        r#"{"key":"/b","targt":"https://a.example/"}"#,
        r#"{"key":"/a","target":"https://b.example/"}"#,
        &long,
        r#"{"target":"https://a.example/"}"#,
        "[]",
        r#"{"key":"*/a","target":"https://b.example/"}"#,
    ]
    .join("\n");
    let told = lines(admin.ask("POST", "/v1/import").body(NDJSON, body.clone()).send());
    let shown: Vec<String> = told
        .iter()
        .map(|line| match (&line["outcome"], &line["error"]["type"]) {
            (Value::String(outcome), _) => format!("{} {outcome} {} {}", line["line"], line["key"], line["version"]),
            (_, Value::String(kind)) => format!("{} {kind}", line["line"]),
            _ => line.to_string(),
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"1 created "*/a" 2"#,
            "3 /problems/malformed",
            "4 /problems/invalid",
            r#"5 replaced "*/a" 3"#,
            "6 /problems/malformed",
            "7 /problems/invalid",
            "8 /problems/invalid",
            r#"9 unchanged "*/a" null"#,
            r#"{"summary":{"created":1,"failed":5,"lines":8,"replaced":1,"unchanged":1}}"#,
        ]
    );
    assert_eq!(told[2]["error"]["errors"][0]["field"], "targt");
    let told = lines(admin.ask("POST", "/v1/import?mode=create&answers=failures").body(NDJSON, body).send());
    assert_eq!(told.len(), 9);
    assert_eq!(told[0]["error"]["type"], "/problems/exists");
    assert_eq!(told[8]["summary"], json!({"created": 0, "replaced": 0, "unchanged": 0, "failed": 8, "lines": 8}));
    admin.ask("POST", "/v1/import").json(json!({})).send().problem(415, "media-type");
    admin.ask("POST", "/v1/import?mod=create").body(NDJSON, "").send().problem(400, "malformed");
    let both = "/v1/import?mode=destination&chains=refuse";
    let problem = admin.ask("POST", both).body(NDJSON, "").send().problem(400, "malformed");
    assert_eq!(problem["errors"][0]["field"], "chains");
    let body = "\u{feff}{\"key\":\"https://C.example/a\",\"target\":\"https://c.example/a?x=y\"}\n\
                {\"key\":\"http://c.example/a\",\"target\":\"https://c.example/a\"}\n";
    let told = lines(admin.ask("POST", "/v1/import?mode=destination").body(NDJSON, body).send());
    assert_eq!(told[0]["error"]["type"], "/problems/loop");
    // Another server may answer https.
    assert_eq!((&told[1]["outcome"], &told[1]["key"]), (&json!("created"), &json!("c.example/a")), "{}", told[1]);
    let (reader, _) = admin.create(json!({"name": "r", "scope": "read"}));
    admin.ask_as(&reader, "POST", "/v1/import").body(NDJSON, "").send().problem(403, "forbidden");
    let (writer, _) = admin.create(json!({"name": "w", "scope": "write", "hosts": ["a.example"]}));
    let body = r#"{"key":"/a","target":"https://a.example/"}"#;
    let told = lines(admin.ask_as(&writer, "POST", "/v1/import").body(NDJSON, body).send());
    assert_eq!(told[0]["error"]["type"], "/problems/forbidden");
}

#[test]
fn a_named_import_can_be_sent_again() {
    let admin = Admin::start(&[]);
    let body = "{\"key\":\"/a\",\"target\":\"https://a.example/\"}\n{\"key\":\"/b\",\"status\":410}\n";
    let ask =
        || lines(admin.ask("POST", "/v1/import?mode=create").field("Idempotency-Key", "i").body(NDJSON, body).send());
    assert_eq!(ask(), ask());
}

#[test]
fn an_import_ends_when_its_token_is_revoked() {
    let admin = Admin::start(&[]);
    let (writer, id) = admin.create(json!({"name": "w", "scope": "write"}));
    let mut stream = TcpStream::connect(admin.server.admin.unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = admin.ask_as(&writer, "POST", "/v1/import").field("Content-Type", NDJSON);
    let head = head.field("Transfer-Encoding", "chunked").text();
    let chunk = |key: &str| {
        let line = format!("{{\"key\":\"{key}\",\"target\":\"https://a.example/\"}}\n");
        format!("{:x}\r\n{line}\r\n", line.len())
    };
    stream.write_all(format!("{head}{}", chunk("/a")).as_bytes()).unwrap();
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("created") {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).unwrap();
        assert_ne!(length, 0, "{}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&piece[..length]);
    }
    admin.ask("DELETE", &format!("/v1/tokens/{id}")).send().is(204);
    stream.write_all(chunk("/b").as_bytes()).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.contains("/problems/unauthorized") && !rest.contains("summary"), "{rest}");
    // Without the last chunk.
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
    admin.ask("GET", "/v1/links/%2Fb").send().problem(404, "not-found");
}

#[test]
fn many_lines_stream_in_and_out_and_make_the_same_links_elsewhere() {
    const LINKS: usize = 50_000;
    let admin = Admin::start(&["--durability", "os"]);
    let body = (0..LINKS).fold(String::new(), |mut body, number| {
        let status = [301, 302, 307, 308][number % 4];
        writeln!(body, r#"{{"key":"go.example/{number}","target":"https://www.example.com/{number}","status":{status},"tags":["t{}"]}}"#, number % 10).unwrap();
        body
    });
    let told = import(&admin, "/v1/import", &body);
    assert_eq!(told.len(), LINKS + 1);
    assert!(
        told[..LINKS].iter().enumerate().all(|(index, line)| line["line"] == index + 1 && line["outcome"] == "created")
    );
    assert_eq!(told[LINKS]["summary"]["created"], LINKS);
    let exported = whole(&admin.ask("GET", "/v1/export").send().is(200).text);
    assert_eq!(exported.lines().count(), LINKS);
    let other = Admin::start(&["--durability", "os"]);
    let told = import(&other, "/v1/import?answers=failures", &exported);
    assert_eq!(
        told,
        [json!({"summary": {"created": LINKS, "replaced": 0, "unchanged": 0, "failed": 0, "lines": LINKS}})]
    );
    let again = whole(&other.ask("GET", "/v1/export?tag=t3").send().is(200).text);
    assert_eq!(again.lines().count(), LINKS / 10);
    let said = |text: &str| {
        let mut link: Value = serde_json::from_str(text).unwrap();
        for field in ["id", "created_at", "updated_at", "version"] {
            link.as_object_mut().unwrap().remove(field).unwrap();
        }
        link
    };
    let wanted = exported.lines().map(said).filter(|link| link["tags"] == json!(["t3"]));
    assert!(wanted.eq(again.lines().map(said)));
}

/// Sends while it reads, as a client of streams does.
fn import(admin: &Admin, path: &str, body: &str) -> Vec<Value> {
    let mut stream = TcpStream::connect(admin.server.admin.unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let request = admin.ask("POST", path).body(NDJSON, body).text();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(request.as_bytes()).unwrap());
        lines(exchange(&mut stream, ""))
    })
}
