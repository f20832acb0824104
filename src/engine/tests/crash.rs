//! Crashes between any two batches of writes to the store, and crashes of the recovery from them.

use super::*;
use crate::engine::requests::{self, Request, Requests};
use crate::engine::set::SetWriter;
use crate::engine::writer;

/// Batches larger than a chunk, single changes, sets that overlap them, one that is dropped. Goes on after errors.
fn changes(requests: &Requests) {
    let ask = |commands: Vec<Command>| {
        let _ = requests.ask(|reply| change(None, commands, reply));
    };
    let text = |index: u64| format!("/{}{}", index / 2, ["", "?q"][index as usize % 2]);
    ask((0..260).map(|index| put(&text(index), index)).collect());
    let Ok(mut set) = SetWriter::begin(requests.clone()) else { return };
    for index in (100..1_450u64).rev() {
        let action = if index.is_multiple_of(7) { Action::Delete } else { to(index + 1) };
        // Some links twice: applied again, the first change of one would raise its version once more.
        let _ = set.add(key(&text(index % 800)), action);
    }
    ask(vec![create("/between", 1)]);
    let dropped = SetWriter::begin(requests.clone());
    ask((0..130).map(|index| delete(&text(index * 2))).collect());
    if let Ok(mut dropped) = dropped {
        (0..1_001).for_each(|index| drop(dropped.add(key(&text(index)), to(7))));
    }
    // Judged by what the batch itself did: resumed in its middle, nothing of it may be judged again.
    let versions = (0..120).flat_map(|index| {
        let text = format!("/v{index}");
        let next = Command { precondition: Precondition::Version(1), ..put(&text, 2) };
        [create(&text, 1), next]
    });
    ask(versions.collect());
    let _ = set.commit();
    ask(vec![put("/between", 2), delete("/3?q")]);
}

/// Makes the changes, on a store that takes so many batches, and gives how many it did take.
fn run(data: &Path, store: &Arc<Limited>, limit: usize) -> usize {
    let log = open_log(&data.join("log"));
    let ground = ground(log_directory(Arc::new(RealDisk), &data.join("log")));
    let writer = writer(ground, log, Arc::clone(store) as Arc<dyn Store>);
    let (requests, queue) = requests::requests();
    store.set_left(limit);
    std::thread::scope(|scope| {
        scope.spawn(|| writer::run(writer, &queue));
        changes(&requests);
        requests.send(Request::Stop).unwrap();
    });
    limit - store.left()
}

fn digest(store: &Arc<Limited>) -> StateDigest {
    StateDigest::of(store.as_ref()).unwrap()
}

#[test]
fn a_recovery_that_is_cut_short_anywhere_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let live = Limited::new(0);
    let batches = run(dir.path(), &live, usize::MAX);
    assert!(batches > 20);
    let log = open_log(&dir.path().join("log"));
    let mut within_a_record = 0;
    for limit in 0.. {
        let store = Limited::new(limit);
        let shared: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let ended = resume(&log, &shared).is_ok();
        let position = store.position().unwrap();
        within_a_record += u32::from(position.is_some_and(|position| position.partial.is_some()));
        store.set_left(usize::MAX);
        resume(&log, &shared).unwrap();
        assert!(digest(&store) == digest(&live), "cut short after {limit} batches");
        if ended {
            assert!(limit > 15 && within_a_record > 10);
            break;
        }
    }
}

#[test]
fn a_writer_that_is_cut_short_anywhere_loses_nothing_that_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let batches = run(dir.path(), &Limited::new(0), usize::MAX);
    for limit in 0..batches {
        let dir = tempfile::tempdir().unwrap();
        let store = Limited::new(0);
        assert_eq!(run(dir.path(), &store, limit), limit);
        let expected = digest_of_log(dir.path());
        let log = open_log(&dir.path().join("log"));
        let shared: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        // Once more, within the recovery.
        store.set_left(1);
        let _ = resume(&log, &shared);
        store.set_left(usize::MAX);
        resume(&log, &shared).unwrap();
        assert!(digest(&store) == expected, "cut short after {limit} batches");
    }
}
