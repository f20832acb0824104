//! The commands that look after a data directory, on the real binary: what docs/operations.md tells people to type.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use support::{Client, PATIENCE, Server};
use tempfile::TempDir;

/// What a command said, and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// A value that stands behind a word at the beginning of a line.
    #[track_caller]
    fn value(&self, word: &str) -> &str {
        let line = self.out.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no `{word}:` in {}{}", self.out, self.err)).trim()
    }

    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Fails, and says all of these.
    #[track_caller]
    fn failed(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, 1, "{}{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in: {}", self.err);
        }
        self
    }
}

fn carom(dir: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carom"));
    let output = command.args(arguments).current_dir(dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Without the API there is no first token: then the state holds links only.
const NO_ADMIN: [&str; 2] = ["--admin", "none"];

const LINKS: &str = "\
/sale,https://shop.example/sale,302
www.example.com/old,https://www.example.com/new,301
www.example.com/gone,,410
www.example.com/detail?itemid=7,https://www.example.com/items/7,308
";

/// Rows beyond [`LINKS`], enough for many pages and chunks.
fn many(rows: usize) -> String {
    (0..rows).map(|row| format!("/many/{row},https://to.example/{}/{row},301\n", row * 7_919 % 104_729)).collect()
}

/// A directory with a data directory `data` that was imported into.
fn imported(rows: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("links.csv"), format!("source,target,status\n{rows}")).unwrap();
    carom(dir.path(), &["import", "links.csv", "--data", "data"]).done();
    dir
}

#[track_caller]
fn answers(client: &mut Client) {
    for (host, target, status, location) in [
        ("any.example", "/sale", 302, Some("https://shop.example/sale")),
        ("www.example.com", "/old", 301, Some("https://www.example.com/new")),
        ("www.example.com", "/gone", 410, None),
        ("www.example.com", "/detail?itemid=7", 308, Some("https://www.example.com/items/7")),
        ("www.example.com", "/detail?itemid=8", 404, None),
    ] {
        let answer = client.get(host, target);
        assert_eq!((answer.status, answer.field("location")), (status, location), "{host} {target}");
    }
}

/// The only file of a directory whose name ends like this.
#[track_caller]
fn only(dir: &Path, end: &str) -> PathBuf {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<PathBuf> = paths.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_backup_of_a_serving_server_is_restored_elsewhere_and_answers_the_same() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::with_links(&format!("{LINKS}{}", many(20_000)), &NO_ADMIN);
    let data = server.data();
    let data = data.to_str().unwrap();
    let stop = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = server.connect();
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                answers(&mut client);
                rounds += 1;
            }
            rounds
        });
        let taken = [(); 2].map(|()| carom(place.path(), &["backup", "backups/", "--data", data]));
        stop.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 10);
        taken.map(Said::done)
    });
    let digest = taken[0].value("Digest").to_owned();
    assert!(taken.iter().all(|said| said.value("Digest") == digest));
    assert_eq!(taken[0].value("Holds"), "20,005 entries: 20,005 of links, 0 remembered operations");
    let names_of_backups = names(&place.path().join("backups"));
    assert_eq!(names_of_backups.len(), 2, "{names_of_backups:?}");
    for name in &names_of_backups {
        assert!(name.starts_with("carom-20") && name.ends_with(".snapshot"), "{name}");
    }
    let backup = format!("backups/{}", names_of_backups[0]);
    let said = carom(place.path(), &["verify", &backup]).done();
    assert_eq!(said.value("Digest"), digest);

    // To a file; and what is there already stays unless told otherwise.
    let said = carom(place.path(), &["backup", "one.snapshot", "--data", data]).done();
    assert_eq!(said.value("Digest"), digest);
    let before = std::fs::read(place.path().join("one.snapshot")).unwrap();
    carom(place.path(), &["backup", "one.snapshot", "--data", data])
        .failed(&["one.snapshot exists already, and was not replaced", "--force"]);
    assert!(std::fs::read(place.path().join("one.snapshot")).unwrap() == before);
    carom(place.path(), &["backup", "one.snapshot", "--force", "--data", data]).done();
    carom(place.path(), &["backup", "missing/one.snapshot", "--data", data]).failed(&["missing/one.snapshot.new"]);
    assert_eq!(names(place.path()), ["backups", "one.snapshot"]);
    // What links say is for those who run the server.
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place.path().join("backups")), mode(&place.path().join(&backup))), (0o700, 0o600));
    assert_eq!((mode(&place.path().join("one.snapshot")), mode(Path::new(data))), (0o600, 0o700));

    let said = carom(place.path(), &["verify", "--data", data]).failed(&["is in use by process", "carom backup"]);
    assert_eq!(said.out, "");

    // The machine is lost.
    server.signal(Signal::KILL);
    drop(server);
    let restored = tempfile::tempdir().unwrap();
    let data = restored.path().join("data");
    let said = carom(place.path(), &["restore", &backup, "--data", data.to_str().unwrap()]).done();
    assert_eq!(said.value("Digest"), digest);
    let said = carom(restored.path(), &["verify", "--deep", "--data", "data"]).done();
    assert!(said.out.contains(&format!("digest {digest}")) && said.value("Rebuilt").ends_with(&digest), "{}", said.out);
    assert!(said.value("Snapshot").ends_with("; the log goes on from it"), "{}", said.out);
    std::fs::write(restored.path().join("more.csv"), "source,target\n/more,https://x.example/\n").unwrap();
    let more = restored.path().join("more.csv");
    let server = Server::start_on(restored, &["--admin", "none", "--import", more.to_str().unwrap()]);
    answers(&mut server.connect());
    assert_eq!(server.connect().get("a", "/more").status, 301);
    assert_eq!(server.connect().get("a", "/many/77").status, 301);
    let restored = server.stop();
    let server = Server::start_on(restored, &NO_ADMIN);
    assert_eq!(server.connect().get("a", "/more").status, 301);
}

