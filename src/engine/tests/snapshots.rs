//! Snapshots: taken while everything changes, of exactly one position of the log.

use std::sync::atomic::{AtomicBool, AtomicU64};

use proptest::prelude::*;

use super::*;
use crate::engine::snapshot::{self, Overlay, SnapshotReader};
use crate::link::decode_payload;
use crate::store::keyspace;

/// The state that the log of a data directory had led to up to one of its records.
fn digest_up_to(data: &Path, sequence: u64) -> StateDigest {
    let log = open_log(&data.join("log"));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let views = Views::new(0, None);
    let mut applier = attached(Arc::clone(&store), views, recover::beginning(&log));
    let mut replay = log.replay(1).unwrap();
    while let Some((_, record)) = replay.next().unwrap() {
        if record.sequence > sequence {
            break;
        }
        let crate::link::Payload::Change(change) = decode_payload(record.payload).unwrap() else {
            panic!("only batches are written here")
        };
        let (sequence, time_ms, operation) = (record.sequence, record.time_ms, record.operation);
        let fingerprint = crate::link::Operation::fingerprint_of(record.payload);
        let chain = replay.chain();
        let place = crate::engine::applier::ReplayedRecord {
            rules: crate::engine::apply::Rules::default(),
            sequence,
            time_ms,
            chain,
            operation,
            fingerprint,
        };
        applier.apply_recovered(&change, &place).unwrap();
    }
    applier.flush().unwrap();
    StateDigest::of(store.as_ref()).unwrap()
}

#[test]
fn a_snapshot_that_is_taken_while_all_changes_is_of_one_position() {
    for kind in StoreKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (owned, _) = OwnedEngine::open(&config_of(kind, dir.path())).unwrap();
        let engine = owned.engine();
        let text = |number: u64| format!("/{}{}", number % 4_000, ["", "?q"][number as usize % 2]);
        for round in 0..8 {
            submit(engine, (0..900).map(|index| put(&text(round * 900 + index), index)).collect()).unwrap();
        }
        let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
        let snapshots: Vec<(Vec<u8>, snapshot::Manifest)> = std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let (stop, made) = (&stop, &made);
                scope.spawn(move || {
                    let mut number = thread;
                    while !stop.load(Ordering::Relaxed) {
                        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let at = number >> 33;
                        let commands = (at..at + 20).map(|index| match index % 5 {
                            0 => delete(&text(index)),
                            _ => put(&text(index), number >> 40),
                        });
                        let operation = (number % 2 == 0).then(crate::log::OperationId::random);
                        engine.submit(operation, commands.collect()).unwrap();
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut taken = Vec::new();
            while taken.len() < 6 {
                // Changes before each, and during it.
                let before = made.load(Ordering::Relaxed);
                while made.load(Ordering::Relaxed) < before + 20 {
                    std::thread::yield_now();
                }
                let mut bytes = Vec::new();
                let manifest = engine.backup(&mut bytes).unwrap();
                taken.push((bytes, manifest));
            }
            stop.store(true, Ordering::Relaxed);
            taken
        });
        owned.close().unwrap();
        for (bytes, manifest) in snapshots {
            let digest = digest_up_to(dir.path(), manifest.header.sequence);
            assert_eq!(manifest.digest, digest.hash, "record {} on {kind}", manifest.header.sequence);
            let store = MemoryStore::default();
            let mut reader = SnapshotReader::open(&bytes[..], "taken").unwrap();
            snapshot::load(&store, &mut reader).unwrap();
            assert_eq!(StateDigest::of(&store).unwrap(), digest);
            assert_eq!(store.position().unwrap().unwrap().sequence, manifest.header.sequence);
        }
    }
}

#[test]
fn snapshots_are_taken_by_themselves_and_the_store_is_built_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig { snapshot_log_bytes: 64 * 1024, ..config(dir.path()) };
    let (owned, _) = OwnedEngine::open(&config).unwrap();
    let names = || {
        crate::engine::snapshot::SnapshotDirectory::new(Arc::new(RealDisk), dir.path().join("snapshots"))
            .list()
            .unwrap()
    };
    let mut round = 0;
    while names().len() < 2 {
        round += 1;
        assert!(round < 10_000, "no snapshots are taken");
        submit(owned.engine(), (0..200).map(|index| put(&format!("/{index}"), round + index)).collect()).unwrap();
    }
    submit(owned.engine(), vec![put("/last", 1)]).unwrap();
    let digest = owned.engine().digest().unwrap();
    owned.close().unwrap();
    assert_eq!(names().len(), config.snapshots_kept);
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    let (owned, recovery) = OwnedEngine::open(&config).unwrap();
    assert!(recovery.loaded_entries >= 200 && recovery.applied_records > 0, "{recovery:?}");
    assert_eq!(owned.engine().digest().unwrap(), digest);
    owned.close().unwrap();

    // The newest is damaged: the one before it does as well, and the damage is named.
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    let newest = names().pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let (owned, recovery) = OwnedEngine::open(&config).unwrap();
    assert_eq!(owned.engine().digest().unwrap(), digest);
    let [snapshot::SnapshotError::Damaged { path, .. }] = &recovery.unreadable[..] else { panic!("{recovery:?}") };
    assert_eq!(*path, newest);
}

/// A step of a store under a snapshot: the next entries are read, or keys are written.
#[derive(Debug, Clone)]
enum Step {
    Read,
    Write(Vec<(u16, Option<u8>)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = proptest::collection::vec((0..4_000u16, proptest::option::of(any::<u8>())), 1..90);
    proptest::collection::vec(prop_oneof![1 => Just(Step::Read), 3 => write.prop_map(Step::Write)], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_there_when_it_began_is_read_whatever_changes_meanwhile(
        links in proptest::collection::btree_map(0..4_000u16, any::<u8>(), 0..3_000), steps in steps(),
    ) {
        let key = |number: u16| keyspace::entry_key(format!("*/{number:05}").as_bytes());
        let store = MemoryStore::default();
        let beginning: Vec<_> = links.iter().map(|(&number, &value)| (key(number), vec![value])).collect();
        let position = Position {
            log_id: crate::log::LogId([1; 16]),
            sequence: 1,
            chain: crate::log::ChainHash([0; 32]),
            partial: None,
            durable: 1,
            replay_from: 2,
        };
        for writes in beginning.chunks(90) {
            let writes: Vec<_> =
                writes.iter().map(|(key, value)| Write { key: key.clone(), value: Some(value.clone()) }).collect();
            store.apply(&writes, &position).unwrap();
        }
        let overlay = Overlay::new();
        let mut read = Vec::new();
        for step in steps {
            match step {
                Step::Read if overlay.is_done() => {}
                Step::Read => read.extend(overlay.step(&store, 1_000).unwrap().unwrap()),
                Step::Write(changes) => {
                    let writes: Vec<_> = changes
                        .into_iter()
                        .map(|(number, value)| Write { key: key(number), value: value.map(|value| vec![value, 1]) })
                        .collect();
                    overlay.keep(&store, &writes).unwrap();
                    store.apply(&writes, &position).unwrap();
                }
            }
        }
        while !overlay.is_done() {
            read.extend(overlay.step(&store, 1_000).unwrap().unwrap());
        }
        prop_assert_eq!(read, beginning);
    }
}
