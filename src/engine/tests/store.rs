//! Stores that are gone, old, foreign or broken (I1).

use super::*;
use crate::log::{ChainHash, LogError};
use crate::store::{Applied, SledStore, keyspace};

/// A data directory with some links, closed; its digest.
fn filled(data: &Path) -> StateDigest {
    let (owned, _) = open(data);
    for turn in 0..20u64 {
        let commands = (0..30).map(|index| put(&format!("/{}?{turn}", index * (turn + 1) % 97), index));
        submit(owned.engine(), commands.collect()).unwrap();
    }
    let digest = owned.engine().digest().unwrap();
    owned.close().unwrap();
    digest
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn replace_dir(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy_dir(from, to);
}

/// Opens, finds the state, and whether the store was set aside, for which reason.
#[track_caller]
fn assert_opens(data: &Path, digest: StateDigest, set_aside: Option<&str>) -> Recovery {
    let (owned, recovery) = open(data);
    assert_eq!(owned.engine().digest().unwrap(), digest);
    match (&recovery.set_aside, set_aside) {
        (Some(aside), Some(reason)) => {
            assert!(aside.reason.contains(reason), "{}", aside.reason);
            assert!(aside.path.is_dir());
        }
        (aside, reason) => assert!(aside.is_none() && reason.is_none(), "{aside:?}"),
    }
    submit(owned.engine(), vec![put("/after", 1)]).unwrap();
    submit(owned.engine(), vec![delete("/after")]).unwrap();
    owned.close().unwrap();
    recovery
}

#[test]
fn a_store_that_is_gone_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    assert_eq!(assert_opens(dir.path(), digest, None).applied_records, 20);
}

#[test]
fn an_old_store_is_brought_up_to_the_log() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path());
    copy_dir(&dir.path().join("store"), old.path());
    let (owned, _) = open(dir.path());
    let mut set = owned.engine().begin_set().unwrap();
    (0..3_000).for_each(|index| set.add(key(&format!("/{index}?0")), to(index)).unwrap());
    submit(owned.engine(), vec![put("/new", 1), delete("/0?0")]).unwrap();
    set.commit().unwrap();
    let digest = owned.engine().digest().unwrap();
    owned.close().unwrap();
    replace_dir(old.path(), &dir.path().join("store"));
    let recovery = assert_opens(dir.path(), digest, None);
    // A begin, three parts, a batch and a commit.
    assert_eq!(recovery.applied_records, 6);
}

#[test]
fn a_store_of_another_log_is_set_aside() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let digest = filled(dir.path());
    filled(other.path());
    replace_dir(&other.path().join("store"), &dir.path().join("store"));
    assert_opens(dir.path(), digest, Some("it is of the log"));
}

/// All files under a directory, with their contents.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => files.extend(self::files(&path)),
            path => files.push((path.clone(), std::fs::read(path).unwrap())),
        }
    }
    files.sort_unstable();
    files
}

/// The log lacks what the store shows to have been acknowledged: that is said, however often one tries, and nothing
/// is changed. Without the store carom goes on with what the log has.
#[track_caller]
fn assert_lost(data: &Path, last: u64, known: u64, without_store: StateDigest) {
    let before = files(&data.join("log"));
    for _ in 0..2 {
        match OwnedEngine::open(&config(data)) {
            Err(OpenError::Log(error @ LogError::Lost { .. })) => {
                let text = error.to_string();
                assert!(text.contains(&format!("ends with record {last}, ")), "{text}");
                assert!(text.contains(&format!("up to record {known}:")), "{text}");
                assert!(text.contains("Restore `log/`") && text.contains("move `store/` away"), "{text}");
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was opened"),
        }
        assert!(files(&data.join("log")) == before, "the log was changed");
    }
    let names = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.contains("unusable")), "the store was set aside");
    std::fs::rename(data.join("store"), data.join("moved")).unwrap();
    assert_opens(data, without_store, None);
}

fn empty() -> StateDigest {
    StateDigest::of(&MemoryStore::default()).unwrap()
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew_beside_a_store() {
    for leave_directory in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        std::fs::remove_dir_all(dir.path().join("log")).unwrap();
        if leave_directory {
            std::fs::create_dir(dir.path().join("log")).unwrap();
        }
        assert_lost(dir.path(), 0, 20, empty());
    }
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew_beside_a_store_that_can_not_be_read() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    std::fs::write(dir.path().join("store/conf"), [7; 1_000]).unwrap();
    for _ in 0..2 {
        assert!(matches!(OwnedEngine::open(&config(dir.path())), Err(OpenError::NothingUsable { .. })));
        assert!(!dir.path().join("log").exists());
    }
}

#[test]
fn a_log_that_is_older_than_the_store_is_refused() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let digest = filled(dir.path());
    copy_dir(&dir.path().join("log"), old.path());
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![put("/new", 1)]).unwrap();
    owned.close().unwrap();
    replace_dir(old.path(), &dir.path().join("log"));
    assert_lost(dir.path(), 20, 21, digest);
}

#[test]
fn a_log_whose_acknowledged_end_reads_as_zeros_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    let path = dir.path().join("log/00000000000000000001.log");
    let used = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let end = used(&std::fs::read(&path).unwrap());
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![put("/last", 1)]).unwrap();
    owned.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[end..].fill(0);
    std::fs::write(&path, bytes).unwrap();
    assert_lost(dir.path(), 20, 21, digest);
}

