//! `carom import` and `carom export`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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
        let expected = json!({
            "created": 0, "replaced": 1, "unchanged": 2, "failed": 0, "repeated": 0, "chained": 0, "failures": []
        });
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
fn rows_follow_the_rules_of_their_host_on_every_way() {
    for way in WAYS {
        let place = Place::new(way);
        place.say("host set go.example --allowed-target y.example").done();
        place.say("host set u.example --allow-userinfo").done();
        place.file("links.csv", &format!("{LINKS}u.example/a,https://us:pw@x.example/,\n/u,https://us@x.example/,\n"));
        for option in ["", "--dry-run"] {
            let said = place.say(&format!("import links.csv {option}"));
            assert_eq!((said.code, said.out.as_str()), (3, ""), "{way:?}: {}", said.err);
            let lines: Vec<&str> = said.err.lines().collect();
            assert!(lines[0].starts_with("line 3: targets on `x.example`"), "{}", said.err);
            assert!(lines[1].starts_with("line 6: the target holds a user name"), "{}", said.err);
        }
        let said = place.say("import links.csv --keep-going --json");
        let report: Value = serde_json::from_str(&said.lists(0, &["line 3: ", "line 6: "])).unwrap();
        assert_eq!((&report["created"], &report["failed"]), (&json!(3), &json!(2)), "{way:?}: {report}");
        let failure = &report["failures"][0];
        assert_eq!((&failure["line"], &failure["field"]), (&json!(3), &json!("target")), "{report}");
        assert_eq!(place.say("link list --json").done().lines().count(), 3);
        // What is exported comes back.
        let said = place.say("export --host u.example --format csv");
        place.file("back.csv", &said.done());
        assert!(place.say("import back.csv --dry-run").done().contains("1 unchanged"));
    }
}

#[test]
fn what_the_server_refuses_all_the_same_is_listed_by_the_line_of_the_file() {
    let place = Place::new(Way::Network);
    place.say("token add --name w --scope write --host go.example --out write.token").lists(0, &[]);
    place.file("links.csv", &format!("{LINKS}\ngo.example/last,https://x.example/last,301\n"));
    let server = &place.arguments()[1];
    let all = ["import", "links.csv", "--json", "--server", server, "--token-file", "write.token"];
    let said = carom(place.dir(), &all);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.starts_with("line 2: ") && said.err.contains("2 lines refused"), "{}", said.err);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["created"], &report["failed"]), (&json!(2), &json!(2)), "{report}");
    assert_eq!((&report["failures"][0]["line"], &report["failures"][1]["line"]), (&json!(2), &json!(4)), "{report}");
    // A row that was refused leads nowhere.
    place.file("links.csv", "source,target\nx.example/a,https://go.example/c\ngo.example/c,https://x.example/\n");
    let report: Value = serde_json::from_str(&carom(place.dir(), &all).lists(1, &["line 2: "])).unwrap();
    assert_eq!((&report["created"], &report["chained"]), (&json!(1), &json!(0)), "{report}");
}

#[test]
fn rows_of_which_a_host_ignores_the_difference_are_one_link() {
    for way in WAYS {
        let place = Place::new(way);
        place.say("host set ic.example --ignore-case --ignore-trailing-slash").done();
        place.file("two.csv", "source,target\nic.example/A,https://x.example/1\nic.example/a/,https://x.example/2\n");
        let said = place.say("import two.csv");
        assert_eq!(said.code, 3, "{way:?}: {}", said.out);
        assert!(said.err.starts_with("line 3: `ic.example/a` has another destination on line 2"), "{}", said.err);
        place.file("one.csv", "source,target\nic.example/A,https://x.example/1\nic.example/a/,https://x.example/1\n");
        let once = " 1 repetition of an earlier one left out.";
        let dry = format!("Dry run, nothing was changed: 1 would be created, 0 replaced, 0 unchanged.{once}");
        assert_eq!(place.say("import one.csv --dry-run").done(), dry);
        assert!(place.say("import one.csv").done().contains(": 1 created, 0 replaced, 0 unchanged."));
        let dry = format!("Dry run, nothing was changed: 0 would be created, 0 replaced, 1 unchanged.{once}");
        assert_eq!(place.say("import one.csv --dry-run").done(), dry);
        assert!(!place.say("import one.csv").done().contains("created, 1 replaced"));
        let report: Value = serde_json::from_str(&place.say("import one.csv --json").done()).unwrap();
        assert_eq!((&report["unchanged"], &report["repeated"]), (&json!(1), &json!(1)), "{way:?}");
    }
}

