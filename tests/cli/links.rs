//! `carom link`.

use serde_json::Value;

use crate::place::{Place, WAYS, Way, carom};

#[test]
fn a_link_is_created_shown_changed_and_deleted_over_every_way() {
    for way in WAYS {
        let place = Place::new(way);
        let created = place.say("link add go.example/sale --target https://shop.example/a --tag spring --tag b").done();
        assert_eq!(created, "created go.example/sale → https://shop.example/a (302)", "{way:?}");
        place
            .say("link add go.example/sale --target https://shop.example/b")
            .fails(1, &["exists already", "--upsert", "carom link set"]);
        let replaced =
            place.say("link add https://go.example/sale --target https://shop.example/b --status 307 --upsert").done();
        assert_eq!(replaced, "replaced go.example/sale → https://shop.example/b (307)", "{way:?}");

        let link = || -> Value { serde_json::from_str(&place.say("link get go.example/sale --json").done()).unwrap() };
        let old = &link()["version"];
        let shown = place.carom(&["link", "set", "go.example/sale", "--title", "Sale of spring", "--tag", "x"]).done();
        let version = &link()["version"];
        for line in
            ["Key:            go.example/sale", "Title:          Sale of spring", &format!("Version:        {version}")]
        {
            assert!(shown.lines().any(|shown| shown == line), "no `{line}` in {shown}");
        }
        place
            .say(&format!("link set go.example/sale --note n --if-version {old}"))
            .fails(1, &[&format!("version {old}"), &format!("version {version}")]);
        let shown =
            place.say(&format!("link set go.example/sale --clear title --clear tags --if-version {version}")).done();
        assert!(!shown.contains("Title:") && !shown.contains("Tags:"), "{shown}");

        assert_eq!((&link()["status"], &link()["title"]), (&307.into(), &Value::Null));
        place
            .say(&format!("link rm go.example/sale --if-version {version}"))
            .fails(1, &[&format!("version {version}"), "carom link get"]);
        assert_eq!(place.say("link rm go.example/sale").done(), "deleted go.example/sale");
        place.say("link get go.example/sale").fails(1, &["`go.example/sale`"]);
    }
}

#[test]
fn a_link_without_key_gets_a_code() {
    for way in WAYS {
        let place = Place::new(way);
        let created = place.say("link add --host go.example --target https://shop.example/a").done();
        let key = created.strip_prefix("created ").and_then(|rest| rest.split_once(" → ")).unwrap().0;
        assert!(key.len() > "go.example/".len() && key.starts_with("go.example/"), "{created}");
        assert!(place.carom(&["link", "get", key]).done().contains("Code:           generated"));
        assert!(place.say("link add --target https://shop.example/b").done().starts_with("created */"));
    }
}

#[test]
fn lists_are_tables_or_json_of_what_is_asked_for() {
    for way in WAYS {
        let place = Place::new(way);
        let said = place.say("link list");
        if way == Way::Process {
            said.fails(1, &["there are no links in carom-data"]);
        } else {
            said.done();
        }
        place.say("link add /gone --status 410").done();
        place.say("link add go.example/a --target https://x.example/a --tag one").done();
        place.say("link add go.example/b --target https://x.example/b --disabled").done();
        let table = place.say("link list").done();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        let columns: Vec<&str> = lines[0].split_whitespace().collect();
        assert_eq!(columns, ["key", "status", "target", "state", "tags", "updated"]);
        assert!(lines[1].starts_with("*/gone        410     -                    active"), "{table}");
        assert!(lines[2].starts_with("go.example/a  302     https://x.example/a  active    one   20"), "{table}");
        let keys = |arguments: &str| -> Vec<String> {
            let lines = place.say(&format!("link list --json {arguments}")).done();
            let key = |line| serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_owned();
            lines.lines().map(key).collect()
        };
        assert_eq!(keys("--host go.example"), ["go.example/a", "go.example/b"]);
        assert_eq!(keys("--host go.example --path-prefix /b"), ["go.example/b"]);
        assert_eq!(keys("--tag one"), ["go.example/a"]);
        assert_eq!(keys("--state disabled"), ["go.example/b"]);
        assert_eq!(keys("--text EXAMPLE/a"), ["go.example/a"]);
        assert_eq!(keys("--created-from 2990-01-01T00:00:00Z"), Vec::<String>::new());
        assert_eq!(keys("--limit 2"), ["*/gone", "go.example/a"]);
    }
}