#[test]
fn a_restore_says_that_tokens_came_with_it() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::with_links(LINKS, &[]);
    let data = server.data();
    carom(place.path(), &["backup", "one.snapshot", "--data", data.to_str().unwrap()]).done();
    let said = carom(place.path(), &["restore", "one.snapshot", "--data", "restored"]).done();
    assert!(said.value("Tokens").starts_with("1 token of the admin API came with it"), "{}", said.out);
    assert!(said.out.contains("carom token list") && said.out.contains("carom token rm"), "{}", said.out);
}

#[test]
fn nothing_is_restored_from_or_into_what_is_not_as_it_should_be() {
    let dir = imported(LINKS);
    let place = dir.path();
    let run = |arguments: &[&str]| carom(place, arguments);
    run(&["backup", "good", "--data", "data"]).done();

    run(&["restore", "good", "--data", "data"]).failed(&["data is not empty: data/", "is there. Nothing was changed"]);
    run(&["restore", "links.csv", "--data", "new"]).failed(&["links.csv does not begin like a snapshot of carom"]);
    run(&["restore", "missing", "--data", "new"]).failed(&["missing: No such file"]);
    std::fs::copy(place.join("good"), place.join("bad")).unwrap();
    flip(&place.join("bad"), 160);
    run(&["restore", "bad", "--data", "new"]).failed(&["the snapshot bad is damaged at offset 128"]);
    run(&["verify", "bad"]).failed(&["the snapshot bad is damaged at offset 128", "1 damage found"]);
    let good = std::fs::read(place.join("good")).unwrap();
    std::fs::write(place.join("short"), &good[..good.len() - 1]).unwrap();
    run(&["restore", "short", "--data", "new"]).failed(&["the file ends within this chunk"]);
    assert!(!place.join("new").exists());

    // As a crash leaves it between the snapshot and the log.
    run(&["restore", "good", "--data", "half"]).done();
    for name in ["log", "store"] {
        std::fs::remove_dir_all(place.join("half").join(name)).unwrap();
    }
    let refused = ["there is no log in half/log", "If `carom restore` was interrupted here, run it again"];
    run(&["serve", "--admin", "none", "--listen", "127.0.0.1:0", "--data", "half"]).failed(&refused);
    run(&["verify", "--data", "half"]).failed(&refused);
    assert_eq!(names(&place.join("half")), ["lock", "snapshots"]);
    run(&["restore", "tests/none", "--data", "half"]).failed(&[]);
    std::fs::write(place.join("other.csv"), "source,target\n/other,https://x.example/\n").unwrap();
    run(&["import", "other.csv", "--data", "other-data"]).done();
    run(&["backup", "other", "--data", "other-data"]).done();
    run(&["restore", "other", "--data", "half"]).failed(&["is no copy of other that an interrupted restore left"]);
    run(&["restore", "good", "--data", "half"]).done();
    run(&["verify", "--data", "half"]).done();
    let said = run(&["resolve", "/sale", "--data", "half"]).done();
    assert!(said.out.contains("Location: https://shop.example/sale"), "{}", said.out);
}

