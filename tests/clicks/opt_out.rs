//! Who does not want to be followed is counted, and nothing else is kept; likewise of links that do not follow.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::api;
use crate::client::Admin;
use crate::feed::Feed;
use crate::load::{Asker, BOT, HEAD, HUMAN, HUMANS, Head, PREVIEW, one_by_one, user_agent};

/// Of a link that follows and one that does not.
const FOLLOWS: &str = "a.example/follows";
const UNTRACKED: &str = "a.example/untracked";

fn requests(path: &str, class: u8, times: usize, field: (&str, &str)) -> Vec<String> {
    let mut random = fastrand::Rng::new();
    let request = |_| {
        let user_agent = if class == HUMAN { HUMANS[0] } else { user_agent(class, &mut random) };
        let head = Head::new(class, "a.example", path).field("User-Agent", user_agent);
        head.field("Referer", "https://news.example/").field("Accept-Language", "de").field(field.0, field.1).end()
    };
    (0..times).map(request).collect()
}

/// How many details are kept, by what they say, and about how many people there were.
#[track_caller]
fn kept(admin: &Admin, key: &str) -> (u64, u64) {
    let (shares, details) = api::breakdown(admin, key, "referrer");
    let clicks: u64 = shares.values().sum();
    assert_eq!(clicks, details, "few clicks are all kept: {shares:?}");
    (details, api::uniques_of(admin, key))
}

#[test]
fn an_untracked_link_is_counted_and_no_more() {
    let admin = Admin::start(&["--workers", "2"]);
    api::create(&admin, [(FOLLOWS.to_owned(), json!({"target": "https://to.example/"}))]);
    // The command line says it like the API does.
    let output = Command::new(env!("CARGO_BIN_EXE_carom"))
        .args(["link", "add", UNTRACKED, "--target", "https://to.example/", "--untracked", "--data"])
        .arg(admin.server.data())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let link = |key: &str| admin.ask("GET", &format!("/v1/links/{}", api::encoded(key))).send().is(200).json();
    assert_eq!((&link(UNTRACKED)["untracked"], &link(FOLLOWS)["untracked"]), (&json!(true), &json!(false)));
    let feed = Feed::open(&admin, &format!("?key={}", api::encoded(UNTRACKED)), None);
    let mut asker = Asker::connect(admin.server.address).unwrap();
    for path in ["/follows", "/untracked"] {
        for (class, times) in [(HUMAN, 5), (BOT, 3), (PREVIEW, 2), (HEAD, 1)] {
            let statuses = one_by_one(&mut asker, class, &requests(path, class, times, ("", "")));
            assert_eq!(statuses, vec![302; times]);
        }
    }
    for key in [FOLLOWS, UNTRACKED] {
        api::counted(&admin, key, [5, 3, 2, 1]);
    }
    assert_eq!(kept(&admin, FOLLOWS), (5, 1));
    assert_eq!(kept(&admin, UNTRACKED), (0, 0));
    assert!(feed.stays_silent(Duration::from_millis(1_200)));
    // From the next click on, it is as it says then.
    let path = format!("/v1/links/{}", api::encoded(UNTRACKED));
    admin.ask("PATCH", &path).json(json!({"untracked": false})).send().is(200);
    one_by_one(&mut asker, HUMAN, &requests("/untracked", HUMAN, 2, ("", "")));
    api::counted(&admin, UNTRACKED, [7, 3, 2, 1]);
    assert_eq!(kept(&admin, UNTRACKED), (2, 1));
}

#[test]
fn who_opts_out_is_not_followed_where_that_is_honoured() {
    let fields = [("DNT", "1"), ("Sec-GPC", "1"), ("DNT", "0"), ("Sec-GPC", "0"), ("", "")];
    for (arguments, kept_of_each) in
        [(&["--workers", "2"][..], [4, 4, 4, 4, 4]), (&["--workers", "2", "--honor-opt-out"][..], [0, 0, 4, 4, 4])]
    {
        let admin = Admin::start(arguments);
        let key = |number: usize| format!("a.example/{number}");
        api::create(&admin, (0..fields.len()).map(|number| (key(number), json!({"target": "https://to.example/"}))));
        let mut asker = Asker::connect(admin.server.address).unwrap();
        for (number, field) in fields.into_iter().enumerate() {
            // One connection, on which some opt out and some do not.
            one_by_one(&mut asker, HUMAN, &requests(&format!("/{number}"), HUMAN, 4, field));
        }
        for (number, details) in kept_of_each.into_iter().enumerate() {
            let what = format!("{arguments:?}, {:?}", fields[number]);
            api::counted(&admin, &key(number), [4, 0, 0, 0]);
            assert_eq!(kept(&admin, &key(number)), (details, u64::from(details > 0)), "{what}");
        }
    }
}

#[test]
fn only_counts_are_kept_where_no_more_is_wanted() {
    let admin = Admin::start(&["--workers", "2", "--clicks", "counts"]);
    api::create(&admin, [(FOLLOWS.to_owned(), json!({"target": "https://to.example/"}))]);
    let feed = Feed::open(&admin, "", None);
    let mut asker = Asker::connect(admin.server.address).unwrap();
    one_by_one(&mut asker, HUMAN, &requests("/follows", HUMAN, 4, ("", "")));
    api::counted(&admin, FOLLOWS, [4, 0, 0, 0]);
    assert_eq!(kept(&admin, FOLLOWS), (0, 0));
    assert!(feed.stays_silent(Duration::from_millis(1_200)));
}

#[test]
fn nothing_is_counted_where_nothing_is_wanted() {
    let admin = Admin::start(&["--workers", "2"]);
    api::create(&admin, [(FOLLOWS.to_owned(), json!({"target": "https://to.example/"}))]);
    let mut asker = Asker::connect(admin.server.address).unwrap();
    one_by_one(&mut asker, HUMAN, &requests("/follows", HUMAN, 4, ("", "")));
    api::counted(&admin, FOLLOWS, [4, 0, 0, 0]);
    let counted = kept(&admin, FOLLOWS);
    assert_eq!(counted, (4, 1));
    // What was counted before can still be read, and nothing is added to it.
    let admin = api::start_on(admin.server.stop(), &["--workers", "2", "--clicks", "none"]);
    let feed = Feed::open(&admin, "", None);
    let mut asker = Asker::connect(admin.server.address).unwrap();
    assert_eq!(one_by_one(&mut asker, HUMAN, &requests("/follows", HUMAN, 3, ("", ""))), [302; 3]);
    assert!(feed.stays_silent(Duration::from_millis(1_200)));
    assert_eq!((api::totals(&admin, "key", FOLLOWS), api::all(&admin)), ([4, 0, 0, 0], [4, 0, 0, 0]));
    assert_eq!(kept(&admin, FOLLOWS), counted);
    let status = admin.ask("GET", "/v1/status").send().is(200).json();
    assert_eq!((&status["clicks"]["keep"], &status["clicks"]["counted"]), (&json!("none"), &json!(0)), "{status}");
    // And it is counted on when that is wanted again.
    let admin = api::start_on(admin.server.stop(), &["--workers", "2"]);
    let mut asker = Asker::connect(admin.server.address).unwrap();
    one_by_one(&mut asker, HUMAN, &requests("/follows", HUMAN, 2, ("", "")));
    api::counted(&admin, FOLLOWS, [6, 0, 0, 0]);
}
