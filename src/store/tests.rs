//! What holds for every store.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::log::{ChainHash, LogId};

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn position(sequence: u64) -> Position {
    let log_id = LogId([1; 16]);
    Position {
        log_id,
        sequence,
        chain: ChainHash::genesis(log_id),
        partial: None,
        durable: sequence,
        replay_from: sequence + 1,
    }
}

fn entries(store: &dyn Store, from: &[u8]) -> Entries {
    let mut entries = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        entries.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(from, &mut visit).unwrap();
    entries
}

fn write(key: impl AsRef<[u8]>, value: &str) -> Write {
    Write { key: key.as_ref().to_vec(), value: Some(value.as_bytes().to_vec()) }
}

/// A store of each kind, on disk, and the one in memory.
struct Stores {
    dirs: [tempfile::TempDir; 2],
    stores: Vec<Arc<dyn Store>>,
}

impl Stores {
    fn new() -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut stores = Stores { dirs, stores: vec![Arc::new(MemoryStore::default())] };
        stores.open();
        stores
    }

    fn open(&mut self) {
        let at = |(kind, dir): (StoreKind, &tempfile::TempDir)| open_at(kind, dir.path());
        self.stores.extend(StoreKind::ALL.into_iter().zip(&self.dirs).map(at));
    }

    /// Closes those on disk and opens them again.
    fn reopen(&mut self) {
        self.stores.truncate(1);
        self.open();
    }

    fn each(&self, mut act: impl FnMut(&dyn Store)) {
        self.stores.iter().for_each(|store| act(store.as_ref()));
    }

    /// What all of them say.
    #[track_caller]
    fn agree<T: PartialEq + std::fmt::Debug>(&self, mut ask: impl FnMut(&dyn Store) -> T) -> T {
        let said = ask(self.stores[0].as_ref());
        for store in &self.stores[1..] {
            assert_eq!(ask(store.as_ref()), said);
        }
        said
    }
}

fn open_at(kind: StoreKind, dir: &Path) -> Arc<dyn Store> {
    open(Some(kind), dir, 1 << 20).unwrap()
}

/// A thousand bytes of text.
fn hard_to_compress(seed: u64) -> String {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 58) as u8)
    };
    (0..1_000).map(|_| next()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn all_stores_hold_the_same_also_after_reopening(
        batches in proptest::collection::vec(
            proptest::collection::vec(("[EOT][a-e]{0,2}", proptest::option::of("[a-z]{0,9}")), 0..20),
            1..8,
        ),
        from in "[EOT]?[a-e]{0,2}",
    ) {
        let mut stores = Stores::new();
        prop_assert!(stores.agree(|store| store.is_empty().unwrap()));
        for (index, batch) in batches.iter().enumerate() {
            let writes: Vec<Write> = batch
                .iter()
                .map(|(key, value)| Write {
                    key: key.clone().into_bytes(),
                    value: value.clone().map(String::into_bytes),
                })
                .collect();
            stores.each(|store| store.apply(&writes, &position(index as u64)).unwrap());
            if index % 4 == 3 {
                stores.each(|store| store.flush().unwrap());
                stores.reopen();
            }
            let all = stores.agree(|store| entries(store, b""));
            let rest = stores.agree(|store| entries(store, from.as_bytes()));
            prop_assert_eq!(rest, all.into_iter().filter(|(key, _)| **key >= *from.as_bytes()).collect::<Entries>());
            prop_assert_eq!(stores.agree(|store| store.position().unwrap()), Some(position(index as u64)));
            // The position is something, too.
            prop_assert!(!stores.agree(|store| store.is_empty().unwrap()));
            for (key, _) in batch {
                stores.agree(|store| store.get(key.as_bytes()).unwrap());
            }
        }
    }
}

#[test]
fn what_is_loaded_has_no_position_until_something_is_applied() {
    let mut stores = Stores::new();
    let loaded: Vec<Write> = (0..99).map(|index| write(format!("E{index:02}"), "loaded")).collect();
    stores.each(|store| store.load(&loaded).unwrap());
    stores.each(|store| store.flush().unwrap());
    stores.reopen();
    assert_eq!(stores.agree(|store| store.position().unwrap()), None);
    assert!(!stores.agree(|store| store.is_empty().unwrap()));
    assert_eq!(stores.agree(|store| entries(store, b"")).len(), 99);
    stores.each(|store| store.apply(&[], &position(7)).unwrap());
    assert_eq!(stores.agree(|store| store.position().unwrap()), Some(position(7)));
    assert_eq!(stores.agree(|store| entries(store, b"E90")).len(), 9);
}

#[test]
fn a_scan_ends_where_its_visitor_breaks() {
    let stores = Stores::new();
    let writes = [write("Ea", "1"), write("Eb", "2"), write("Oc", "3")];
    stores.each(|store| store.apply(&writes, &position(1)).unwrap());
    let seen = stores.agree(|store| {
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            seen.push(key.to_vec());
            if key == b"Eb" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.scan(b"", &mut visit).unwrap();
        seen
    });
    assert_eq!(seen, [b"Ea", b"Eb"]);
}

/// A filter is made for as many keys, so neither far too few nor far too many may be said.
#[test]
fn how_many_keys_there_are_is_known_about() {
    const KEYS: u64 = 6_000;
    let mut stores = Stores::new();
    let writes: Vec<Write> =
        (0..KEYS).map(|index| write(format!("Eshort.example/{index:05}"), &hard_to_compress(index)[..100])).collect();
    stores.each(|store| writes.chunks(99).for_each(|writes| store.apply(writes, &position(1)).unwrap()));
    let about = |store: &dyn Store| (KEYS / 10..=KEYS * 10).contains(&store.estimated_keys());
    stores.each(|store| store.flush().unwrap());
    assert!(stores.agree(about));
    stores.reopen();
    assert!(stores.agree(about));
}

