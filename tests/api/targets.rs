//! What is no safe target is stored by no way in, and what is one comes out as the URL Standard writes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use url::Url;

use crate::bulk::{NDJSON, lines};
use crate::client::{Admin, Session};
use crate::support::{Answer, Client, not_run};

/// Where the redirects of these tests lead, when they should.
const TARGET: &str = "https://www.example.com/";

/// The test data of the URL Standard, which the package of the URL parser has with it; says so if it has not.
fn url_test_data() -> Option<Vec<Value>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap_or_default();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.into_iter().find(|package| package["name"] == "url");
    let manifest = package.and_then(|package| package["manifest_path"].as_str()).map(PathBuf::from);
    let Some(text) = manifest
        .and_then(|manifest| std::fs::read_to_string(manifest.with_file_name("tests").join("urltestdata.json")).ok())
    else {
        not_run("the test data of the URL Standard, which the package `url` has not with it here");
        return None;
    };
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    // Those that are no objects are remarks.
    Some(cases.into_iter().filter(Value::is_object).collect())
}

fn text(case: &Value, field: &str) -> String {
    case[field].as_str().unwrap().to_owned()
}

/// Bad for what stands around them; in a file, white space around a field is no part of it.
const PADDED: [&str; 3] = ["https://a.example/\n", "https://a.example/\r\n", "\thttps://a.example/"];

/// What no browser should be sent to, or could.
fn bad_targets() -> BTreeSet<String> {
    let mut bad: BTreeSet<String> = [
        "https://a.example/\r\nSet-Cookie: a=b",
        "https://a.exam\tple/",
        "https://a.example/\0",
        "https://a.example/\u{7f}",
        "https://a.example/%0d%0aSet-Cookie:%20a=b",
        "https://a.example/%0D",
        "https://a.example/?q=%0A",
        "https://a.example/#%0a",
        "https://a.example/%00",
        "https://user@a.example/",
        "https://user:password@a.example/",
        "https://:password@a.example/",
        "https://www.example.com@a.example/",
        "https:\\\\user@a.example",
        "//a.example/",
        "/a",
        "a.example",
    ]
    .map(str::to_owned)
    .into();
    bad.insert(format!("https://a.example/{}", "a".repeat(3_072)));
    // Within the limit as it is written, and beyond it once it is percent-encoded.
    bad.insert(format!("https://a.example/{}", "\u{e9}".repeat(1_000)));
    for url in
        ["javascript:alert(1)", "data:text/html,a", "vbscript:a", "file:///etc/passwd", "blob:https://a.example/1"]
    {
        let (first, rest) = url.split_at(1);
        bad.extend([url.to_owned(), url.to_uppercase(), format!("{}{rest}", first.to_uppercase())]);
        for inserted in ["\t", "\n", "\r\n", "\0", " ", "\u{1}", "\u{a0}", "\u{feff}", "\u{2028}"] {
            bad.extend([format!("{inserted}{url}"), format!("{first}{inserted}{rest}")]);
            bad.insert(url.replacen(':', &format!("{inserted}:"), 1));
        }
    }
    let failures = url_test_data().into_iter().flatten().filter(|case| case["failure"] == true);
    bad.extend(failures.map(|case| text(&case, "input")));
    eprintln!("{} bad targets", bad.len());
    bad
}

/// The fields that a problem names.
fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().into_iter().flatten().map(|error| error["field"].as_str().unwrap()).collect()
}

/// Asserts that all that is stored is what was there, as it was.
fn is_as_it_was(admin: &Admin) {
    let stored = lines(admin.ask("GET", "/v1/export").send());
    let stored: Vec<_> = stored.iter().map(|link| (&link["key"], &link["target"], &link["version"])).collect();
    assert_eq!(stored, [(&json!("go.example/there"), &json!(TARGET), &json!(2))]);
    let hosts = admin.ask("GET", "/v1/hosts").send().is(200).json();
    assert_eq!(hosts["hosts"], json!([]));
}

