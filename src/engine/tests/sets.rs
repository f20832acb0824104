//! Changes too large for one record.

use super::*;
use crate::engine::requests::{self, Request};
use crate::engine::set::SetWriter;
use crate::limits::{BATCH_COMMANDS, SET_PARTS_WAITING};

#[test]
fn a_set_takes_effect_with_its_commit_and_all_at_once_for_a_restart() {
    const COMMANDS: u64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    submit(engine, vec![put("/1", 0), put("/2", 2), put("/old", 0)]).unwrap();
    let mut set = engine.begin_set().unwrap();
    for index in 0..COMMANDS {
        set.add(key(&format!("/{index}")), to(index)).unwrap();
    }
    set.add(key("/old"), Action::Delete).unwrap();
    set.add(key("/none"), Action::Delete).unwrap();
    // Changed meanwhile: the set comes after it, and neither waits for the other.
    submit(engine, vec![put("/3", 0), put("/between", 1)]).unwrap();
    assert_eq!(engine.digest().unwrap().entries, 5);
    let applied = set.applied();
    let summary = set.commit().unwrap().outcome;
    assert_eq!((summary.created, summary.replaced), (COMMANDS - 3, 2));
    assert_eq!((summary.deleted, summary.unchanged), (1, 2));
    assert_eq!(summary.commands(), COMMANDS + 2);
    assert_eq!(applied.load(Ordering::Relaxed), COMMANDS + 2);
    let digest = engine.digest().unwrap();
    assert_eq!(digest.entries, COMMANDS + 1);
    owned.close().unwrap();
    assert_eq!(digest_of_log(dir.path()), digest);
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    let (owned, _) = open(dir.path());
    assert_eq!(owned.engine().digest().unwrap(), digest);
}

#[test]
fn a_set_without_commit_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let fill = |engine: &Engine| {
        let mut set = engine.begin_set().unwrap();
        (0..2_500).for_each(|index| set.add(key(&format!("/{index}")), to(index)).unwrap());
        set
    };
    drop(fill(owned.engine()));
    let open_set = fill(owned.engine());
    submit(owned.engine(), vec![put("/a", 1)]).unwrap();
    let digest = owned.engine().digest().unwrap();
    assert_eq!(digest.entries, 1);
    owned.close().unwrap();
    assert!(matches!(open_set.commit(), Err(SubmitError::Closed { .. })));
    // The store stands behind the parts of the set that was open.
    for _ in 0..2 {
        let (owned, _) = open(dir.path());
        assert_eq!(owned.engine().digest().unwrap(), digest);
        submit(owned.engine(), vec![put("/b", 1), delete("/b")]).unwrap();
        owned.close().unwrap();
    }
    assert_eq!(digest_of_log(dir.path()), digest);
    // Nor is it waited for any longer: a start would read its parts again and again.
    let store = crate::store::SledStore::open(&dir.path().join("store"), 1 << 20).unwrap();
    let position = store.position().unwrap().unwrap();
    assert_eq!(position.replay_from, position.sequence + 1);
}

#[test]
fn a_set_that_was_dropped_is_read_again_at_one_start_only() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![put("/a", 1)]).unwrap();
    let mut set = owned.engine().begin_set().unwrap();
    (0..2_500).for_each(|index| set.add(key(&format!("/{index}")), to(index)).unwrap());
    drop(set);
    owned.close().unwrap();
    // The begin and two parts.
    for records in [3, 0, 0] {
        let (owned, recovery) = open(dir.path());
        assert_eq!(recovery.applied_records, records);
        assert_eq!(owned.engine().digest().unwrap().entries, 1);
        owned.close().unwrap();
    }
}

#[test]
fn no_more_sets_are_open_than_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let mut sets: Vec<_> = (0..crate::limits::OPEN_SETS).map(|_| owned.engine().begin_set().unwrap()).collect();
    assert!(matches!(owned.engine().begin_set(), Err(SubmitError::TooManySets)));
    drop(sets.pop());
    sets.push(owned.engine().begin_set().unwrap());
    assert!(matches!(owned.engine().begin_set(), Err(SubmitError::TooManySets)));
    sets.pop().unwrap().commit().unwrap();
    owned.engine().begin_set().unwrap();
}

#[test]
fn a_part_never_outgrows_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let mut set = owned.engine().begin_set().unwrap();
    let (path, target) = ("p".repeat(2_000), "t".repeat(3_000));
    for index in 0..400 {
        let target = Target::parse(&format!("https://to.example/{target}")).unwrap();
        let destination = Destination::new(Status::PermanentRedirect, Some(target)).unwrap();
        set.add(key(&format!("/{path}{index}")), Action::Put(destination)).unwrap();
    }
    assert_eq!(set.commit().unwrap().outcome.created, 400);
    let short = owned.engine().begin_set().unwrap();
    assert_eq!(short.commit().unwrap().outcome.commands(), 0);
}

/// I6: a writer that waits for its disk does not have parts gather before it without bound.
#[test]
fn no_more_parts_wait_for_the_writer_than_allowed() {
    const PARTS: usize = SET_PARTS_WAITING + 3;
    let (requests, queue) = requests::requests();
    let sent = AtomicUsize::new(0);
    let wait_for = |parts: usize| {
        while sent.load(Ordering::Relaxed) < parts * BATCH_COMMANDS {
            std::thread::yield_now();
        }
        // Time for one more, if it did not wait.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(sent.load(Ordering::Relaxed), parts * BATCH_COMMANDS);
    };
    std::thread::scope(|scope| {
        let set = scope.spawn(|| {
            let mut set = SetWriter::begin(requests.clone())?;
            for index in 0..PARTS * BATCH_COMMANDS {
                set.add(key(&format!("/{index}")), Action::Delete)?;
                sent.fetch_add(1, Ordering::Relaxed);
            }
            set.commit()
        });
        match queue.next() {
            Request::SetBegin { reply } => reply.send(Ok(crate::link::SetId(1))).unwrap(),
            _ => panic!("no set was begun"),
        }
        // One more than wait is in the hands of who writes the set.
        wait_for(SET_PARTS_WAITING + 1);
        drop(queue.next());
        wait_for(SET_PARTS_WAITING + 2);
        // The writer ends: nobody waits for a place any longer.
        drop(queue);
        assert!(matches!(set.join().unwrap(), Err(SubmitError::Closed { .. })));
    });
}
