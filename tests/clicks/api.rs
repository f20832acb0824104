//! What the statistics say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Admin, first_token};
use crate::load::CLASSES;
use crate::support::{PATIENCE, Server};

/// How often, by class.
pub(crate) type Counts = [u64; CLASSES.len()];

/// Starts a server on a data directory that may have been used before.
pub(crate) fn start_on(data: TempDir, arguments: &[&str]) -> Admin {
    let server = Server::start_on(data, arguments);
    let token = first_token(&server);
    Admin { server, token }
}

/// Creates links, each a key and what it says.
pub(crate) fn create(admin: &Admin, links: impl IntoIterator<Item = (String, Value)>) {
    let commands = links.into_iter().map(|(key, link)| json!({"op": "create", "key": key, "link": link}));
    let commands: Vec<Value> = commands.collect();
    for some in commands.chunks(1_000) {
        admin.ask("POST", "/v1/batch").json(json!({"commands": some})).send().is(200);
    }
}

/// A text as it stands in a query (RFC 3986 §2.1).
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The answer to a question such as `totals?host=a.example`.
#[track_caller]
pub(crate) fn ask(admin: &Admin, question: &str) -> Value {
    admin.ask("GET", &format!("/v1/stats/{question}")).send().is(200).json()
}

fn counts(object: &Value) -> Counts {
    CLASSES.map(|class| object[class].as_u64().unwrap_or_else(|| panic!("no number `{class}` in {object}")))
}

/// How often: of a `key`, a `host` or a `tag`.
#[track_caller]
pub(crate) fn totals(admin: &Admin, by: &str, name: &str) -> Counts {
    totals_of(admin, &format!("?{by}={}", encoded(name)))
}

/// How often, of all links.
#[track_caller]
pub(crate) fn all(admin: &Admin) -> Counts {
    totals_of(admin, "")
}

#[track_caller]
fn totals_of(admin: &Admin, subject: &str) -> Counts {
    let answer = ask(admin, &format!("totals{subject}"));
    let counts = counts(&answer);
    assert_eq!(answer["total"].as_u64(), Some(counts.iter().sum()), "{answer}");
    counts
}

/// How often by key; a key that was that of several links has the sum of theirs.
pub(crate) fn export(admin: &Admin) -> BTreeMap<String, Counts> {
    let mut found = BTreeMap::<String, Counts>::new();
    for line in export_text(admin, "ndjson").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let sum = found.entry(row["key"].as_str().unwrap().to_owned()).or_default();
        sum.iter_mut().zip(counts(&row)).for_each(|(sum, more)| *sum += more);
    }
    found
}

/// An export, as it was sent.
pub(crate) fn export_text(admin: &Admin, format: &str) -> String {
    let answer = admin.ask("GET", &format!("/v1/stats/export?format={format}")).send().is(200);
    whole(&answer.text)
}

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

/// The values of a dimension and how many clicks each has, of a link; and of how many clicks details were kept.
pub(crate) fn breakdown(admin: &Admin, key: &str, by: &str) -> (BTreeMap<String, u64>, u64) {
    let answer = ask(admin, &format!("breakdown?key={}&by={by}&limit=100", encoded(key)));
    let share = |share: &Value| (share["value"].as_str().unwrap_or("").to_owned(), share["clicks"].as_u64().unwrap());
    let shares = answer["shares"].as_array().unwrap().iter().map(share).collect();
    (shares, answer["details"].as_u64().unwrap())
}

/// About how many people: the estimate, and between what it lies.
pub(crate) fn uniques(admin: &Admin, subject: &str) -> (u64, u64, u64) {
    let answer = ask(admin, &format!("uniques{subject}"));
    let [estimate, lower, upper] = ["estimate", "lower", "upper"].map(|name| answer[name].as_u64().unwrap());
    assert!(lower <= estimate && estimate <= upper, "{answer}");
    (estimate, lower, upper)
}

/// About how many people clicked on a link.
pub(crate) fn uniques_of(admin: &Admin, key: &str) -> u64 {
    uniques(admin, &format!("?key={}", encoded(key))).0
}

/// Waits until something holds, and says what has not come if it does not.
#[track_caller]
pub(crate) fn eventually(mut holds: impl FnMut() -> bool, what: impl FnOnce() -> String) {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            panic!("after {PATIENCE:?}: {}", what());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until a link was counted so often, by class, and not more often.
#[track_caller]
pub(crate) fn counted(admin: &Admin, key: &str, expected: Counts) {
    eventually(
        || totals(admin, "key", key).iter().sum::<u64>() >= expected.iter().sum(),
        || format!("{key} was counted {:?} of {expected:?} times", totals(admin, "key", key)),
    );
    assert_eq!(totals(admin, "key", key), expected, "{key}");
}
