//! Groups of requests that one sync makes durable together, and what happens when that fails.

use crossbeam_channel::Receiver;

use super::*;
use crate::engine::requests::{self, Acknowledged, Request, RequestQueue, Requests};
use crate::engine::snapshot::Taking;
use crate::link::Refusal;
use crate::log::disk::simulated::SimulatedDisk;

type Answer = Receiver<Result<Acknowledged<Vec<Outcome>>, SubmitError>>;

/// Puts a request in the queue; the group begins when the writer does.
fn send(requests: &Requests, commands: Vec<Command>) -> Answer {
    let (reply, answer) = crossbeam_channel::bounded(1);
    requests.send(change(None, commands, reply)).unwrap();
    answer
}

/// Runs the writer until it has done what is in the queue.
fn run(log: LogDirectory, store: Arc<dyn Store>, requests: &Requests, queue: &RequestQueue) {
    requests.send(Request::Stop).unwrap();
    let opened = log.open(&[]).unwrap().log;
    crate::engine::writer::run(writer(ground(log), opened, store), queue);
}

fn on_disk(dir: &Path) -> LogDirectory {
    log_directory(Arc::new(RealDisk), dir)
}

fn next_sequence(dir: &Path) -> u64 {
    open_log(dir).next_sequence()
}

#[test]
fn a_refused_batch_leaves_nothing_behind_for_the_rest_of_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, queue) = requests::requests();
    let first = send(&requests, vec![create("/a", 1), put("/c?q", 1)]);
    let refused = send(&requests, vec![put("/b", 1), put("/a", 2), delete("/c?q"), put("/c?r", 1), create("/a", 3)]);
    let second = send(&requests, vec![create("/b", 2), put("/a", 1), create("/c?r", 2)]);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    run(on_disk(dir.path()), Arc::clone(&store), &requests, &queue);
    first.recv().unwrap().unwrap();
    let refusal = refused.recv().unwrap().unwrap_err();
    assert!(matches!(refusal, SubmitError::Refused(Refusal::Exists { version: 2, .. }, _)), "{refusal}");
    let outcomes = second.recv().unwrap().unwrap().outcome;
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

/// A log on a simulated disk, with a record that is acknowledged.
fn simulated() -> (SimulatedDisk, LogDirectory) {
    let disk = SimulatedDisk::new(7);
    let log = log_directory(Arc::new(disk.clone()), Path::new("/log"));
    let mut opened = log.open(&[]).unwrap().log;
    let payload = {
        let payload = crate::link::Payload::Change(Change::Links(vec![put("/before", 1)]));
        crate::link::encode_payload(&payload, &Actor::local())
    };
    opened.append(1, crate::log::OperationId::NONE, &payload).unwrap();
    opened.sync().unwrap();
    (disk, log)
}

/// A group that needs two segments, on a disk that is full when the second is written.
#[test]
fn what_is_answered_as_taken_back_is_not_in_the_log() {
    let (disk, log) = simulated();
    let (requests, queue) = requests::requests();
    let long = "x".repeat(1_000);
    let batch = |batch| (0..80).map(|index| put(&format!("/{long}{batch}/{index}"), 1)).collect();
    let answers: Vec<Answer> = (0..4).map(|index| send(&requests, batch(index))).collect();
    // Behind what the first segment takes, and the header of the second.
    let opened = log.open(&[]).unwrap().log;
    disk.fill_in(3);
    requests.send(Request::Stop).unwrap();
    crate::engine::writer::run(writer(ground(log.clone()), opened, Arc::new(MemoryStore::default())), &queue);
    let answers: Vec<_> = answers.iter().map(|answer| answer.recv().unwrap()).collect();
    let done = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert!(answers[done..].iter().all(|answer| matches!(answer, Err(SubmitError::Paused { .. }))), "{answers:?}");
    assert!((1..4).contains(&done), "{done} are done");
    assert_eq!(log.open(&[]).unwrap().log.next_sequence(), 2 + done as u64);
}