#[test]
fn links_in_spellings_that_their_host_ignores_by_now_stay_links_of_their_own() {
    for way in WAYS {
        let place = Place::new(way);
        place.file("two.csv", "source,target\nic.example/A,https://x.example/1\nic.example/a,https://x.example/2\n");
        place.say("import two.csv").done();
        place.say("host set ic.example --ignore-case").done();
        assert!(place.say("import two.csv --dry-run").done().contains(" 0 replaced, 2 unchanged."), "{way:?}");
        place.say("import two.csv").done();
        let shown = place.say("link get ic.example/A").done();
        assert!(shown.contains("https://x.example/1"), "{way:?}: {shown}");
    }
}

#[test]
fn rows_that_lead_in_circles_are_invalid_on_every_way() {
    for way in WAYS {
        let place = Place::new(way);
        place.say("host set ic.example --ignore-case").done();
        let rows = "source,target\n\
                    x.example/c,https://x.example/d\n\
                    http://x.example/up,https://x.example/up\n\
                    y.example/up,https://y.example/up\n\
                    x.example/d,https://x.example/e#here\n\
                    x.example/e,http://x.example/c?a=b\n\
                    https://ic.example/Foo,https://ic.example/foo\n\
                    */new,https://IC.example/new\n\
                    x.example/in,https://x.example/c\n\
                    x.example/out,https://x.example/up\n";
        place.file("links.csv", rows);
        for option in ["", "--dry-run"] {
            let said = place.say(&format!("import links.csv {option}"));
            assert_eq!((said.code, said.out.as_str()), (3, ""), "{way:?}");
            let circle = |line, lines| {
                format!(
                    "line {line}: the target leads back to this link over the rows on lines {lines}; leave one of the rows out"
                )
            };
            let own = |line| format!("line {line}: the target leads back to this link; leave the row out");
            let expected = [circle(2, "5, 6"), circle(5, "2, 6"), circle(6, "2, 5"), own(7), own(8)];
            let found: Vec<&str> = said.err.lines().collect();
            assert_eq!(found[..5], expected, "{way:?}");
        }
        let said = place.say("import links.csv --keep-going --chains refuse --dry-run");
        said.lists(0, &["line 10: the target leads to the link of line 3;", "line 8: the target leads back"]);
        let said = place.say("import links.csv --keep-going").lists(0, &["line 8: "]);
        assert!(said.contains("4 created"), "{way:?}: {said}");
        assert!(said.ends_with(" 5 invalid rows left out. 1 row leads to the link of another row."), "{way:?}: {said}");
        place.say("import links.csv --chains flatten").fails(2, &["--chains refuse"]);
        place.say("import links.csv --mode create").fails(2, &["JSON lines"]);
    }
}

