//! `carom host`, `carom token` and `carom changes`.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::place::{Place, WAYS, Way, carom};

#[test]
fn settings_of_a_host_are_made_changed_listed_and_removed() {
    for way in WAYS {
        let place = Place::new(way);
        let shown = place
            .say("host set Go.example --ignore-case --code-length 9 --allowed-target *.x.example --robots-tag noindex")
            .done();
        for line in
            ["ignore-case:             true", "code-length:             9", "allowed-targets:         *.x.example"]
        {
            assert!(shown.lines().any(|shown| shown == line), "{way:?}: no `{line}` in {shown}");
        }
        let host: Value = serde_json::from_str(&place.say("host get go.example --json").done()).unwrap();
        let version = &host["version"];
        let shown = place
            .say(&format!("host set go.example --ignore-case=false --clear robots-tag --if-version {version}"))
            .done();
        assert!(
            shown.contains("ignore-case:             false") && shown.contains("robots-tag:              -"),
            "{shown}"
        );
        assert!(shown.contains("code-length:             9"), "{shown}");
        place
            .say(&format!("host set go.example --code-length 5 --if-version {version}"))
            .fails(1, &[&format!("version {version}")]);
        for (setting, range) in [("--code-length 99", "4..=32"), ("--cache-jitter-percent 300", "0..=90")] {
            place.say(&format!("host set go.example {setting}")).fails(2, &[setting.split(' ').nth(1).unwrap(), range]);
        }
        place.say("host set go.example --default-status 200").fails(2, &["'200'", "302"]);
        assert_eq!(place.say("host list").done().lines().count(), 2);
        place.say("host set go.example --clear robots").fails(2, &["robots-tag"]);
        place.say("host set go.example").fails(2, &["nothing to change"]);
        place.say("host set * --unknown-hosts not_found").done();

        let table = place.say("host list").done();
        assert_eq!(table.lines().count(), 3, "{table}");
        let row = table.lines().find(|line| line.starts_with("go.example")).unwrap();
        let settings: Vec<&str> = row.split_whitespace().collect();
        let version = (version.as_u64().unwrap() + 1).to_string();
        assert_eq!(settings, ["go.example", "code-length=9", "allowed-targets=*.x.example", &version], "{table}");
        assert!(table.contains("unknown-hosts=not_found"), "{table}");
        let json = place.say("host list --json").done();
        assert!(json.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["host"].is_string()));
        let json: Value = serde_json::from_str(&place.say("host get * --json").done()).unwrap();
        assert_eq!(json["unknown_hosts"], "not_found");
        // A link on this host has to go with it.
        place.say("link add go.example/a --target https://elsewhere.example/").fails(1, &["target: "]);
        assert_eq!(place.say("host rm go.example").done(), "removed the settings of go.example");
        place.say("host get go.example").fails(1, &["go.example"]);
        place.say("host rm *").done();
        assert_eq!(place.say("host list").done(), "");
    }
}

#[test]
fn a_token_opens_the_server_until_it_is_revoked() {
    for way in WAYS {
        let place = Place::new(way);
        let said = place.say("token add --name deploy --scope write --host go.example");
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(
            said.err.starts_with("carom: created the token ") && said.err.contains("shown only now"),
            "{}",
            said.err
        );
        let token = said.out.trim_end();
        assert!(token.starts_with("carom_") && !token.contains(char::is_whitespace), "{token}");
        let said = place.say("token add --name file --scope read --out read.token");
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
        let file = place.dir().join("read.token");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // It is not replaced, and no token is made for nothing.
        place.say("token add --name file --scope read --out read.token").fails(1, &["read.token", "no token was made"]);

        let table = place.say("token list").done();
        let id = |name: &str| {
            let line = table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name} in {table}"));
            line.split_whitespace().next().unwrap().to_owned()
        };
        assert!(table.contains("go.example") && !table.contains(token), "{table}");
        if way == Way::Network {
            let server = &place.arguments()[1];
            let list = ["link", "list", "--server", server, "--token-file", "read.token"];
            carom(place.dir(), &list).done();
            let add = [
                "link",
                "add",
                "/a",
                "--target",
                "https://x.example/",
                "--server",
                server,
                "--token-file",
                "read.token",
            ];
            carom(place.dir(), &add).fails(1, &["token"]);
            place.carom(&["token", "rm", &id("file")]).done();
            carom(place.dir(), &list).fails(1, &["revoked"]);
        }
        assert!(place.carom(&["token", "rm", &id("deploy")]).done().starts_with("revoked "));
        place.carom(&["token", "rm", &id("deploy")]).fails(1, &[&id("deploy")]);
        place.carom(&["token", "add", "--name", " ", "--scope", "read"]).fails(2, &["a token needs a name"]);
        place.say("token add --name a --scope all").fails(2, &["read, write, admin"]);
        place.say("token add --name a --scope read --expires-at soon").fails(1, &["expires_at: "]);
        assert!(place.say("token add --name a --scope read --json").done().contains(r#""token":"carom_"#));
    }
}

#[test]
fn a_token_that_nobody_reads_is_said_to_be_there() {
    let place = Place::new(Way::Control);
    for arguments in ["", "--json"] {
        let said = place.unread(&format!("token add --name lost --scope read {arguments}"));
        assert_eq!(said.code, 1, "{}", said.err);
        let (_, rest) = said.err.split_once("`carom token rm ").unwrap_or_else(|| panic!("{}", said.err));
        let id = rest.split('`').next().unwrap();
        assert_eq!(place.carom(&["token", "rm", id]).done(), format!("revoked {id}"));
    }
}

#[test]
fn the_trail_says_who_did_what_in_which_order() {
    for way in WAYS {
        let place = Place::new(way);
        place.say("link add /a --target https://x.example/").done();
        place.say("link set /a --note n").done();
        place.say("link rm /a").done();
        let trail = |arguments: &str| -> Vec<String> {
            place.say(&format!("changes {arguments}")).done().lines().map(str::to_owned).collect()
        };
        let newest = trail("--limit 2");
        assert!(newest[0].ends_with("links delete */a") && newest[1].contains("links patch */a"), "{newest:?}");
        assert!(newest[0].contains(if way == Way::Network { "  token " } else { "  local  " }), "{newest:?}");
        let first: u64 = newest[1].split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(trail(&format!("--after {first}")), &newest[..1]);
        let json = trail("--json --limit 1");
        let record: Value = serde_json::from_str(&json[0]).unwrap();
        assert_eq!(record["sequence"], first + 1);
        place.say("changes --follow --limit 1").fails(2, &["--limit"]);
    }
}