/// I9.
#[test]
fn after_a_failed_write_or_sync_nothing_is_acknowledged() {
    for fails in [SimulatedDisk::fail_write_in, SimulatedDisk::fail_sync_in, SimulatedDisk::fill_sync_in] {
        let (disk, log) = simulated();
        let (requests, queue) = requests::requests();
        let changed = send(&requests, vec![create("/a", 1)]);
        let refused = send(&requests, vec![create("/a", 2)]);
        let unchanged = send(&requests, vec![put("/a", 1)]);
        // Ends the group, so that what follows comes after the failure.
        let (reply, begun) = crossbeam_channel::bounded(1);
        let applied = Arc::default();
        requests.send(Request::SetCommit { set: crate::link::SetId(9), applied, reply }).unwrap();
        let later = send(&requests, vec![put("/b", 1)]);
        let (reply, snapshot) = crossbeam_channel::bounded(1);
        requests.send(Request::SnapshotBegin { is_backup: true, reply }).unwrap();
        let (reply, cut) = crossbeam_channel::bounded(1);
        requests.send(Request::CutLog { before: 2, reply }).unwrap();
        requests.send(Request::Stop).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let opened = log.open(&[]).unwrap().log;
        fails(&disk, 1);
        crate::engine::writer::run(writer(ground(log), opened, Arc::clone(&store)), &queue);
        assert!(matches!(changed.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
        // That it exists is not certain either.
        assert!(matches!(refused.recv().unwrap(), Err(SubmitError::Closed { .. })));
        assert!(matches!(unchanged.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
        assert!(matches!(begun.recv().unwrap(), Err(SubmitError::Closed { .. })));
        assert!(matches!(later.recv().unwrap(), Err(SubmitError::Closed { .. })));
        let digest = StateDigest::of(store.as_ref()).unwrap();
        assert_eq!(digest.entries, 0);
        // What was acknowledged can still be saved elsewhere, and nothing of the log is removed.
        let (_, manifest) = Taking::new(snapshot.recv().unwrap().unwrap(), Vec::new()).unwrap().run().unwrap();
        assert_eq!(manifest.digest, digest.hash);
        assert!(matches!(cut.recv().unwrap(), Err(SubmitError::Closed { .. })));
    }
}

#[test]
fn a_store_that_fails_pauses_the_writing_but_what_was_logged_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, queue) = requests::requests();
    let changed = send(&requests, vec![create("/a", 1)]);
    run(on_disk(&dir.path().join("log")), Limited::new(0), &requests, &queue);
    assert!(matches!(changed.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
    assert_eq!(digest_of_log(dir.path()).entries, 1);
}

/// The part that was applied must not come to the store, where nothing would say that it is one.
#[test]
fn a_set_whose_parts_can_not_be_read_back_leaves_nothing_in_the_store() {
    let (disk, log) = simulated();
    let (requests, queue) = requests::requests();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    resume(&log.open(&[]).unwrap().log, &store).unwrap();
    let set = crate::link::SetId(2);
    let (reply, begun) = crossbeam_channel::bounded(1);
    requests.send(Request::SetBegin { reply }).unwrap();
    for commands in [vec![put("/before", 2), put("/before", 1)], vec![put("/before", 2)]] {
        let place = crate::engine::set::Place::unlimited();
        requests.send(Request::SetPart { set, commands, place }).unwrap();
    }
    let (reply, committed) = crossbeam_channel::bounded(1);
    requests.send(Request::SetCommit { set, applied: Arc::default(), reply }).unwrap();
    let later = send(&requests, vec![put("/b", 1)]);
    requests.send(Request::Stop).unwrap();
    let opened = log.open(&[]).unwrap().log;
    let position = store.position().unwrap().unwrap();
    let views = Views::new(1 << 20, None);
    let applier = attached(Arc::clone(&store), Arc::clone(&views), position);
    let recovered = recover::Recovered { log: opened, applier, report: Recovery::default(), bytes_since_snapshot: 0 };
    let slot = Arc::new(StoreSlot::new(Arc::clone(&store)));
    let writer = Writer::new(Arc::new(ground(log.clone())), recovered, slot, views, SharedHealth::default());
    disk.fail_read_in(2);
    crate::engine::writer::run(writer, &queue);
    assert_eq!(begun.recv().unwrap().unwrap(), set);
    assert!(matches!(committed.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
    assert!(matches!(later.recv().unwrap(), Err(SubmitError::Closed { .. })));
    resume(&log.open(&[]).unwrap().log, &store).unwrap();
    let entry = crate::engine::read::stored_entry(store.as_ref(), b"*/before").unwrap();
    assert_eq!(entry.link.unwrap().version, 4);
}

/// I3: what is forgotten is the same whether the writer was started again in between or not.
#[test]
fn what_is_forgotten_does_not_depend_on_restarts() {
    const HOUR_MS: u64 = 3_600_000;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("log");
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let made = |operations: &[(u8, u64)]| {
        for &(id, time_ms) in operations {
            let log = on_disk(&data);
            let opened = log.open(&[]).unwrap().log;
            let ground = Ground { clock: Box::new(move || time_ms), ..ground(log) };
            let (requests, queue) = requests::requests();
            let (reply, answer) = crossbeam_channel::bounded(1);
            let operation = Some(crate::log::OperationId([id; 16]));
            requests.send(change(operation, vec![put("/a", time_ms)], reply)).unwrap();
            requests.send(Request::Stop).unwrap();
            let applier = {
                let position = store.position().unwrap().unwrap_or_else(|| recover::beginning(&opened));
                attached(Arc::clone(&store), Views::new(1 << 20, None), position)
            };
            let recovered =
                recover::Recovered { log: opened, applier, report: Recovery::default(), bytes_since_snapshot: 0 };
            let slot = Arc::new(StoreSlot::new(Arc::clone(&store)));
            let views = Views::new(1 << 20, None);
            let writer = Writer::new(Arc::new(ground), recovered, slot, views, SharedHealth::default());
            crate::engine::writer::run(writer, &queue);
            answer.recv().unwrap().unwrap();
        }
    };
    // The first is made again after a day, so that the second is the oldest, and not yet old enough.
    made(&[(1, HOUR_MS), (2, 2 * HOUR_MS), (1, 25 * HOUR_MS + HOUR_MS / 2), (3, 26 * HOUR_MS + HOUR_MS / 2)]);
    assert_eq!(digest_of_log(dir.path()), StateDigest::of(store.as_ref()).unwrap());
}

/// It goes on by itself, so nobody is told to start again.
#[test]
fn what_was_refused_while_the_store_fails_is_paused() {
    let dir = tempfile::tempdir().unwrap();
    let (requests, queue) = requests::requests();
    let changed = send(&requests, vec![create("/a", 1)]);
    let refused = send(&requests, vec![create("/a", 2)]);
    run(on_disk(&dir.path().join("log")), Limited::new(0), &requests, &queue);
    assert!(matches!(changed.recv().unwrap(), Err(SubmitError::OutcomeUnknown { .. })));
    assert!(matches!(refused.recv().unwrap(), Err(SubmitError::Paused { .. })));
    assert_eq!(digest_of_log(dir.path()).entries, 1);
}

#[test]
fn a_request_that_the_writer_never_took_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let log = on_disk(dir.path());
    let opened = log.open(&[]).unwrap().log;
    let writer = writer(ground(log), opened, Arc::new(MemoryStore::default()));
    let (requests, queue) = requests::requests();
    requests.send(Request::Stop).unwrap();
    std::thread::scope(|scope| {
        let late = scope.spawn(|| requests.ask(|reply| Request::SetBegin { reply }));
        while queue.queue.len() < 2 {
            std::thread::yield_now();
        }
        scope.spawn(move || crate::engine::writer::run(writer, &queue));
        assert!(matches!(late.join().unwrap(), Err(SubmitError::Closed { .. })));
    });
    assert!(matches!(requests.ask(|reply| Request::SetBegin { reply }), Err(SubmitError::Closed { .. })));
}

#[test]
fn a_request_that_the_writer_lost_has_an_unknown_outcome() {
    let (requests, queue) = requests::requests();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(queue.next()));
        let answer = requests.ask(|reply| Request::SetBegin { reply });
        assert!(matches!(answer, Err(SubmitError::OutcomeUnknown { .. })), "{answer:?}");
    });
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
    let OwnedEngine { engine, ground, writer, snapshots, uses, clicks } = owned;
    engine.requests.send(Request::Stop).unwrap();
    writer.join().unwrap();
    let writer = std::thread::spawn(|| panic!("the writer's, for a test"));
    let closed = OwnedEngine { engine, ground, writer, snapshots, uses, clicks }.close();
    assert!(matches!(closed, Err(crate::engine::CloseError::WriterPanicked)), "{closed:?}");
    let (owned, _) = open(dir.path());
    assert_eq!(owned.engine().digest().unwrap().entries, 1);
}
