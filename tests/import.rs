//! The binary itself: what `carom import` changes, what it refuses, and what it says.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use carom::engine::{EngineConfig, OwnedEngine};
use tempfile::TempDir;

/// A directory to work in, with files and data directories of its own.
struct Place(TempDir);

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    #[track_caller]
    fn is(self, code: i32, out: &str, err: &str) {
        assert_eq!((self.code, self.out.trim_end(), self.err.trim_end()), (code, out, err));
    }
}

impl Place {
    fn new() -> Self {
        Place(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    fn carom(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_carom"))
            .args(arguments)
            .current_dir(self.path())
            .output()
            .expect("the binary runs");
        let mut said = Said::from(output);
        // How long it took is not the same each time.
        if let Some((before, after)) = said.out.split_once(" in ").filter(|_| said.out.starts_with("Imported ")) {
            said.out = format!("{before}{}", &after[after.find(" s:").unwrap() + 2..]);
        }
        said
    }

    /// The first line that `carom resolve` prints, and the target.
    fn resolve(&self, url: &str) -> String {
        let said = self.carom(&["resolve", url]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        let lines: Vec<&str> = said.out.lines().collect();
        match lines.as_slice() {
            [status, location, link] => {
                assert!(link.starts_with("Link: "), "{link}");
                format!("{status} {}", location.strip_prefix("Location: ").unwrap())
            }
            [status, ..] => (*status).to_owned(),
            [] => panic!("nothing was said"),
        }
    }
}

const THREE: &str = "source,target,status\n/a,https://x.example/a,301\n/b,https://x.example/b,302\nh.example/c,,410\n";

#[test]
fn a_file_is_imported_once_and_then_only_what_changed() {
    let place = Place::new();
    place.file("links.csv", THREE);
    place.carom(&["import", "links.csv"]).is(
        0,
        "Imported links.csv: 3 created, 0 replaced, 0 unchanged. Durability: fsync.",
        "",
    );
    assert_eq!(place.resolve("http://any.example/a"), "301 Moved Permanently https://x.example/a");
    assert_eq!(place.resolve("http://H.example/c"), "410 Gone");
    assert_eq!(place.resolve("/c"), "404 Not Found: no link matches /c");

    let log = place.path().join("carom-data/log");
    let written = || {
        let segment = std::fs::read_dir(&log).unwrap().next().unwrap().unwrap().path();
        std::fs::read(segment).unwrap()
    };
    let before = written();
    place.carom(&["import", "links.csv"]).is(0, "Nothing to change: all 3 links are there already.", "");
    assert!(before == written(), "nothing is to be written");

    place.file("links.csv", &THREE.replace("x.example/b", "y.example/b").replace("410", "410\n/d,https://x.example/d"));
    place.carom(&["import", "links.csv"]).is(
        0,
        "Imported links.csv: 1 created, 1 replaced, 2 unchanged. Durability: fsync.",
        "",
    );
    assert_eq!(place.resolve("/b"), "302 Found https://y.example/b");
    let said = place.carom(&["resolve", "/b"]);
    assert!(said.out.contains("\nLink: */b (id ") && said.out.contains(", version 5, created 2"), "{}", said.out);
}

#[test]
fn one_bad_row_keeps_all_of_the_file_out() {
    let place = Place::new();
    place.file("links.csv", &format!("{THREE}/e,nowhere,301\r\n/f,https://x.example/,418"));
    let rows = "line 5: the target `nowhere` is not an absolute URL (relative URL without a base); write it as in \
                `https://www.example.com/new`\n\
                line 6: the status `418` is not one of 301, 302, 303, 307, 308 and 410";
    let summary = "carom: 2 of 5 rows are invalid; nothing was changed. Mend them, or import the rest with \
                   `carom import --keep-going`.";
    let refused = format!("{rows}\n{summary}");
    place.carom(&["import", "links.csv", "--dry-run"]).is(3, "", &refused);
    assert!(!place.path().join("carom-data").exists());
    place.carom(&["import", "links.csv"]).is(3, "", &refused);
    assert_eq!(place.resolve("/a"), "404 Not Found: no link matches /a");
    place.carom(&["serve", "--admin", "none", "--listen", "127.0.0.1:0", "--import", "links.csv"]).is(3, "", &refused);
    assert_eq!(place.resolve("/a"), "404 Not Found: no link matches /a");

    let done = "Imported links.csv: 3 created, 0 replaced, 0 unchanged. Durability: fsync. 2 invalid rows left out.";
    place.carom(&["import", "links.csv", "--keep-going"]).is(0, done, rows);
    assert_eq!(place.resolve("/a"), "301 Moved Permanently https://x.example/a");
    assert_eq!(place.resolve("/f"), "404 Not Found: no link matches /f");

    // What was there before stays as it was.
    place.file("links.csv", "source,target\n/a,https://z.example/\n/b,");
    let said = place.carom(&["import", "links.csv"]);
    let summary = "carom: 1 of 2 rows is invalid; nothing was changed. Mend it, or import the rest with `carom import \
                   --keep-going`.";
    assert_eq!((said.code, said.err.lines().last()), (3, Some(summary)));
    assert_eq!(place.resolve("/a"), "301 Moved Permanently https://x.example/a");
}

#[test]
fn a_closed_stderr_changes_no_exit_code() {
    let place = Place::new();
    place.file("links.csv", "source,target\n/a,nowhere\n");
    for arguments in [&["import", "links.csv"][..], &["import", "missing.csv"], &["fly"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_carom"))
            .args(arguments)
            .current_dir(place.path())
            .stderr(writer)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(place.carom(arguments).code), "{arguments:?}");
    }
}

#[test]
fn a_file_writes_no_control_characters_to_the_terminal() {
    let place = Place::new();
    place.file("links.csv", "source,target,status,\x1b[31mnote\n/a,https://x.example/,\x1b[2J\n/b\n/b,\r\x07,");
    let said = place.carom(&["import", "links.csv"]);
    assert_eq!(said.code, 3);
    let is_harmful = |letter: char| letter.is_control() && letter != '\n';
    assert!(!said.err.contains(is_harmful), "{:?}", said.err);
    assert!(said.err.contains(r"\u{1b}[31mnote"), "{}", said.err);
}

#[test]
fn a_dry_run_changes_nothing() {
    let place = Place::new();
    place.file("links.csv", THREE);
    let would = |created, replaced, unchanged| {
        format!("Dry run, nothing was changed: {created} would be created, {replaced} replaced, {unchanged} unchanged.")
    };
    place.carom(&["import", "links.csv", "--dry-run"]).is(0, &would(3, 0, 0), "");
    assert!(!place.path().join("carom-data").exists());
    assert_eq!(place.carom(&["import", "links.csv"]).code, 0);
    place.file("links.csv", &THREE.replace("302", "307").replace("/a,", "/aa,"));
    place.carom(&["import", "links.csv", "--dry-run"]).is(0, &would(1, 1, 1), "");
    assert_eq!(place.resolve("/b"), "302 Found https://x.example/b");
    assert_eq!(place.resolve("/aa"), "404 Not Found: no link matches /aa");
}

#[test]
fn what_is_not_used_or_said_twice_is_said() {
    let place = Place::new();
    place.file("links.csv", "Old URL,New URL,Note\n/a,https://x.example/,n\n/%61,https://x.example/,m\n");
    place.carom(&["import", "links.csv"]).is(
        0,
        "Imported links.csv: 1 created, 0 replaced, 0 unchanged. Durability: fsync. 1 repetition of an earlier one left out.",
        "carom: columns that are not used: Note",
    );
    place.file("links.csv", "from,to\n");
    place.carom(&["import", "links.csv"]).is(0, "Nothing to change: there are no valid rows in links.csv.", "");
}

#[test]
fn a_file_that_can_not_be_imported_leaves_nothing_behind() {
    let place = Place::new();
    place.file("columns.csv", "url,status\n/a,301\n");
    place.file("none.csv", "");
    for (file, error) in [
        ("missing.csv", "missing.csv can't be opened: No such file or directory (os error 2)"),
        (
            "-",
            "stdin can't be imported as CSV, since the file is read twice; save it to a file and name that. Lines of \
             JSON can: say so with --format ndjson",
        ),
        (".", ". can't be imported: it is read twice and must be a regular file; save its contents to one"),
        (
            "none.csv",
            "none.csv was not imported: the file is empty; its first line must be a header such as \
             `source,target,status`",
        ),
        (
            "columns.csv",
            "columns.csv was not imported: no column of the header `url,status` is the source; name it `source`, \
             and separate the columns by commas, as in `source,target,status`. The status may be left out",
        ),
    ] {
        for command in
            [&["import", file][..], &["import", "--dry-run", file], &["serve", "--admin", "none", "--import", file]]
        {
            place.carom(command).is(1, "", &format!("carom: {error}"));
            assert!(!place.path().join("carom-data").exists(), "{file}");
        }
    }
    place.file("open.csv", "source,target,note\n/a,https://x.example/,\n/b,https://x.example/,\"n\n/c,,");
    let error = "carom: columns that are not used: note\n\
                 carom: open.csv was not imported: line 3: a quote in the row that begins here is never closed; \
                 close it, or double it to keep it";
    place.carom(&["import", "--keep-going", "open.csv"]).is(1, "", error);
    assert_eq!(place.resolve("/a"), "404 Not Found: no link matches /a");
}

#[test]
fn a_data_directory_has_one_process() {
    let place = Place::new();
    place.file("links.csv", THREE);
    let data = place.path().join("carom-data");
    let config = EngineConfig { cache_bytes: 0, ..EngineConfig::new(data) };
    let (engine, _) = OwnedEngine::open(&config).unwrap();
    let in_use = format!("carom: the data directory carom-data is in use by process {}", std::process::id());
    let error = format!("{in_use}. Stop that process first, or give another directory with --data");
    place.carom(&["serve", "--admin", "none"]).is(1, "", &error);
    // Commands wait for a while before they give up.
    let error = format!(
        "{in_use}, which takes no requests: it is another command, or a server that has not finished starting, or one \
         without control socket. Try again when it has ended, or listens"
    );
    std::thread::scope(|scope| {
        for command in [&["import", "links.csv"][..], &["resolve", "/a"]] {
            let (place, error) = (&place, &error);
            scope.spawn(move || place.carom(command).is(1, "", error));
        }
    });
    engine.close().unwrap();
    assert_eq!(place.carom(&["import", "links.csv"]).code, 0);
}

#[test]
fn the_store_can_be_changed_and_changed_back() {
    let place = Place::new();
    place.file("links.csv", THREE);
    assert_eq!(place.carom(&["import", "links.csv"]).code, 0);
    let answer = |store| place.carom(&["resolve", "--store", store, "/b"]);
    let before = answer("sled");
    assert_eq!((before.code, before.err.as_str()), (0, ""));
    for (from, to) in [("sled", "fjall"), ("fjall", "sled"), ("sled", "fjall")] {
        let changed = answer(to);
        assert_eq!((changed.code, &changed.out), (0, &before.out));
        let reason =
            format!("the store: it was written by {from}, and {to} is configured. It was rebuilt from the log.");
        assert!(changed.err.contains(&reason), "{}", changed.err);
        let again = answer(to);
        assert_eq!((again.code, &again.out, again.err.as_str()), (0, &before.out, ""));
    }
    // All three links are there, and changes go on.
    let said = place.carom(&["import", "links.csv", "--store", "fjall"]);
    said.is(0, "Nothing to change: all 3 links are there already.", "");
    place.file("more.csv", "source,target\n/b,https://y.example/b\n/d,https://x.example/d\n");
    let said = place.carom(&["import", "more.csv", "--store", "fjall"]);
    said.is(0, "Imported more.csv: 1 created, 1 replaced, 0 unchanged. Durability: fsync.", "");
    let said = place.carom(&["import", "more.csv"]);
    assert_eq!(said.out.trim_end(), "Nothing to change: all 2 links are there already.");
    assert_eq!(place.carom(&["resolve", "/a", "--store", "rocks"]).code, 2);
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_opened() {
    let place = Place::new();
    place.carom(&["serve", "--cache-mib", "0"]).is(
        2,
        "",
        "carom: --cache-mib 0 makes no sense; give a number from 1 to 16777216",
    );
    place.carom(&["resolve", "ftp://a/b"]).is(
        2,
        "",
        "carom: `ftp://a/b` is not an http(s) URL; write it as in http://www.example.com/old, or a path such as /old",
    );
    let said = place.carom(&["serve", "--listen", "localhost:8080"]);
    assert!(said.err.contains("give an IP address and port, such as 127.0.0.1:8080"), "{}", said.err);
    assert_eq!(said.code, 2);
    for command in [&["import"][..], &["serve", "--driver", "kqueue"], &["fly"]] {
        let said = place.carom(command);
        assert_eq!((said.code, said.out.as_str()), (2, ""));
        assert!(said.err.starts_with("carom: "), "{}", said.err);
    }
    place.carom(&["resolve", "/a"]).is(
        1,
        "",
        "carom: there are no links in carom-data: it does not exist. Name the data directory with --data",
    );
    assert!(!place.path().join("carom-data").exists());
    let help = place.carom(&["import", "--help"]);
    assert_eq!(help.code, 0);
    assert!(help.out.contains("3  the file to import has invalid rows, and nothing was changed"));
}

#[test]
fn the_example_can_be_imported() {
    let place = Place::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/redirects.csv");
    let said = place.carom(&["import", example.to_str().unwrap()]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(place.resolve("http://127.0.0.1:8080/sale"), "302 Found https://shop.example/summer-sale");
    let query = "http://maps.example.com/at?place=52.5,13.4";
    assert_eq!(place.resolve(query), "301 Moved Permanently https://www.example.org/map#berlin");
}

/// The redirects of the British government's old sites, of which 150 answer 418. It is too large to be kept here.
#[test]
fn a_real_file_is_imported() {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/govuk-mappings.csv");
    if !file.exists() {
        let notice = format!("not run: {} is missing", file.display());
        assert!(std::env::var_os("CAROM_TEST_ALL").is_none(), "{notice}");
        // Not `eprintln`, which is kept back where a test has passed.
        let _ = writeln!(std::io::stderr(), "a_real_file_is_imported {notice}");
        return;
    }
    let place = Place::new();
    let said = place.carom(&["import", file.to_str().unwrap(), "--keep-going"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let summary = "238,119 created, 0 replaced, 0 unchanged. Durability: fsync. 150 invalid rows left out. 55 rows \
                   lead to the link of another row.";
    assert!(said.out.contains(summary), "{}", said.out);
    let mut errors = said.err.lines();
    assert_eq!(errors.next(), Some("carom: columns that are not used: Suggested Link, Archive Link"));
    assert_eq!(errors.clone().count(), 150);
    assert!(errors.all(|row| row.ends_with(": the status `418` is not one of 301, 302, 303, 307, 308 and 410")));
    for (url, answer) in [
        (
            "http://www.ago.gov.uk/_layouts/feed.aspx",
            "301 Moved Permanently https://www.gov.uk/government/organisations/attorney-generals-office",
        ),
        ("http://www.businesslink.gov.uk/bdotg/action/detail?itemid=1073790675", "410 Gone"),
        (
            "www.ago.gov.uk/newscentre/pages/attorneygeneral%27syouthadvisorycouncilmeetsforthefirsttime.aspx",
            "410 Gone",
        ),
        (
            "http://www.communities.gov.uk/statements/corporate/2159464",
            "404 Not Found: no link matches http://www.communities.gov.uk/statements/corporate/2159464",
        ),
    ] {
        assert_eq!(place.resolve(url), answer);
    }
}
