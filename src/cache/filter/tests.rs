//! The filter against a model, and with threads.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex as StdMutex;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A hash as good as the real one.
fn hash(key: u64) -> u64 {
    ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(key)
}

/// A store of keys, the filter, a filter that is being built, and a reader.
struct World {
    shared: Arc<SharedFilter>,
    held: HeldFilter,
    stored: BTreeSet<u64>,
    /// The build, and the keys that its scan has not come to yet: those below are behind it.
    build: Option<(FilterBuild, u64, u64)>,
}

impl World {
    fn new() -> Self {
        let shared = Arc::<SharedFilter>::default();
        World { held: HeldFilter::new(Arc::clone(&shared)), shared, stored: BTreeSet::new(), build: None }
    }

    fn put(&mut self, key: u64) {
        self.stored.insert(key);
        self.shared.additions().iter_mut().for_each(|additions| additions.add(hash(key)));
    }

    fn remove(&mut self, key: u64) {
        if self.stored.remove(&key) {
            self.shared.additions().iter_mut().for_each(|additions| additions.note_removed(hash(key)));
        }
    }

    fn begin(&mut self) {
        self.build = self.shared.begin(0).map(|build| (build, 0, 0));
    }

    /// Scans on to this key, and publishes at the end.
    fn scan(&mut self, to: u64) {
        let Some((build, next, keys)) = &mut self.build else { return };
        for &key in self.stored.range(*next..to.max(*next)) {
            build.add(&[hash(key)]);
            *keys += 1;
        }
        *next = to.max(*next);
        if to == u64::MAX {
            let (build, _, keys) = self.build.take().unwrap();
            self.shared.publish(&build, keys);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    Remove(u64),
    Begin,
    Scan(u64),
    Suspend,
    /// Something is changed that no writer adds, and another filter may be built.
    Resume(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..200_u64;
    prop_oneof![
        8 => key.clone().prop_map(Step::Put),
        2 => key.clone().prop_map(Step::Remove),
        2 => Just(Step::Begin),
        3 => prop_oneof![key.clone(), Just(u64::MAX)].prop_map(Step::Scan),
        1 => Just(Step::Suspend),
        1 => key.prop_map(Step::Resume),
    ]
}

proptest! {
    #[test]
    fn no_key_that_is_there_is_ruled_out(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        let mut is_suspended = false;
        for step in steps {
            match step {
                Step::Put(key) => world.put(key),
                Step::Remove(key) => world.remove(key),
                Step::Begin => world.begin(),
                Step::Scan(to) => world.scan(to),
                Step::Suspend => {
                    world.shared.suspend();
                    is_suspended = true;
                }
                Step::Resume(key) => {
                    if is_suspended {
                        world.stored.insert(key);
                        world.shared.resume();
                    }
                    is_suspended = false;
                }
            }
            for &key in &world.stored {
                prop_assert!(!world.held.rules_out(hash(key)), "{} is ruled out", key);
            }
        }
        // And once it is built, of others next to none is left.
        world.shared.resume();
        world.begin();
        world.scan(u64::MAX);
        let others = (1000..2000).filter(|&key| world.held.rules_out(hash(key))).count();
        prop_assert!(others >= 995, "{} of 1,000 are ruled out", others);
    }
}

#[test]
fn without_a_filter_nothing_is_ruled_out() {
    let mut world = World::new();
    assert!(!world.held.rules_out(1) && !world.shared.status().is_ready);
    world.put(7);
    world.begin();
    assert!(!world.held.rules_out(1));
    world.scan(u64::MAX);
    assert!(world.held.rules_out(hash(8)) && !world.held.rules_out(hash(7)));
    world.shared.suspend();
    assert!(!world.held.rules_out(hash(8)) && world.shared.begin(0).is_none());
    world.shared.resume();
    assert!(!world.held.rules_out(hash(8)) && world.shared.begin(0).is_some());
}

#[test]
fn one_that_was_suspended_while_it_was_built_is_never_used() {
    let mut world = World::new();
    world.begin();
    let (build, ..) = world.build.take().unwrap();
    world.shared.suspend();
    assert!(build.is_cancelled().load(Relaxed));
    world.shared.resume();
    assert!(!world.shared.publish(&build, 0) && !world.shared.status().is_ready);
    // Nor does the end of an old one touch a new one.
    let new = world.shared.begin(0).unwrap();
    assert!(!world.shared.publish(&build, 0) && world.shared.publish(&new, 0));
}

#[test]
fn it_says_how_it_stands_and_how_much_it_answered() {
    let mut world = World::new();
    assert_eq!(world.shared.status(), FilterStatus::default());
    (0..100).for_each(|key| world.put(key));
    world.begin();
    world.scan(u64::MAX);
    (100..110).for_each(|key| world.put(key));
    world.remove(5);
    let bytes = BlockedBloom::with_capacity(KEYS_MIN).bytes();
    let expected = FilterStatus { is_ready: true, keys: 109, bytes, ..FilterStatus::default() };
    assert_eq!(world.shared.status(), expected);
    let mut other = HeldFilter::new(Arc::clone(&world.shared));
    let ruled_out = (1000..1100).filter(|&key| world.held.rules_out(hash(key)) & other.rules_out(hash(key))).count();
    drop(other);
    assert_eq!(world.shared.status().answered, 2 * ruled_out as u64);
    let build = world.shared.begin(0).unwrap();
    assert_eq!(world.shared.status().bytes, 2 * bytes);
    assert!(world.shared.fail(&build, "it is gone".to_owned()) && !world.shared.fail(&build, "still".to_owned()));
    let status = world.shared.status();
    assert_eq!((status.is_ready, status.bytes, status.trouble.as_deref()), (true, bytes, Some("still")));
}

#[test]
fn another_one_is_due_when_it_is_full_or_much_has_gone() {
    let mut world = World::new();
    let due = |shared: &SharedFilter| shared.state.lock().is_due();
    assert!(due(&world.shared));
    world.begin();
    world.scan(u64::MAX);
    assert!(!due(&world.shared));
    (0..KEYS_MIN).for_each(|key| world.put(key));
    assert!(!due(&world.shared));
    (KEYS_MIN..KEYS_MIN + 200).for_each(|key| world.put(key));
    assert!(due(&world.shared));
    let present = world.shared.wait_until_due(Instant::now()).unwrap().unwrap();
    assert!((KEYS_MIN..=KEYS_MIN + 200).contains(&present), "{present}");
    world.build = world.shared.begin(2 * present).map(|build| (build, 0, 0));
    world.scan(u64::MAX);
    assert!(!due(&world.shared));
    (0..KEYS_MIN / 4).for_each(|key| world.remove(key));
    assert!(!due(&world.shared));
    (KEYS_MIN / 4..KEYS_MIN).for_each(|key| world.remove(key));
    assert!(due(&world.shared));
}

#[test]
fn one_that_is_far_too_large_is_built_again() {
    let mut world = World::new();
    (0..KEYS_MIN).for_each(|key| world.put(key));
    let large = |capacity| {
        let build = world.shared.begin(capacity).unwrap();
        world.stored.iter().for_each(|&key| build.add(&[hash(key)]));
        assert!(world.shared.publish(&build, KEYS_MIN));
        world.shared.state.lock().is_due()
    };
    assert!(!large(OVERSIZE * KEYS_MIN) && large((OVERSIZE + 1) * KEYS_MIN));
    let wanted = world.shared.wait_until_due(Instant::now()).unwrap().unwrap();
    assert_eq!(wanted, KEYS_MIN);
    assert!(!large(2 * wanted));
    // The smallest never is.
    let shared = SharedFilter::default();
    let build = shared.begin(0).unwrap();
    assert!(shared.publish(&build, 0) && !shared.state.lock().is_due());
}

#[test]
fn what_goes_again_and_again_makes_the_next_one_no_smaller() {
    const KEYS: u64 = 2 * KEYS_MIN;
    let mut world = World::new();
    (0..KEYS).for_each(|key| world.put(key));
    world.build = world.shared.begin(KEYS).map(|build| (build, 0, 0));
    world.scan(u64::MAX);
    let due = |world: &World| world.shared.state.lock().is_due();
    // What never was there.
    for key in 0..KEYS {
        world.shared.additions().unwrap().note_removed(hash(u64::MAX - key));
    }
    assert!(!due(&world), "{:?}", world.shared.status());
    for _ in 0..KEYS + KEYS_MIN {
        world.remove(7);
        world.put(7);
    }
    assert!(due(&world));
    assert_eq!(world.shared.wait_until_due(Instant::now()), Some(Some(KEYS)));
}

#[test]
fn a_thread_without_lookups_lets_go_of_an_old_one() {
    let mut world = World::new();
    world.begin();
    world.scan(u64::MAX);
    world.held.renew();
    let old = Arc::downgrade(world.held.held.as_ref().unwrap());
    world.begin();
    world.scan(u64::MAX);
    assert!(old.upgrade().is_some());
    world.held.renew();
    assert!(old.upgrade().is_none() && world.held.held.is_some());
    world.shared.suspend();
    world.held.renew();
    assert!(world.held.held.is_none());
}

#[test]
fn who_waits_is_woken_when_it_is_due_and_when_it_is_closed() {
    let mut world = World::new();
    world.begin();
    world.scan(u64::MAX);
    let shared = Arc::clone(&world.shared);
    let waiting = thread::spawn(move || {
        let due = shared.wait_until_due(Instant::now());
        let later = shared.wait_until_due(Instant::now() + Duration::from_secs(1_000));
        (due, later)
    });
    (0..KEYS_MIN + 200).for_each(|key| world.put(key));
    thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished());
    world.shared.close();
    let (due, later) = waiting.join().unwrap();
    assert!(due.is_some_and(|present| present.is_some()) && later.is_none());
    assert!(world.shared.begin(0).is_none());
}

/// One writer, who stores a key, adds it and acknowledges it; one who builds all the time, and at times begins anew; and
/// readers, who ask for what was acknowledged. In the end a filter of all keys is built.
#[test]
fn what_was_acknowledged_is_never_ruled_out_by_any_thread() {
    let shared = Arc::<SharedFilter>::default();
    let stored = StdMutex::new(HashSet::new());
    let acknowledged = AtomicU64::new(0);
    let (done, is_built) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let (shared, stored, acknowledged) = (&shared, &stored, &acknowledged);
        let (done, is_built) = (&done, &is_built);
        let builder = scope.spawn(move || {
            for turn in 0_u64.. {
                let is_last = done.load(Acquire);
                let build = shared.begin(if is_last { acknowledged.load(Acquire) } else { 0 }).unwrap();
                let keys: Vec<u64> = stored.lock().unwrap().iter().copied().collect();
                let hashes: Vec<u64> = keys.iter().map(|&key| hash(key)).collect();
                build.add(&hashes);
                if turn % 8 == 7 && !is_last {
                    shared.suspend();
                    shared.resume();
                }
                let is_published = shared.publish(&build, keys.len() as u64);
                if is_last {
                    assert!(is_published);
                    break;
                }
            }
        });
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                scope.spawn(move || {
                    let mut held = HeldFilter::new(Arc::clone(shared));
                    for turn in reader.. {
                        if is_built.load(Acquire) {
                            break;
                        }
                        let newest = acknowledged.load(Acquire);
                        if newest > 0 {
                            assert!(!held.rules_out(hash(newest - 1)) && !held.rules_out(hash(turn % newest)));
                        }
                    }
                    assert!((0..acknowledged.load(Acquire)).all(|key| !held.rules_out(hash(key))));
                    (0..1_000_u64).filter(|key| held.rules_out(hash(u64::MAX - key))).count()
                })
            })
            .collect();
        let start = Instant::now();
        for key in 0_u64.. {
            if start.elapsed() > Duration::from_millis(700) || key == 50_000 {
                break;
            }
            stored.lock().unwrap().insert(key);
            shared.additions().iter_mut().for_each(|additions| additions.add(hash(key)));
            acknowledged.store(key + 1, Release);
        }
        done.store(true, Release);
        builder.join().unwrap();
        is_built.store(true, Release);
        for reader in readers {
            let answered = reader.join().unwrap();
            assert!(answered >= 980, "{answered} of 1,000");
        }
    });
}
