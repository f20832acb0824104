//! `carom import` and `carom export`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::place::{Place, WAYS, Way, carom};

const LINKS: &str =
    "source,target,status\n/a,https://x.example/a,301\ngo.example/b?c=d,https://x.example/b,302\n/gone,,410\n";

#[test]
fn rows_are_imported_over_every_way_and_leave_what_else_a_link_says() {
    for way in WAYS {
        let place = Place::new(way);
        place.file("links.csv", LINKS);
        let dry = "Dry run, nothing was changed: 3 would be created, 0 replaced, 0 unchanged.";
        assert_eq!(place.say("import links.csv --dry-run").done(), dry);
        let said = place.say("import links.csv").done();
        assert!(
            said.starts_with("Imported links.csv in ") && said.contains(": 3 created, 0 replaced, 0 unchanged."),
            "{said}"
        );
        place.say("link set /a --tag kept --title Kept").done();
        place.file("links.csv", &LINKS.replace("x.example/a", "y.example/a"));
        let dry = "Dry run, nothing was changed: 0 would be created, 1 replaced, 2 unchanged.";
        assert_eq!(place.say("import links.csv --dry-run").done(), dry);
        let sums: Value = serde_json::from_str(&place.say("import links.csv --json").done()).unwrap();
        let expected = serde_json::json!({"created": 0, "replaced": 1, "unchanged": 2, "failed": 0});
        assert_eq!(sums, expected, "{way:?}");
        let shown = place.say("link get /a").done();
        assert!(shown.contains("https://y.example/a") && shown.contains("kept") && shown.contains("Kept"), "{shown}");
    }
}

#[test]
fn invalid_rows_are_listed_and_nothing_is_changed_unless_told_so() {
    for way in WAYS {
        let place = Place::new(way);
        place.file("links.csv", &format!("{LINKS}/bad,nowhere,302\n\n/bad2,https://x.example/,999\n"));
        let said = place.say("import links.csv");
        assert_eq!((said.code, said.out.as_str()), (3, ""), "{way:?}");
        let lines: Vec<&str> = said.err.lines().collect();
        assert!(lines[0].starts_with("line 5: ") && lines[1].starts_with("line 7: "), "{}", said.err);
        assert!(lines[2].contains("2 of 5 rows are invalid; nothing was changed"), "{}", said.err);
        let said = place.say("import links.csv --keep-going");
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(said.out.contains("3 created") && said.out.contains("2 invalid rows left out."), "{}", said.out);
        assert_eq!(place.say("link list --json").done().lines().count(), 3);
    }
}

#[test]
fn what_the_server_refuses_is_listed_by_the_line_of_the_file() {
    for way in [Way::Network, Way::Control] {
        let place = Place::new(way);
        place.say("host set go.example --allowed-target y.example").done();
        place.file("links.csv", &format!("{LINKS}\n/last,https://x.example/last,301\n"));
        let said = place.say("import links.csv");
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.starts_with("line 3: ") && said.err.contains("1 line refused"), "{}", said.err);
        assert!(said.out.contains("3 created"), "{}", said.out);
    }
}