#[test]
fn the_api_refuses_what_is_no_safe_target() {
    let admin = Admin::start(&[]);
    let mut api = Session::open(&admin);
    let there = "/v1/links/go.example%2Fthere";
    api.ask("PUT", there, &json!({"target": TARGET})).is(201);
    let mut bad = bad_targets();
    bad.extend(PADDED.map(str::to_owned));
    for target in &bad {
        let expiring = json!({"expires_at": "2100-01-01T00:00:00Z", "expired_target": target});
        let created = json!({"key": "go.example/new", "target": TARGET, "max_clicks": 1, "expired_target": target});
        let commands = ["create", "put"]
            .map(|op| json!({"op": op, "key": format!("go.example/{op}"), "link": {"target": target}}));
        for (method, path, body, field) in [
            ("POST", "/v1/links", json!({"key": "go.example/new", "target": target}), "target"),
            ("POST", "/v1/links", json!({"host": "go.example", "target": target}), "target"),
            ("POST", "/v1/links", created, "expired_target"),
            ("POST", "/v1/links?upsert=true", json!({"key": "go.example/there", "target": target}), "target"),
            ("POST", "/v1/links?chains=flatten", json!({"key": "go.example/new", "target": target}), "target"),
            ("PUT", "/v1/links/go.example%2Fnew", json!({"target": target}), "target"),
            ("PUT", there, json!({"target": target}), "target"),
            ("PATCH", there, json!({"target": target}), "target"),
            ("PATCH", there, expiring, "expired_target"),
            ("POST", "/v1/batch", json!({"commands": commands}), "commands[0].link.target"),
            ("PUT", "/v1/hosts/go.example", json!({"fallback": target}), "fallback"),
            ("PUT", "/v1/hosts/go.example", json!({"not_found_target": target}), "not_found_target"),
        ] {
            let answer = api.ask(method, path, &body);
            assert_eq!(answer.status, 422, "{method} {path} {body}: {answer:?}");
            let problem: Value = serde_json::from_str(&answer.text).unwrap();
            assert!(fields(&problem).contains(&field), "{method} {path} {body}: {answer:?}");
        }
    }
    for mode in ["upsert", "create", "destination"] {
        let line =
            |(number, target)| json!({"key": format!("go.example/{number}"), "target": target}).to_string() + "\n";
        let body: String = bad.iter().enumerate().map(line).collect();
        let told = lines(admin.ask("POST", &format!("/v1/import?mode={mode}")).body(NDJSON, body).send());
        assert_eq!(told.len(), bad.len() + 1);
        for (line, target) in told.iter().zip(&bad) {
            assert_eq!(fields(&line["error"]), ["target"], "{target:?}: {line}");
        }
        assert_eq!(told[bad.len()]["summary"]["failed"], bad.len());
    }
    is_as_it_was(&admin);
}

#[test]
fn a_file_with_unsafe_targets_is_refused_row_by_row() {
    let admin = Admin::start(&[]);
    admin.ask("PUT", "/v1/links/go.example%2Fthere").json(json!({"target": TARGET})).send().is(201);
    let bad = bad_targets();
    let (mut file, mut line, mut begins) = ("source,target,status\n".to_owned(), 2, Vec::new());
    for (number, target) in bad.iter().enumerate() {
        let row = format!("go.example/{number},\"{}\",302\n", target.replace('"', "\"\""));
        begins.push(format!("line {line}"));
        line += row.matches('\n').count();
        file += &row;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.csv");
    std::fs::write(&path, file).unwrap();
    let fresh = dir.path().join("data");
    let carom = |arguments: &[&Path]| Command::new(env!("CARGO_BIN_EXE_carom")).args(arguments).output().unwrap();
    // Into a running server, and into a directory that none runs on.
    for data in [&admin.server.data(), &fresh] {
        let said = carom(&["import".as_ref(), &path, "--data".as_ref(), data]);
        let errors = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(3), "{errors}");
        let told: Vec<&str> = errors.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
        assert_eq!(told[..bad.len()], begins);
        let sum = format!("carom: {0} of {0} rows are invalid; nothing was changed.", bad.len());
        assert!(errors.lines().last().unwrap().starts_with(&sum), "{errors}");
        assert!(!errors.contains(|letter: char| letter.is_control() && letter != '\n'), "{errors:?}");
    }
    let left = carom(&["export".as_ref(), "--data".as_ref(), &fresh]);
    assert_eq!((left.status.code(), left.stdout), (Some(0), Vec::new()));
    is_as_it_was(&admin);
}

/// Targets that the URL Standard knows how to read, each with how it writes them.
fn good_targets() -> BTreeSet<(String, String)> {
    let cases = url_test_data().into_iter().flatten();
    let web = cases.filter(|case| case["protocol"] == "http:" || case["protocol"] == "https:");
    let good = web.flat_map(|case| {
        let href = text(&case, "href");
        // With a base, what was read may be relative to it; what was written never is.
        let input = case["base"].is_null().then(|| (text(&case, "input"), href.clone()));
        input.into_iter().chain([(href.clone(), href)])
    });
    good.chain([(TARGET.to_owned(), TARGET.to_owned())]).collect()
}

/// Whether a text holds a line end, a NUL or another control character, raw or percent-encoded.
fn holds_control(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains(|letter: char| letter.is_ascii_control()) || ["%00", "%0a", "%0d"].iter().any(|it| text.contains(it))
}

/// What a client may put into a path or a query, if the server lets it.
fn hostile() -> Vec<Vec<u8>> {
    let each_byte = (0..=255).map(|byte| vec![b'a', byte, b'b']);
    let texts = [
        "%0d%0aSet-Cookie:%20a=b",
        "%00%0A%0D%09%20%7F",
        "\r\nSet-Cookie: a=b",
        "a HTTP/1.1\r\nX: y",
        "<script>alert('\"')</script>",
        "#fragment",
        "%23%3f%",
        "%%%zz&=&&a=%",
        "\\\\evil.example\\",
        "/evil.example/../../..//evil.example",
        "@evil.example:80/",
        ".evil.example",
        ":@evil.example",
        "http://evil.example/",
        "?/?#",
        "\u{202e}\u{e9}\u{1f3b1}",
    ];
    each_byte.chain(texts.map(|text| text.as_bytes().to_vec())).collect()
}