#[test]
fn a_list_goes_on_over_pages() {
    let place = Place::new(Way::Control);
    let rows: String = (0..2_345).map(|n| format!("/p{n:04},https://x.example/{n}\n")).collect();
    place.file("links.csv", &format!("source,target\n{rows}"));
    place.say("import links.csv").done();
    assert_eq!(place.say("link list --json").done().lines().count(), 2_345);
    assert_eq!(place.say("link list --json --limit 1001").done().lines().count(), 1_001);
    assert_eq!(place.say("link list").done().lines().count(), 2_345 + 1);
}

#[test]
fn what_is_wrong_is_said_field_by_field_with_the_way_out() {
    for way in WAYS {
        let place = Place::new(way);
        place
            .carom(&["link", "add", "/a", "--target", "nowhere", "--cache-control", "for ever"])
            .fails(1, &["\n  target: ", "\n  cache_control: "]);
        place.say("link add /a").fails(2, &["--target"]);
        place.say("link set /a --clear titel").fails(2, &["'titel'", "title"]);
        place.say("link set /a").fails(2, &["nothing to change"]);
        place.say("link set /a --title b --clear title").fails(2, &["can't both be meant"]);
        place.say("link add --host a.example --target https://x.example/ --upsert").fails(2, &["--upsert"]);
        place.say("link add /a --target https://x.example/ --status 99999").fails(2, &["'99999'", "302"]);
        place.say("link add /a --target https://x.example/ --max-clicks 0").fails(2, &["'0'", "1..="]);
        place.say("link list --state asleep").fails(2, &["asleep", "scheduled"]);
    }
}

#[test]
fn all_keys_are_deleted_also_if_nobody_reads_it() {
    let place = Place::new(Way::Process);
    place.say("link add /a --target https://x.example/").done();
    place.say("link add /b --target https://x.example/").done();
    assert_eq!(place.unread("link rm /a /b").code, 0);
    assert_eq!(place.say("link list").done(), "");
}

#[test]
fn several_keys_are_deleted_as_far_as_they_are_there() {
    let place = Place::new(Way::Process);
    place.say("link add /a --target https://x.example/").done();
    let said = place.say("link rm /missing /a");
    assert_eq!((said.code, said.out.as_str()), (1, "deleted /a\n"), "{}", said.err);
    assert!(said.err.contains("`*/missing`") || said.err.contains("`/missing`"), "{}", said.err);
    place.say("link rm /a /b --if-version 1").fails(2, &["one key"]);
}

#[test]
fn chains_are_refused_flattened_or_allowed() {
    for way in WAYS {
        let place = Place::new(way);
        place.say("link add b.example/b --target https://x.example/").done();
        place
            .say("link add a.example/a --target http://b.example/b")
            .fails(1, &["leads to the link", "--chains flatten", "--chains allow"]);
        let flat = place.say("link add a.example/a --target http://b.example/b --chains flatten").done();
        assert_eq!(flat, "created a.example/a → https://x.example/ (302)");
        place.say("link set a.example/a --target http://b.example/b --chains allow").done();
    }
}

#[test]
fn who_can_not_reach_or_enter_is_told_the_way_out() {
    let place = Place::new(Way::Network);
    let dir = place.dir();
    let server = format!("http://{}", place.server.as_ref().unwrap().admin.unwrap());
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    place.file("token", "carom_0000000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
    let said = carom(dir, &["link", "list", "--server", &format!("http://{free}"), "--token-file", "token"]);
    let said_first = said.err.clone();
    assert_eq!(said.code, 1);
    assert!(said_first.contains(&free.to_string()) && said_first.contains("--admin"), "{said_first}");
    // The file is one that others may read.
    assert!(said_first.contains("chmod 600"), "{said_first}");

    carom(dir, &["link", "list", "--server", &server]).fails(1, &["--token-file", "CAROM_TOKEN_FILE", "admin.token"]);
    carom(dir, &["link", "list", "--server", &server, "--token-file", "none"]).fails(1, &["none", "No such file"]);
    carom(dir, &["link", "list", "--server", &server, "--token-file", "token"]).fails(1, &["no such token"]);
    carom(dir, &["link", "list", "--server", "https://a.example"]).fails(2, &["https is not there yet", "ssh -L"]);
    carom(dir, &["link", "list", "--server", "a.example"]).fails(2, &["such as http://127.0.0.1:9090"]);
    carom(dir, &["link", "list", "--server", &server, "--data", "d"]).fails(2, &["cannot be used with"]);
    let both = ["link", "list", "--token-file", "token", "--data", "d"];
    carom(dir, &both).fails(2, &["'--token-file <FILE>' cannot be used with '--data <DIR>'"]);
    carom(dir, &["link", "list", "--data", "missing"]).fails(1, &["there are no links in missing: it does not exist"]);
    assert!(!dir.join("missing").exists());
}