#[test]
fn an_import_that_is_refused_before_it_is_sent_ends() {
    let place = Place::new(Way::Network);
    assert_eq!(place.say("token add --name r --scope read --out read.token").code, 0);
    let line = "{\"key\":\"/a\",\"target\":\"https://x.example/\"}\n";
    place.file("links.jsonl", &line.repeat((5 << 20) / line.len()));
    let server = &place.arguments()[1];
    let began = Instant::now();
    carom(place.dir(), &["import", "links.jsonl", "--server", server, "--token-file", "read.token"])
        .fails(1, &["this needs a token with the scope write"]);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn without_a_server_rows_follow_the_rules_of_their_host_too() {
    let place = Place::new(Way::Process);
    place.say("host set go.example --allowed-target y.example").done();
    place.file("links.csv", LINKS);
    let said = place.say("import links.csv");
    assert_eq!((said.code, said.out.as_str()), (3, ""), "{}", said.err);
    assert!(said.err.starts_with("line 3: targets on `x.example`"), "{}", said.err);
    let said = place.say("import links.csv --keep-going");
    assert!(said.out.contains("2 created") && said.out.contains("1 invalid row left out."), "{}", said.out);
    assert_eq!(place.say("link list --json").done().lines().count(), 2);
}

#[test]
fn what_is_exported_is_imported_elsewhere_as_it_was() {
    for way in WAYS {
        let place = Place::new(way);
        place.file("links.csv", LINKS);
        place.say("import links.csv").done();
        place
            .say("link set /a --tag t --max-clicks 3 --expired-target https://x.example/over --cache-control no-store")
            .done();
        let said = place.say("export -o all.ndjson");
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", "carom: wrote 3 links to all.ndjson\n"));
        assert!(!place.dir().join("all.ndjson.part").exists());
        place.file("all.ndjson.part", "somebody's");
        place.say("export -o all.ndjson").fails(1, &["all.ndjson.part is there already"]);
        assert_eq!(std::fs::read(place.dir().join("all.ndjson.part")).unwrap(), b"somebody's");
        assert_eq!(place.say("export --host go.example").done().lines().count(), 1);

        let other = Place::new(way);
        std::fs::copy(place.dir().join("all.ndjson"), other.dir().join("all.ndjson")).unwrap();
        assert!(other.say("import all.ndjson").done().contains(": 3 created, 0 replaced, 0 unchanged."));
        assert!(other.say("import all.ndjson").done().contains(": 0 created, 0 replaced, 3 unchanged."));
        let said = |place: &Place| -> Vec<Value> {
            let links = place.say("export").done();
            let mut links: Vec<Value> = links.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for link in &mut links {
                for name in ["id", "created_at", "updated_at", "version", "used_clicks"] {
                    link.as_object_mut().unwrap().remove(name);
                }
            }
            links
        };
        assert_eq!(said(&place), said(&other), "{way:?}");

        let said = place.say("export --format csv");
        assert_eq!(said.code, 0);
        assert!(said.err.contains("1 link says more than CSV has columns for"), "{}", said.err);
        let mut rows: Vec<&str> = said.out.lines().collect();
        let mut expected: Vec<&str> = LINKS.lines().collect();
        rows.sort_unstable();
        expected.sort_unstable();
        assert_eq!(rows, expected);
        place.file("back.csv", &said.out);
        assert!(place.say("import back.csv --dry-run").done().contains("0 would be created, 0 replaced, 3 unchanged"));
    }
}

#[test]
fn lines_that_are_no_links_are_told() {
    for way in WAYS {
        let place = Place::new(way);
        let good = r#"{"key":"/a","target":"https://x.example/","status":302}"#;
        place.file("links.jsonl", &format!("{good}\n{{\"key\":\"/b\",\"target\":\"nowhere\"}}\n\nnot json\n"));
        let said = place.say("import links.jsonl");
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.out.contains("1 created"), "{}", said.out);
        assert!(
            said.err.contains("line 2: ") && said.err.contains("line 4: ") && said.err.contains("2 lines refused"),
            "{}",
            said.err
        );
        place.say("import links.jsonl --dry-run").fails(2, &["CSV"]);
        place.say("import none.jsonl").fails(1, &["none.jsonl"]);
    }
}

#[test]
fn an_import_that_can_not_begin_makes_no_data_directory() {
    let place = Place::new(Way::Process);
    place.say("import none.jsonl").fails(1, &["can't be opened"]);
    place.say("import none.csv").fails(1, &["can't be opened"]);
    assert!(!place.dir().join("carom-data").exists());
    place.file("links.csv", LINKS);
    let served = Place::new(Way::Control);
    served.file("links.csv", LINKS);
    served.say("import links.csv --store fjall").fails(1, &["--store"]);
}