#[test]
fn a_log_that_lacks_a_record_of_which_the_store_holds_a_part_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    let store = SledStore::open(&dir.path().join("store"), 1 << 20).unwrap();
    let position = store.position().unwrap().unwrap();
    assert_eq!(position.sequence, 20);
    let partial = Some(Applied { commands: 1 });
    let link = Write { key: keyspace::entry_key(b"*/half"), value: Some(Vec::new()) };
    store.apply(&[link], &Position { partial, durable: 21, ..position }).unwrap();
    drop(store);
    assert_lost(dir.path(), 20, 21, digest);
}

#[test]
fn a_store_of_another_history_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    let store = SledStore::open(&dir.path().join("store"), 1 << 20).unwrap();
    let position = store.position().unwrap().unwrap();
    store.apply(&[], &Position { sequence: 19, chain: ChainHash([1; 32]), ..position }).unwrap();
    drop(store);
    assert_opens(dir.path(), digest, Some("another history"));
}

#[test]
fn a_store_that_can_not_be_read_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    let store = dir.path().join("store");
    let garbage: Vec<u8> = (0..100_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(store.join("db"), &garbage).unwrap();
    std::fs::write(store.join("conf"), &garbage).unwrap();
    assert_opens(dir.path(), digest, Some(""));
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::write(&store, b"a file, of all things").unwrap();
    let (owned, recovery) = open(dir.path());
    assert_eq!(owned.engine().digest().unwrap(), digest);
    assert!(recovery.set_aside.is_some());
}

/// Only what is being built from a snapshot has links before it has a position.
#[test]
fn a_store_whose_building_did_not_finish_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    let store = SledStore::open(&dir.path().join("store"), 1 << 20).unwrap();
    store.load(&[Write { key: keyspace::entry_key(b"*/loaded"), value: Some(Vec::new()) }]).unwrap();
    drop(store);
    assert_opens(dir.path(), digest, None);
}

#[test]
fn a_store_of_another_kind_is_set_aside_and_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    for (before, after) in [(StoreKind::Sled, StoreKind::Fjall), (StoreKind::Fjall, StoreKind::Sled)] {
        let (owned, recovery) = OwnedEngine::open(&config_of(after, dir.path())).unwrap();
        let reason = recovery.set_aside.unwrap().reason;
        assert_eq!(reason, format!("the store: it was written by {before}, and {after} is configured"));
        assert_eq!(recovery.applied_records, 20);
        assert_eq!(owned.engine().digest().unwrap(), digest);
        owned.close().unwrap();
        let (owned, recovery) = OwnedEngine::open(&config_of(after, dir.path())).unwrap();
        assert!(recovery.set_aside.is_none() && recovery.applied_records == 0);
        assert_eq!(owned.engine().digest().unwrap(), digest);
        owned.close().unwrap();
    }
}

/// A kill leaves fjall where the last memtable was written out: there is no journal but the log.
#[test]
fn what_fjall_had_not_written_out_is_applied_again() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    OwnedEngine::open(&config_of(StoreKind::Fjall, dir.path())).unwrap().0.close().unwrap();
    let (owned, recovery) = OwnedEngine::open(&config_of(StoreKind::Fjall, dir.path())).unwrap();
    assert_eq!(recovery.applied_records, 0);
    submit(owned.engine(), vec![put("/last", 1)]).unwrap();
    let after = owned.engine().digest().unwrap();
    assert!(after != digest);
    // As it lies there, which is what a kill would leave.
    let killed = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), killed.path());
    let (killed, recovery) = OwnedEngine::open(&config_of(StoreKind::Fjall, killed.path())).unwrap();
    assert!(recovery.set_aside.is_none() && recovery.applied_records == 1);
    assert_eq!(killed.engine().digest().unwrap(), after);
}

/// sled finds damage by its checksums and goes back to before it; the log has the rest.
#[test]
fn a_store_with_damaged_pages_leads_to_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    let bytes = std::fs::read(dir.path().join("store/db")).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    for (round, at) in (0..used).step_by(used / 12).skip(1).enumerate() {
        let damaged = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), damaged.path());
        let mut bytes = bytes.clone();
        match round % 3 {
            0 => bytes[at] ^= 1,
            1 => bytes[at..used.min(at + 4096)].fill(0),
            _ => bytes.truncate(at),
        }
        std::fs::write(damaged.path().join("store/db"), bytes).unwrap();
        let (owned, _) = open(damaged.path());
        assert_eq!(owned.engine().digest().unwrap(), digest);
    }
}

/// Nothing is cut, however often one tries.
#[test]
fn damage_to_a_record_that_the_store_holds_is_not_taken_for_a_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![put("/last", 1)]).unwrap();
    owned.close().unwrap();
    let path = dir.path().join("log/00000000000000000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        match OwnedEngine::open(&config(dir.path())) {
            Err(OpenError::Log(LogError::Damaged { reason, .. })) => {
                assert!(reason.contains("no part of record 21 is missing"), "{reason}");
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was opened"),
        }
        assert!(std::fs::read(&path).unwrap() == bytes, "the damaged file was changed");
    }
}

/// What the system refuses has nothing to do with what is in the store.
#[test]
fn a_store_that_can_not_be_opened_just_now_is_left_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let digest = filled(dir.path());
    let held = SledStore::open(&dir.path().join("store"), 1 << 20).unwrap();
    for _ in 0..2 {
        match OwnedEngine::open(&config(dir.path())) {
            Err(error @ OpenError::StoreNotOpened { .. }) => assert!(error.to_string().contains("was left as it is")),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was opened"),
        }
    }
    drop(held);
    assert_eq!(assert_opens(dir.path(), digest, None).applied_records, 0);
}