#[test]
fn a_backup_of_the_first_version_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/backup-v1.snapshot");
    let said = carom(dir.path(), &["restore", fixture.to_str().unwrap(), "--data", "data"]).done();
    assert_eq!(said.value("Serve it"), "carom serve --data data");
    carom(dir.path(), &["verify", "--deep", "--data", "data"]).done();
    let server = Server::start_on(dir, &NO_ADMIN);
    let mut client = server.connect();
    for (host, target, status, location) in [
        ("a.example", "/old", 301, Some("https://www.example.com/new?from=a#top")),
        ("a.example", "/detail?itemid=7", 302, Some("https://www.example.com/items/seven")),
        ("a.example", "/gone", 410, None),
        ("b.example", "/form", 307, Some("http://forms.example.com/")),
    ] {
        let answer = client.get(host, target);
        assert_eq!((answer.status, answer.field("location")), (status, location), "{host} {target}");
    }
}

#[test]
fn every_damage_is_named_with_its_file_and_offset() {
    let dir = imported(&format!("{LINKS}{}", many(5_000)));
    let place = dir.path();
    let run = |arguments: &[&str]| carom(place, arguments);
    let sound = run(&["verify", "--deep", "--data", "data"]).done();
    assert!(sound.out.contains("All of it is sound."), "{}", sound.out);
    run(&["backup", "a.snapshot", "--data", "data"]).done();

    // Two chunks of a backup.
    flip(&place.join("a.snapshot"), 200);
    let bytes = std::fs::read(place.join("a.snapshot")).unwrap();
    let manifest = bytes.windows(4).rposition(|four| four == b"CHK\x02").unwrap();
    flip(&place.join("a.snapshot"), manifest + 30);
    run(&["verify", "a.snapshot"]).failed(&[
        "the snapshot a.snapshot is damaged at offset 128",
        &format!("the snapshot a.snapshot is damaged at offset {manifest}: no whole chunk begins here"),
        "2 damages found",
    ]);

    // A snapshot of the directory.
    run(&["backup", "b.snapshot", "--data", "data"]).done();
    run(&["restore", "b.snapshot", "--data", "restored"]).done();
    let snapshot = only(&place.join("restored/snapshots"), ".snapshot");
    flip(&snapshot, 150);
    let name = snapshot.strip_prefix(place).unwrap().to_str().unwrap();
    run(&["verify", "--data", "restored"]).failed(&[&format!("the snapshot {name} is damaged at offset 128")]);

    // Two records of the log.
    let segment = only(&place.join("data/log"), ".log");
    let bytes = std::fs::read(&segment).unwrap();
    let records: Vec<usize> = memchr::memmem::find_iter(&bytes, b"CRM\x04").collect();
    assert!(records.len() > 4);
    let (one, other) = (records[1], records[3]);
    flip(&segment, one + 130);
    flip(&segment, other + 130);
    let before = std::fs::read(&segment).unwrap();
    let at = |offset| format!("data/log/00000000000000000001.log is damaged at offset {offset}");
    run(&["verify", "--data", "data"]).failed(&[&at(one), &at(other), "2 damages found"]);
    assert!(std::fs::read(&segment).unwrap() == before, "verify changes nothing");
}

