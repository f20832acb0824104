//! A disk that is full, really: a small tmpfs in a mount namespace of its own. Redirects go on, changes are refused
//! with a reason, nothing is lost, and when there is room again so do changes.
//!
//! This binary starts itself inside the namespace. Where that is not permitted, it says so and nothing is run.

mod import;
mod room;
mod serving;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carom::limits::DISK_RESERVE_BYTES;
use carom::store::StoreKind;

const CASE: &str = "CAROM_FULL_DISK_CASE";
const DIRECTORY: &str = "CAROM_FULL_DISK_DIRECTORY";

/// Size of the disk: a few segments of the log and a store. An import that needs two segments at once takes twice as much.
const DISK_MIB: u64 = 320;

/// Longest that one case may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_full_disk_under_sled_pauses_changes_within_the_reserve() {
    run_inside("reserve sled");
}

#[test]
fn a_full_disk_under_fjall_pauses_changes_within_the_reserve() {
    run_inside("reserve fjall");
}

#[test]
fn sled_meets_a_disk_that_is_full_to_the_last_byte() {
    run_inside("last-byte sled");
}

#[test]
fn fjall_meets_a_disk_that_is_full_to_the_last_byte() {
    run_inside("last-byte fjall");
}

#[test]
fn a_segment_of_the_log_that_finds_no_room_pauses_changes_on_sled() {
    run_inside("segment sled");
}

#[test]
fn a_segment_of_the_log_that_finds_no_room_pauses_changes_on_fjall() {
    run_inside("segment fjall");
}

#[test]
fn an_import_that_finds_no_room_changes_nothing_on_sled() {
    run_inside("import sled");
}

#[test]
fn an_import_that_finds_no_room_changes_nothing_on_fjall() {
    run_inside("import fjall");
}

/// Not a test, but what runs inside the namespace, when this binary starts itself there.
#[test]
fn inside_the_namespace() {
    let Ok(case) = std::env::var(CASE) else { return };
    let disk = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
    let mib = if case.starts_with("import") { 2 * DISK_MIB } else { DISK_MIB };
    assert!(mount(&disk, mib), "the disk could be mounted a moment ago");
    std::thread::spawn(|| {
        std::thread::sleep(PATIENCE);
        let _ = writeln!(std::io::stderr(), "it hangs: not done after {PATIENCE:?}");
        std::process::exit(1);
    });
    let (name, store) = case.split_once(' ').unwrap();
    let store: StoreKind = store.parse().unwrap();
    match name {
        "reserve" => serving::the_disk_gets_full(&disk, store, DISK_RESERVE_BYTES),
        "last-byte" => serving::the_disk_gets_full(&disk, store, 0),
        "segment" => serving::no_segment_can_be_had(&disk, store),
        "import" => import::an_import_finds_no_room(&disk, store),
        other => panic!("no case {other}"),
    }
}

fn mount(at: &Path, mib: u64) -> bool {
    let size = format!("size={mib}m");
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
    status.is_ok_and(|status| status.success())
}

/// How a namespace with a disk of its own can be had here; None if it can't.
fn namespace() -> Option<&'static [&'static str]> {
    let probe = tempfile::tempdir().unwrap();
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    ways.into_iter().find(|way| {
        let mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let output = Command::new("unshare").args(*way).args(mount).arg(probe.path()).output();
        output.is_ok_and(|output| output.status.success())
    })
}

fn run_inside(case: &str) {
    let Some(way) = namespace() else {
        // Many containers permit no mount; that is no failure, even where everything must run.
        let _ = writeln!(
            std::io::stderr(),
            "not run: `{case}` on a full disk, since no file system may be mounted here, neither by `unshare --mount` \
             nor in a user namespace"
        );
        return;
    };
    let disk = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inside_the_namespace", "--nocapture", "--test-threads=1"])
        .env(CASE, case)
        .env(DIRECTORY, disk.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{err}");
    assert!(output.status.success(), "{case}: {}\n{out}", output.status);
}