/// Enough is written for fjall to write out memtables and merge files while the scan goes on.
#[test]
fn what_is_not_changed_meanwhile_is_scanned_exactly_once() {
    let stores = Stores::new();
    let key = |index: u32| format!("E{index:05}").into_bytes();
    const KEYS: u32 = 12_000;
    const MOST: usize = 80;
    let fill = "x".repeat(1_000);
    let put = |store: &dyn Store, indexes: &[u32], value: &str| {
        for indexes in indexes.chunks(MOST) {
            let writes: Vec<Write> = indexes.iter().map(|&index| write(key(index), value)).collect();
            store.apply(&writes, &position(1)).unwrap();
        }
    };
    stores.each(|store| {
        put(store, &(0..KEYS).collect::<Vec<_>>(), &fill);
        let odd: Vec<u32> = (0..KEYS).filter(|index| index % 2 == 1).collect();
        let mut unchanged = Vec::new();
        let mut seen = 0;
        let mut visit = |found: &[u8], value: &[u8]| {
            if seen % 1_000 == 0 {
                put(store, &odd, &format!("{fill}{seen}"));
            }
            seen += 1;
            if value.len() == fill.len() && found[found.len() - 1].is_multiple_of(2) {
                unchanged.push(found.to_vec());
            }
            ControlFlow::Continue(())
        };
        store.scan(b"", &mut visit).unwrap();
        assert!(unchanged.into_iter().eq((0..KEYS).step_by(2).map(key)));
        assert!(seen <= KEYS);
    });
}

/// The files of a directory and of those in it.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// lsm-tree itself finds what is damaged in a block, and would miss what is damaged between them.
#[test]
fn whatever_is_damaged_in_fjall_is_found_or_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(StoreKind::Fjall, dir.path());
    let keys: Vec<String> = (0..3_000).map(|index| format!("E{index:05}")).collect();
    for keys in keys.chunks(1_000) {
        let writes: Vec<Write> = keys.iter().map(|key| write(key, &hard_to_compress(key.len() as u64))).collect();
        store.apply(&writes, &position(1)).unwrap();
        // As tables of several runs, and so levels.
        store.flush().unwrap();
    }
    let all = entries(store.as_ref(), b"");
    drop(store);
    for path in files(dir.path()) {
        let intact = std::fs::read(&path).unwrap();
        let length = intact.len();
        // All over it, and at its end, where it says where everything lies, everywhere.
        let mut places: Vec<usize> = (0..length).step_by((length / 40).max(1)).collect();
        places.extend(length.saturating_sub(250)..length);
        for (round, at) in places.into_iter().enumerate() {
            let mut bytes = intact.clone();
            bytes[at] ^= 1 << (round % 8);
            std::fs::write(&path, bytes).unwrap();
            read_damaged(dir.path(), &all);
            // A start may remove what it can make nothing of.
            std::fs::write(&path, &intact).unwrap();
        }
        std::fs::write(&path, &intact[..length / 2]).unwrap();
        read_damaged(dir.path(), &all);
        std::fs::remove_file(&path).unwrap();
        read_damaged(dir.path(), &all);
        std::fs::write(&path, &intact).unwrap();
    }
    // What was begun and never finished is none of it.
    std::fs::write(dir.path().join("tables/4711"), b"half").unwrap();
    assert!(entries(open_at(StoreKind::Fjall, dir.path()).as_ref(), b"") == all);
}

/// Reads a store in which something is damaged. It is right as far as it can be read.
#[track_caller]
fn read_damaged(dir: &Path, all: &Entries) {
    // A copy, since what is opened is also merged.
    let copy = tempfile::tempdir().unwrap();
    for path in files(dir) {
        let to = copy.path().join(path.strip_prefix(dir).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    }
    let store = match open(Some(StoreKind::Fjall), copy.path(), 1 << 20) {
        Ok(store) => store,
        Err(StoreError::Corrupt(_)) => return,
        Err(error) => panic!("{error}"),
    };
    let mut expected = all.iter();
    let mut visit = |key: &[u8], value: &[u8]| {
        assert!(expected.next().is_some_and(|entry| entry.0 == key && entry.1 == value));
        ControlFlow::Continue(())
    };
    match store.scan(b"", &mut visit) {
        Ok(()) => assert_eq!(expected.next(), None),
        Err(StoreError::Corrupt(reason)) => assert!(reason.contains("is damaged"), "{reason}"),
        Err(error) => panic!("{error}"),
    }
    for (key, value) in all.iter().step_by(97) {
        match store.get(key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value)),
            Err(StoreError::Corrupt(reason)) => {
                assert!(reason.contains(&format!("`{}` is damaged", key.escape_ascii())), "{reason}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_fjall_can_not_write_out_ends_writing_and_nothing_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_at(StoreKind::Fjall, dir.path());
    store.apply(&[write("Ea", "1")], &position(1)).unwrap();
    std::fs::remove_dir(dir.path().join("tables")).unwrap();
    let started = std::time::Instant::now();
    let error = loop {
        let writes: Vec<Write> =
            (0..1_000u64).map(|index| write(format!("E{index:03}"), &hard_to_compress(index))).collect();
        match store.apply(&writes, &position(1)) {
            Ok(()) => assert!(started.elapsed().as_secs() < 60, "it takes writes for ever"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(store.apply(&[], &position(1)).is_err());
    assert_eq!(store.get(b"Ea").unwrap(), Some(b"1".to_vec()));
}