#[test]
fn a_torn_end_is_told_and_left() {
    let dir = imported(LINKS);
    let segment = only(&dir.path().join("data/log"), ".log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let last = memchr::memmem::rfind(&bytes, b"CRM\x04").unwrap();
    let end = last + 112 + u32::from_le_bytes(bytes[last + 8..last + 12].try_into().unwrap()) as usize;
    bytes[end..end + 60].fill(7);
    std::fs::write(&segment, &bytes).unwrap();
    let said = carom(dir.path(), &["verify", "--data", "data"]).done();
    assert!(said.value("Torn").contains(&format!("ends with an unfinished record at offset {end}")), "{}", said.out);
    assert!(std::fs::read(&segment).unwrap() == bytes);
}

#[test]
fn a_rebuilt_store_holds_the_same_whatever_its_kind() {
    let dir = imported(&format!("{LINKS}{}", many(2_000)));
    let run = |arguments: &[&str]| carom(dir.path(), arguments);
    let digest = run(&["rebuild", "--data", "data"]).done().value("Digest").to_owned();
    for (arguments, kind) in
        [(&["--store", "fjall"][..], "fjall"), (&[], "fjall"), (&["--store", "sled"], "sled"), (&["--keep"], "sled")]
    {
        let said = run(&[&["rebuild", "--data", "data"], arguments].concat()).done();
        assert_eq!((said.value("Digest"), said.value("Before")), (digest.as_str(), "the same"));
        assert!(said.value("Built").starts_with(kind), "{}", said.out);
        let said = run(&["verify", "--data", "data"]).done();
        assert!(said.value("Store").starts_with(&format!("data/store, {kind}, at record")), "{}", said.out);
    }
    let kept = names(&dir.path().join("data")).into_iter().filter(|name| name.starts_with("store.")).count();
    assert_eq!(kept, 1);

    // What is damaged is no reason not to build it.
    let db = dir.path().join("data/store/db");
    std::fs::remove_file(&db).unwrap();
    std::fs::create_dir(&db).unwrap();
    run(&["verify", "--data", "data"]).failed(&["the store data/store can't be used"]);
    let said = run(&["rebuild", "--data", "data"]).done();
    assert_eq!(said.value("Digest"), digest);
    assert!(said.value("Before").starts_with("not compared: "), "{}", said.out);
    run(&["verify", "--deep", "--data", "data"]).done();
    run(&["rebuild", "--data", "none"]).failed(&["there are no links in none: it does not exist"]);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn a_server_says_how_it_stands() {
    let mut server = Server::with_links(LINKS, &["--admin", "none", "--durability", "os", "--disk-reserve-mib", "0"]);
    let data = server.data();
    let here = Path::new("/");
    let arguments = ["status", "--data", data.to_str().unwrap()];
    let said = carom(here, &arguments).done();
    assert_eq!(said.value("changes"), "changes are accepted");
    assert_eq!((said.value("durability"), said.value("store")), ("os", "sled"));
    assert_eq!(said.value("last record"), "3");
    for number in ["pid", "uptime seconds", "free bytes"] {
        said.value(number).parse::<u64>().unwrap();
    }
    let socket = data.join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    // A request that never comes does not keep others from being answered, and too many are refused.
    let idle: Vec<_> = (0..4).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    carom(here, &arguments).failed(&["the server says: 4 requests are being answered already"]);
    drop(idle);
    std::thread::sleep(Duration::from_millis(200));
    carom(here, &arguments).done();

    // What a killed server leaves is replaced.
    server.signal(Signal::KILL);
    server.wait(PATIENCE);
    assert!(socket.exists());
    carom(here, &arguments).failed(&["carom: no server runs on "]);
    let before = std::fs::metadata(&socket).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::rename(&data, dir.path().join("data")).unwrap();
    let server = Server::start_on(dir, &NO_ADMIN);
    let data = server.data();
    let arguments = ["status", "--data", data.to_str().unwrap()];
    assert_eq!(carom(here, &arguments).done().value("durability"), "fsync");
    let socket = data.join("control.sock");
    assert_ne!(
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&socket).unwrap()),
        std::os::unix::fs::MetadataExt::ino(&before)
    );
    let dir = server.stop();
    assert!(!dir.path().join("data/control.sock").exists());
    carom(dir.path(), &["status", "--data", "data"]).failed(&["carom: no server runs on data"]);
    carom(dir.path(), &["status", "--data", "none"]).failed(&["carom: no server runs on none"]);
}

