//! `carom import` on a disk without room.

use std::path::Path;
use std::process::{Command, Output};

use carom::engine::{EngineConfig, OwnedEngine};
use carom::store::StoreKind;

use super::room::Filler;

/// Rows of the import that needs more than one segment of the log.
const ROWS: usize = 40_000;

fn import(file: &Path, data: &Path, store: StoreKind) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carom"));
    command.arg("import").arg(file).arg("--data").arg(data).args(["--store", store.name()]).output().unwrap()
}

#[track_caller]
fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[track_caller]
fn assert_no_room(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    eprint!("{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.to_ascii_lowercase().contains("free some space"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

/// How many links there are, once there is room.
fn links(data: &Path, store: StoreKind) -> u64 {
    let config = EngineConfig { store: Some(store), ..EngineConfig::new(data.to_owned()) };
    let (owned, recovery) = OwnedEngine::open(&config).unwrap();
    assert!(recovery.set_aside.is_none(), "{recovery:?}");
    let links = owned.engine().digest().unwrap().entries;
    owned.close().unwrap();
    links
}

/// Nothing is there of an import that found no room, be it at its beginning or in its midst, and it can be made later.
pub(crate) fn an_import_finds_no_room(disk: &Path, store: StoreKind) {
    // Not on the small disk.
    let files = tempfile::tempdir().unwrap();
    let (few, many) = (files.path().join("few.csv"), files.path().join("many.csv"));
    std::fs::write(&few, "source,target\n/a,https://to.example/a\n/b,https://to.example/b\n").unwrap();
    let long = "x".repeat(2_000);
    let rows: String = (0..ROWS).map(|index| format!("/many/{index},https://to.example/{index}/{long}\n")).collect();
    std::fs::write(&many, format!("source,target\n{rows}")).unwrap();

    // Where nothing is yet.
    let fresh = disk.join("fresh");
    let filler = Filler::leave(disk, 0);
    assert_no_room(&import(&few, &fresh, store));
    drop(filler);
    assert_done(&import(&few, &fresh, store));
    assert_eq!(links(&fresh, store), 2);
    std::fs::remove_dir_all(&fresh).unwrap();

    // Where something is.
    let data = disk.join("data");
    assert_done(&import(&few, &data, store));
    for left in [0, 1 << 20, 80 << 20] {
        let filler = Filler::leave(disk, left);
        assert_no_room(&import(&many, &data, store));
        drop(filler);
        assert_eq!(links(&data, store), 2, "with {left} bytes left");
    }
    assert_done(&import(&many, &data, store));
    assert_eq!(links(&data, store), ROWS as u64 + 2);
}
