//! Operations that are sent again are not made again, and are answered as they were at first.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::engine::requests::{self, RequestQueue, Requests};
use crate::limits::{OPERATION_MEMORY_MS, OPERATION_MEMORY_SLACK_MS, OPERATIONS_FORGOTTEN};
use crate::link::Refusal;
use crate::log::OperationId;
use crate::store::keyspace;

fn named(engine: &Engine, id: OperationId, commands: Vec<Command>) -> Result<Vec<Outcome>, SubmitError> {
    engine.submit(Some(id), commands).map(|acknowledged| acknowledged.outcome)
}

fn refusal(result: Result<Vec<Outcome>, SubmitError>) -> Refusal {
    match result {
        Err(SubmitError::Refused(refusal, _)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_operation_that_is_sent_again_returns_its_first_outcome_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let [create_it, refuse_it, change_nothing] = std::array::from_fn(|_| OperationId::random());
    let (owned, _) = open(dir.path());
    let created = named(owned.engine(), create_it, vec![create("/a", 1), put("/b?q", 2)]).unwrap();
    let refused = refusal(named(owned.engine(), refuse_it, vec![create("/a", 2)]));
    let unchanged = named(owned.engine(), change_nothing, vec![put("/a", 1), delete("/none")]).unwrap();
    assert_eq!(unchanged, [Outcome::Unchanged; 2]);
    // What would have another outcome now.
    submit(owned.engine(), vec![delete("/a")]).unwrap();
    let digest = owned.engine().digest().unwrap();
    let check = |engine: &Engine| {
        assert_eq!(named(engine, create_it, vec![create("/a", 1), put("/b?q", 2)]).unwrap(), created);
        assert_eq!(refusal(named(engine, refuse_it, vec![create("/a", 2)])), refused);
        assert_eq!(named(engine, change_nothing, vec![put("/a", 1), delete("/none")]).unwrap(), unchanged);
        assert_eq!(engine.digest().unwrap(), digest);
    };
    check(owned.engine());
    let error = named(owned.engine(), create_it, vec![create("/a", 3)]).unwrap_err();
    assert!(matches!(error, SubmitError::OperationReused(id) if id == create_it), "{error}");
    // A snapshot has them, too.
    let mut snapshot = Vec::new();
    let manifest = owned.engine().backup(&mut snapshot).unwrap();
    assert_eq!((manifest.operations, manifest.digest), (3, digest.hash));
    owned.close().unwrap();

    let (owned, _) = open(dir.path());
    check(owned.engine());
    owned.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    let (owned, recovery) = open(dir.path());
    assert_eq!(recovery.applied_records, 4);
    check(owned.engine());
    owned.close().unwrap();
}

#[test]
fn without_a_name_nothing_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    for target in 1..4 {
        assert_ne!(submit(owned.engine(), vec![put("/a", target)]).unwrap(), [Outcome::Unchanged]);
    }
    let mut snapshot = Vec::new();
    assert_eq!(owned.engine().backup(&mut snapshot).unwrap().operations, 0);
}

/// A writer with a clock that is set by hand.
struct Hand {
    writer: Writer,
    requests: Requests,
    queue: RequestQueue,
    now_ms: Arc<AtomicU64>,
    store: Arc<dyn Store>,
}

impl Hand {
    fn new(dir: &Path) -> Self {
        let log = log_directory(Arc::new(RealDisk), dir);
        let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        let clock = Arc::clone(&now_ms);
        let ground = Ground { clock: Box::new(move || clock.load(Ordering::Relaxed)), ..ground(log.clone()) };
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let writer = writer(ground, log.open(&[]).unwrap().log, Arc::clone(&store));
        let (requests, queue) = requests::requests();
        Hand { writer, requests, queue, now_ms, store }
    }

    /// Has all of these done in one group.
    fn submit(&mut self, batches: Vec<(Option<OperationId>, Vec<Command>)>) -> Vec<Result<Vec<Outcome>, SubmitError>> {
        let answers: Vec<_> = batches
            .into_iter()
            .map(|(operation, commands)| {
                let (reply, answer) = crossbeam_channel::bounded(1);
                self.requests.send(change(operation, commands, reply)).unwrap();
                answer
            })
            .collect();
        let first = self.queue.next();
        assert!(self.writer.run_group(first, &self.queue.queue));
        answers.into_iter().map(|answer| answer.recv().unwrap().map(|acknowledged| acknowledged.outcome)).collect()
    }

    fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// How many operations the store has, by name and by time.
    fn remembered(&self) -> [usize; 2] {
        let mut counts = [0; 2];
        let mut visit = |key: &[u8], _: &[u8]| {
            match key[0] {
                keyspace::OPERATION => counts[0] += 1,
                keyspace::OPERATION_TIME => counts[1] += 1,
                _ => {}
            }
            std::ops::ControlFlow::Continue(())
        };
        self.store.scan(&[], &mut visit).unwrap();
        counts
    }
}

#[test]
fn the_same_operation_twice_in_a_group_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::new(dir.path());
    let id = Some(OperationId::random());
    let results = hand.submit(vec![
        (id, vec![put("/a", 1)]),
        (None, vec![put("/a", 2)]),
        (id, vec![put("/a", 1)]),
        (id, vec![put("/a", 3)]),
    ]);
    let [Ok(first), Ok(second), Ok(again), Err(SubmitError::OperationReused(_))] = &results[..] else {
        panic!("{results:?}")
    };
    assert!(matches!(first[..], [Outcome::Created(_)]));
    assert_eq!(second[..], [Outcome::Replaced { version: 2 }]);
    assert_eq!(again, first);
}

