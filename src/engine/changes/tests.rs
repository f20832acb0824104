//! The changes that are told against those that were submitted.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::engine::{EngineConfig, OwnedEngine};
use crate::link::{Action, Change, Command, LinkKey, Precondition, encode_payload};
use crate::log::{Beginning, Log};

fn payload(sequence: u64) -> Payload {
    let commands = (0..=sequence % 5).map(|index| Command {
        key: LinkKey::parse(&format!("/{sequence}/{index}")).unwrap(),
        action: Action::Delete,
        precondition: Precondition::None,
    });
    Payload::Change(Change::Links(commands.collect()))
}

fn directory(dir: &Path) -> LogDirectory {
    LogDirectory { segment_bytes: 4_096, ..LogDirectory::new(Arc::new(RealDisk), dir.to_owned()) }
}

fn append(log: &mut Log) {
    let sequence = log.next_sequence();
    let operation = if sequence.is_multiple_of(2) { OperationId([7; 16]) } else { OperationId::NONE };
    log.append(sequence, operation, &encode_payload(&payload(sequence), &Actor::local())).unwrap();
}

#[track_caller]
fn assert_records(page: &ChangesPage, expected: impl Iterator<Item = u64>) {
    let sequences: Vec<u64> = page.records.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, expected.collect::<Vec<_>>());
    for record in &page.records {
        let sequence = record.sequence;
        assert_eq!((record.time_ms, &record.payload), (sequence, &payload(sequence)));
        assert_eq!(record.operation.is_some(), sequence.is_multiple_of(2));
        assert_eq!(record.actor, Actor::local());
    }
}

#[test]
fn what_is_not_acknowledged_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let directory = directory(dir.path());
    let mut log = directory.begin(Beginning::genesis()).unwrap();
    let waypoints = Waypoints::default();
    let page = changes(&directory, log.id(), &waypoints, 0, ChangesRange::Before(None), 10).unwrap();
    assert_eq!(page, ChangesPage { records: Vec::new(), oldest: 1, newest: 0 });
    (0..100).for_each(|_| append(&mut log));
    log.sync().unwrap();
    let ask = |range, limit| changes(&directory, log.id(), &waypoints, 90, range, limit).unwrap();
    assert_records(&ask(ChangesRange::Before(None), 10), (81..=90).rev());
    assert_records(&ask(ChangesRange::Before(Some(95)), 10), (81..=90).rev());
    assert_records(&ask(ChangesRange::Before(Some(81)), 200), (1..=80).rev());
    assert_records(&ask(ChangesRange::Before(Some(1)), 10), 0..0);
    assert_records(&ask(ChangesRange::Before(Some(0)), 10), 0..0);
    assert_records(&ask(ChangesRange::After(0), 10), 1..=10);
    assert_records(&ask(ChangesRange::After(85), 10), 86..=90);
    assert_records(&ask(ChangesRange::After(90), 10), 0..0);
    assert_records(&ask(ChangesRange::After(u64::MAX), 10), 0..0);
}

#[test]
fn pages_go_on_while_the_log_is_written_and_cut() {
    let dir = tempfile::tempdir().unwrap();
    let directory = directory(dir.path());
    let mut log = directory.begin(Beginning::genesis()).unwrap();
    let waypoints = Waypoints::default();
    let (id, newest) = (log.id(), std::sync::atomic::AtomicU64::new(0));
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..1_500u64 {
                append(&mut log);
                log.sync().unwrap();
                newest.store(turn + 1, order);
                if turn % 100 == 99 {
                    log.cut_before(turn - 50).unwrap();
                }
            }
        });
        let mut seen = 0;
        while seen < 1_500 {
            let page = changes(&directory, id, &waypoints, newest.load(order), ChangesRange::After(seen), 40).unwrap();
            if let Some(first) = page.records.first() {
                assert!(first.sequence == seen + 1 || first.sequence == page.oldest);
                assert_records(&page, (first.sequence..).take(page.records.len()));
                seen = first.sequence + page.records.len() as u64 - 1;
            }
            let page = changes(&directory, id, &waypoints, newest.load(order), ChangesRange::Before(None), 40).unwrap();
            assert_records(&page, (0..=page.newest).rev().take(page.records.len()));
        }
    });
}

#[test]
fn an_engine_tells_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = OwnedEngine::open(&EngineConfig::new(dir.path().to_owned())).unwrap();
    let engine = owned.engine();
    let put = |index: u64| {
        let target = crate::link::Target::parse(&format!("https://to.example/{index}")).unwrap();
        let destination = crate::link::Destination::new(crate::link::Status::Found, Some(target)).unwrap();
        let action = Action::Put(destination);
        vec![Command { key: LinkKey::parse("/a").unwrap(), action, precondition: Precondition::None }]
    };
    for index in 1..=20 {
        engine.submit(None, put(index)).unwrap();
        let page = engine.changes(ChangesRange::Before(None), 3).unwrap();
        assert_eq!((page.oldest, page.newest, page.records[0].sequence), (1, index, index));
        assert_eq!(page.records[0].payload, Payload::Change(Change::Links(put(index))));
        assert_eq!(page.records.len() as u64, index.min(3));
    }
    owned.close().unwrap();
}