/// Redirects of one server to one target, asked for by somebody who means no good.
struct Asker<'a> {
    admin: &'a Admin,
    wire: Client,
    redirects: usize,
    refused: usize,
}

impl<'a> Asker<'a> {
    fn new(admin: &'a Admin) -> Self {
        Asker { admin, wire: admin.server.connect(), redirects: 0, refused: 0 }
    }

    /// Asks for a path and query of any bytes. The answer is a refusal, or leads to where `target` is, user, host and
    /// port, in printable ASCII, with no field that is not the server's own.
    fn ask(&mut self, host: &str, path: &[u8], target: &str) -> Option<Url> {
        let ends = format!(" HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = self.wire.send([b"GET ", path, ends.as_bytes()].concat()).answer(false);
        let shown = || format!("{host} {:?} to {target}: {answer:?}", String::from_utf8_lossy(path));
        if answer.status == 400 {
            self.wire = self.admin.server.connect();
            self.refused += 1;
            return None;
        }
        assert_eq!(answer.status, 302, "{}", shown());
        self.redirects += 1;
        let location = location(&answer);
        let names: Vec<&str> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-length", "cache-control", "date", "location"], "{}", shown());
        let (url, target) = (Url::parse(location).unwrap(), Url::parse(target).unwrap());
        let place = |url: &Url| (url.origin(), url.username().to_owned(), url.password().map(str::to_owned));
        assert_eq!(place(&url), place(&target), "{}", shown());
        Some(url)
    }
}

/// The location of an answer, which must be printable ASCII.
fn location(answer: &Answer) -> &str {
    let location = answer.field("location").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{answer:?}");
    location
}

#[test]
fn redirects_lead_where_the_url_standard_says_whatever_is_asked() {
    let admin = Admin::start(&["--durability", "os"]);
    let mut api = Session::open(&admin);
    for policy in ["drop", "forward", "merge"] {
        let settings = json!({"query_policy": policy, "allow_userinfo": true});
        api.ask("PUT", &format!("/v1/hosts/{policy}.example"), &settings).is(201);
    }
    let mut asker = Asker::new(&admin);
    let (mut taken, mut refused) = (Vec::new(), 0);
    for (number, (input, href)) in good_targets().into_iter().enumerate() {
        for policy in ["drop", "forward", "merge"] {
            let link = json!({"key": format!("{policy}.example/{number}"), "target": input});
            let answer = api.ask("POST", "/v1/links", &link);
            assert_eq!(answer.status, if holds_control(&input) { 422 } else { 201 }, "{input:?}: {answer:?}");
        }
        if holds_control(&input) {
            refused += 1;
            continue;
        }
        for (host, path) in [("drop", "?"), ("drop", "?a=b"), ("forward", ""), ("forward", "?"), ("merge", "?")] {
            let answer = asker.wire.get(&format!("{host}.example"), &format!("/{number}{path}"));
            assert_eq!((answer.status, location(&answer)), (302, &*href), "{input:?}");
        }
        // The query and the fragment are those of the request.
        let base = input.split(['?', '#']).next().unwrap();
        let fallback = json!({"fallback": base, "allow_userinfo": true});
        api.ask("PUT", &format!("/v1/hosts/f{number}.example"), &fallback).is(201);
        taken.push((number, href));
    }
    eprintln!("{} of {} good targets taken", taken.len(), taken.len() + refused);
    let hostile = hostile();
    for (index, (number, href)) in taken.iter().enumerate() {
        // All that is hostile to some targets, and some of it to all.
        let step = if index % 40 == 0 { 1 } else { 17 };
        for hostile in hostile.iter().skip(index % step).step_by(step) {
            for policy in ["forward", "merge"] {
                let path = [format!("/{number}?").as_bytes(), hostile].concat();
                if let Some(url) = asker.ask(&format!("{policy}.example"), &path, href) {
                    let target = Url::parse(href).unwrap();
                    assert_eq!((url.path(), url.fragment()), (target.path(), target.fragment()));
                }
            }
            let host = format!("f{number}.example");
            // As a path, as what follows the authority of the absolute form, and as a query.
            for before in ["/", "//", &format!("http://{host}/"), &format!("http://{host}?"), "/?"] {
                if let Some(url) = asker.ask(&host, &[before.as_bytes(), hostile].concat(), href) {
                    assert_eq!(url.fragment(), None);
                }
            }
        }
    }
    eprintln!("{} redirects, {} requests refused", asker.redirects, asker.refused);
    assert!(asker.redirects > 1_000 || taken.len() == 1);
}