#[test]
fn an_operation_is_remembered_for_a_day_and_then_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::new(dir.path());
    let (first, second) = (Some(OperationId::random()), Some(OperationId::random()));
    let create_it = || vec![create("/a", 1)];
    let made = hand.submit(vec![(first, create_it())]).pop().unwrap().unwrap();
    hand.pass(OPERATION_MEMORY_MS - 1);
    assert_eq!(hand.submit(vec![(first, create_it())]).pop().unwrap().unwrap(), made);
    hand.submit(vec![(second, vec![delete("/a")])]).pop().unwrap().unwrap();
    hand.pass(1);
    // Made again, and remembered again under the same name.
    let again = hand.submit(vec![(first, create_it())]).pop().unwrap().unwrap();
    assert_ne!(again, made);
    assert_eq!(hand.remembered(), [2, 2]);
    hand.pass(OPERATION_MEMORY_MS - 1);
    assert_eq!(hand.submit(vec![(first, create_it())]).pop().unwrap().unwrap(), again);
    assert_eq!(digest_of_log_in(dir.path()), StateDigest::of(hand.store.as_ref()).unwrap());
}

/// The state that a log leads to, by the store in memory.
fn digest_of_log_in(dir: &Path) -> StateDigest {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    resume(&open_log(dir), &store).unwrap();
    StateDigest::of(store.as_ref()).unwrap()
}

#[test]
fn old_operations_leave_the_store_and_a_replay_forgets_the_same_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::new(dir.path());
    let some = |hand: &mut Hand, count: u64| {
        let batches = (0..count).map(|index| (Some(OperationId::random()), vec![put(&format!("/{index}"), index)]));
        hand.submit(batches.collect()).into_iter().for_each(|result| drop(result.unwrap()));
    };
    some(&mut hand, 200);
    hand.pass(OPERATION_MEMORY_MS);
    // They count no more, but there is time yet until they are removed.
    some(&mut hand, 1);
    assert_eq!(hand.remembered(), [201, 201]);
    hand.pass(OPERATION_MEMORY_SLACK_MS);
    some(&mut hand, 3);
    let left = 204 - 3 * OPERATIONS_FORGOTTEN;
    assert_eq!(hand.remembered(), [left, left]);
    some(&mut hand, 20);
    assert_eq!(hand.remembered(), [24, 24]);
    assert_eq!(digest_of_log_in(dir.path()), StateDigest::of(hand.store.as_ref()).unwrap());
}
