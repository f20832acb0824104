//! Groups of requests that one sync makes durable together, and what happens when that fails.

use crossbeam_channel::Receiver;

use super::*;
use crate::engine::writer::{self, Request, RequestQueue, Requests};
use crate::link::Refusal;

type Answer = Receiver<Result<Vec<Outcome>, SubmitError>>;

/// Puts a request in the queue; the group begins when the writer does.
fn send(requests: &Requests, commands: Vec<Command>) -> Answer {
    let (reply, answer) = crossbeam_channel::bounded(1);
    requests.send(Request::Batch { operation: OperationId::random(), commands, reply }).unwrap();
    answer
}

/// Runs the writer until it has done what is in the queue.
fn run(log: Log, store: Arc<dyn Store>, requests: &Requests, queue: &RequestQueue) {
    requests.send(Request::Stop).unwrap();
    let position = recover::beginning(&log);
    writer::run(log, Applier::new(store, Arc::new(SharedCache::new(1 << 20)), position), queue);
}

fn next_sequence(dir: &Path) -> u64 {
    open_log(dir).next_sequence()
}

#[test]
fn a_refused_batch_leaves_nothing_behind_for_the_rest_of_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, queue) = writer::requests();
    let first = send(&requests, vec![create("/a", 1), put("/c?q", 1)]);
    let refused = send(&requests, vec![put("/b", 1), put("/a", 2), delete("/c?q"), put("/c?r", 1), create("/a", 3)]);
    let second = send(&requests, vec![create("/b", 2), put("/a", 1), create("/c?r", 2)]);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    run(open_log(dir.path()), Arc::clone(&store), &requests, &queue);
    first.recv().unwrap().unwrap();
    let refusal = refused.recv().unwrap().unwrap_err();
    assert!(matches!(refusal, SubmitError::Refused(Refusal::Exists { version: 2, .. })), "{refusal}");
    let outcomes = second.recv().unwrap().unwrap();
    assert!(matches!(outcomes[..], [Outcome::Created(_), Outcome::Unchanged, Outcome::Created(_)]), "{outcomes:?}");
    let entry = crate::engine::read::stored_entry(store.as_ref(), b"*/c").unwrap();
    assert_eq!(entry.query_links, 2);
    assert_eq!(next_sequence(dir.path()), 3);
}

#[test]
fn what_changes_nothing_writes_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![put("/a", 1)]).unwrap();
    for commands in [vec![put("/a", 1)], vec![delete("/b"), put("/a", 1)], vec![]] {
        assert!(submit(owned.engine(), commands).unwrap().iter().all(|outcome| *outcome == Outcome::Unchanged));
    }
    submit(owned.engine(), vec![create("/a", 2)]).unwrap_err();
    owned.close().unwrap();
    assert_eq!(next_sequence(&dir.path().join("log")), 2);
}

#[test]
fn a_batch_over_the_limits_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let many = |count| (0..count).map(|index| put(&format!("/{index}"), 1)).collect::<Vec<_>>();
    let error = submit(owned.engine(), many(crate::limits::BATCH_COMMANDS + 1)).unwrap_err();
    assert!(matches!(error, SubmitError::TooLarge { commands: 1001, .. }));
    let long = "x".repeat(2_000);
    let large = (0..300).map(|index| put(&format!("/{long}{index}"), 1)).collect();
    assert!(matches!(submit(owned.engine(), large), Err(SubmitError::TooLarge { commands: 300, .. })));
    assert_eq!(submit(owned.engine(), many(crate::limits::BATCH_COMMANDS)).unwrap().len(), 1000);
    assert_eq!(owned.engine().digest().unwrap().entries, 1000);
}

/// I9. Writing to the one device fails, syncing the other does.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    for device in ["/dev/full", "/dev/null"] {
        let dir = tempfile::tempdir().unwrap();
        let (requests, queue) = writer::requests();
        let mut log = open_log(dir.path());
        log.replace_file(std::fs::OpenOptions::new().write(true).open(device).unwrap());
        let changed = send(&requests, vec![create("/a", 1)]);
        let refused = send(&requests, vec![create("/a", 2)]);
        let unchanged = send(&requests, vec![put("/a", 1)]);
        // Ends the group, so that what follows comes after the failure.
        let (reply, begun) = crossbeam_channel::bounded(1);
        let applied = Arc::default();
        requests.send(Request::SetCommit { set: crate::link::SetId(9), applied, reply }).unwrap();
        let later = send(&requests, vec![put("/b", 1)]);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        run(log, Arc::clone(&store), &requests, &queue);
        assert!(matches!(changed.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
        // That it exists is not certain either.
        assert!(matches!(refused.recv().unwrap(), Err(SubmitError::Closed { .. })));
        assert!(matches!(unchanged.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
        assert!(matches!(begun.recv().unwrap(), Err(SubmitError::Closed { .. })));
        assert!(matches!(later.recv().unwrap(), Err(SubmitError::Closed { .. })));
        assert_eq!(StateDigest::of(store.as_ref()).unwrap().entries, 0);
        assert_eq!(next_sequence(dir.path()), 1);
    }
}

#[test]
fn a_store_that_fails_ends_the_writing_but_what_was_logged_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, queue) = writer::requests();
    let changed = send(&requests, vec![create("/a", 1)]);
    let log = open_log(&dir.path().join("log"));
    run(log, Limited::new(0), &requests, &queue);
    assert!(matches!(changed.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
    assert_eq!(digest_of_log(dir.path()).entries, 1);
}

#[test]
fn whoever_submits_while_the_engine_is_closed_gets_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = Arc::clone(owned.engine());
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (engine, acknowledged) = (&engine, &acknowledged);
            scope.spawn(move || {
                for turn in 0.. {
                    match submit(engine, vec![create(&format!("/{thread}/{turn}"), 1)]) {
                        Ok(_) => acknowledged.fetch_add(1, Ordering::Relaxed),
                        Err(SubmitError::Closed { .. }) => break,
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
        while acknowledged.load(Ordering::Relaxed) < 100 {
            std::thread::yield_now();
        }
        owned.close().unwrap();
    });
    assert_eq!(engine.digest().unwrap().entries, acknowledged.into_inner() as u64);
    // The directory is held until the last part of the engine is gone.
    assert!(matches!(OwnedEngine::open(&config(dir.path())), Err(OpenError::Lock(_))));
    drop(engine);
    open(dir.path());
}

#[test]
fn a_writer_that_panicked_is_an_error_when_the_engine_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![put("/a", 1)]).unwrap();
    let OwnedEngine { engine, writer } = owned;
    engine.requests.send(Request::Stop).unwrap();
    writer.join().unwrap();
    let writer = std::thread::spawn(|| panic!("the writer's, for a test"));
    let closed = OwnedEngine { engine, writer }.close();
    assert!(matches!(closed, Err(crate::engine::CloseError::WriterPanicked)), "{closed:?}");
    let (owned, _) = open(dir.path());
    assert_eq!(owned.engine().digest().unwrap().entries, 1);
}