#[test]
fn a_store_that_hangs_is_set_aside() {
    let server = Server::with_links(LINKS, &NO_ADMIN);
    let dir = server.stop();
    // Whoever opens it for reading waits until somebody opens it for writing.
    let conf = dir.path().join("data/store/conf");
    std::fs::remove_file(&conf).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &conf, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let server = Server::start_on(dir, &["--admin", "none", "--store-open-timeout", "1"]);
    answers(&mut server.connect());
    let data = server.data();
    let aside: Vec<String> =
        names(&data).into_iter().filter(|name| name.starts_with("store.unusable-") || name == "store.beside").collect();
    assert_eq!(aside.len(), 2, "{aside:?}");
    let dir = server.stop();
    let server = Server::start_on(dir, &["--admin", "none", "--store-open-timeout", "20"]);
    answers(&mut server.connect());
    assert!(!names(&server.data()).contains(&"store.beside".to_owned()));
}

#[test]
fn a_data_directory_may_have_a_long_path() {
    let dir = tempfile::Builder::new().prefix(&"long".repeat(50)).tempdir().unwrap();
    let server = Server::start_on(dir, &NO_ADMIN);
    let data = server.data();
    assert!(data.as_os_str().len() > 200);
    let place = tempfile::tempdir().unwrap();
    carom(place.path(), &["status", "--data", data.to_str().unwrap()]).done();
    // Nothing was ever written; that can be backed up, too.
    let said = carom(place.path(), &["backup", ".", "--data", data.to_str().unwrap()]).done();
    assert_eq!(said.value("Holds"), "0 entries: 0 of links, 0 remembered operations");
    let backup = only(place.path(), "-0.snapshot");
    carom(place.path(), &["restore", backup.to_str().unwrap(), "--data", "new", "--store", "fjall"]).done();
    carom(place.path(), &["verify", "--data", "new"]).done();
}

#[test]
fn a_server_takes_snapshots_by_itself_and_a_store_is_built_from_them() {
    let dir = imported(&format!("{LINKS}{}", many(30_000)));
    let more = dir.path().join("more.csv");
    std::fs::write(&more, "source,target\n/sale,https://shop.example/sale\n").unwrap();
    let server =
        Server::start_on(dir, &["--admin", "none", "--snapshot-log-mib", "1", "--import", more.to_str().unwrap()]);
    let data = server.data();
    let snapshots = data.join("snapshots");
    let begun = std::time::Instant::now();
    while !snapshots.exists() || !names(&snapshots).iter().any(|name| name.ends_with(".snapshot")) {
        assert!(begun.elapsed() < PATIENCE, "no snapshot was taken");
        std::thread::sleep(Duration::from_millis(20));
    }
    let dir = server.stop();
    let run = |arguments: &[&str]| carom(dir.path(), arguments);
    let sound = run(&["verify", "--deep", "--data", "data"]).done();
    assert!(sound.value("Snapshot").ends_with("; the log goes on from it"), "{}", sound.out);
    let built = run(&["rebuild", "--data", "data"]).done();
    assert_eq!(built.value("Before"), "the same");
    assert!(built.value("Built").contains("30,005 entries of a snapshot"), "{}", built.out);

    // Without the store and with a damaged snapshot there is still the whole log, as long as it was not cut.
    std::fs::remove_dir_all(dir.path().join("data/store")).unwrap();
    flip(&only(&dir.path().join("data/snapshots"), ".snapshot"), 1_000);
    let said = run(&["resolve", "/sale", "--data", "data"]).done();
    assert!(said.err.contains("a snapshot could not be read when the store was built"), "{}", said.err);
    assert_eq!(run(&["rebuild", "--data", "data"]).done().value("Digest"), built.value("Digest"));
}