#[test]
fn a_circle_over_what_is_stored_is_found_before_anything_is_changed() {
    let place = Place::new(Way::Process);
    place.say("host set ic.example --ignore-case").done();
    place.file(
        "first.csv",
        "source,target\nx.example/b,https://ic.example/C\nic.example/c,https://x.example/d\n/any,https://x.example/a\n",
    );
    assert!(place.say("import first.csv").done().ends_with(" 1 row leads to the link of another row."));
    place.file("second.csv", "source,target\nx.example/d,https://x.example/a\nx.example/a,https://x.example/b?q\n");
    place.say("import second.csv").lists(3, &["line 2: ", "over the row on line 3", "line 3: "]);
    place.file("third.csv", "source,target\nx.example/d,https://x.example/b\n");
    place.say("import third.csv").lists(3, &["line 2: the target leads back to this link; leave the row out"]);
    place.file("fourth.csv", "source,target\nx.example/d,https://x.example/b\nx.example/b,https://x.example/\n");
    place.say("import fourth.csv").done();
    place.file("fifth.csv", "source,target\nx.example/a,https://ic.example/any\n");
    place.say("import fifth.csv").lists(3, &["line 2: the target leads back to this link"]);
    place.file("sixth.csv", "source,target\nx.example/z,https://x.example/b\n");
    // However many there are.
    let chain: String = (0..30).map(|n| format!("l.example/{n},https://l.example/{}\n", n + 1)).collect();
    place.file("chain.csv", &format!("source,target\n{chain}"));
    place.say("import chain.csv").done();
    place.file("seventh.csv", "source,target\nl.example/30,https://l.example/0\n");
    place.say("import seventh.csv").lists(3, &["line 2: the target leads back to this link; leave the row out"]);
    place.say("import sixth.csv --chains refuse").lists(3, &["line 2: the target leads to the link `x.example/b`"]);
    place.say("import sixth.csv").done();
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
        // Nothing that somebody left is in the way, and nothing is left.
        place.file("all.ndjson.part", "somebody's");
        assert_eq!(place.say("export -o all.ndjson").code, 0);
        assert_eq!(std::fs::read(place.dir().join("all.ndjson.part")).unwrap(), b"somebody's");
        let names = place.dir().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(!names.into_iter().any(|name| name.starts_with(".carom-")));
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
fn an_export_goes_where_it_is_told_to() {
    let place = Place::new(Way::Process);
    place.file("links.csv", LINKS);
    place.say("import links.csv").done();
    // A pipe that is open already, as of a shell's `>(…)`.
    let said = place.say("export -o /dev/stdout");
    assert_eq!((said.code, said.out.lines().count()), (0, 3), "{}", said.err);
    let said = place.say("export -o /dev/full");
    said.fails(1, &["/dev/full can't be written", "No space left"]);
    let said = place.say("export -o /dev/null");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!std::fs::symlink_metadata("/dev/null").unwrap().is_file());
}

#[test]
fn who_reads_only_the_first_lines_of_an_export_is_left_in_peace() {
    let place = Place::new(Way::Control);
    let rows: String = (0..5_000).map(|n| format!("/p{n:04},https://x.example/{n}\n")).collect();
    place.file("links.csv", &format!("source,target\n{rows}"));
    place.say("import links.csv").done();
    for format in ["csv", "ndjson"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carom"));
        command.args(["export", "--format", format]).args(place.arguments());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        // Far more than a pipe and a buffer hold is left when it is closed.
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""), "{format}");
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
        let said = place.say("import links.jsonl --json");
        let report: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((&report["unchanged"], &report["failed"]), (&json!(1), &json!(2)), "{report}");
        let failure = &report["failures"][0];
        assert_eq!((&failure["line"], &failure["field"]), (&json!(2), &json!("target")), "{report}");
        assert_eq!(report.get("repeated"), None);
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
    place.file("links.ndjson", "");
    place.say("import links.ndjson --store fjall").fails(2, &["--store is for CSV files"]);
}

#[test]
fn lines_come_from_stdin_and_say_what_is_done_with_chains_and_with_what_is_there() {
    for way in WAYS {
        let place = Place::new(way);
        let line =
            |key: &str, target: &str| format!("{{\"key\":\"{key}\",\"target\":\"https://x.example/{target}\"}}\n");
        let lines = format!("\u{feff}{}{}", line("x.example/b", "c"), line("x.example/a", "b"));
        let said = place.fed("import - --format ndjson", &lines);
        assert!(said.out.starts_with("Imported stdin in ") && said.out.contains(": 2 created,"), "{}", said.out);
        place.fed("import -", &lines).fails(1, &["--format ndjson"]);
        place.file("links.jsonl", &lines);
        place.say("import links.jsonl --mode create").lists(1, &["line 1: ", "2 lines refused"]);
        place.file("links.jsonl", &line("x.example/z", "b"));
        place.say("import links.jsonl --chains refuse").lists(1, &["line 1: "]);
        place.say("import links.jsonl --chains flatten").done();
        let shown = place.say("link get x.example/z").done();
        assert!(shown.contains("https://x.example/c"), "{way:?}: {shown}");
        place.say("link set x.example/z --title Kept").done();
        place.say("import links.jsonl --mode destination").done();
        let shown = place.say("link get x.example/z").done();
        assert!(shown.contains("https://x.example/b") && shown.contains("Kept"), "{way:?}: {shown}");
        place.say("import links.jsonl --mode destination --chains allow").fails(2, &["--mode destination"]);
    }
}
