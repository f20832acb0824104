//! The protocol under test (I5): no reader, on any worker, gets a version older than what was acknowledged before
//! it asked.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{CachedLink, LocalCache, SharedCache, sync::AtomicU64};

/// A store, both caches, and what has been acknowledged. The id of a link is its version.
struct World {
    keys: Vec<Key>,
    shared: SharedCache,
}

struct Key {
    name: Vec<u8>,
    hash: u64,
    stored: AtomicU64,
    acknowledged: AtomicU64,
}

impl World {
    fn new(keys: u64, hash: impl Fn(u64) -> u64) -> Self {
        let key = |number| Key {
            name: format!("a.example/{number}").into_bytes(),
            hash: hash(number),
            stored: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        };
        Self { keys: (0..keys).map(key).collect(), shared: SharedCache::new(1 << 20) }
    }

    fn link(&self, key: usize, version: u64) -> CachedLink {
        CachedLink::present(&self.keys[key].name, version, 301, b"https://t.example/", false)
    }

    /// What the writer does. `forget` takes the entry out instead of replacing it.
    fn write(&self, key: usize, version: u64, forget: bool) {
        let k = &self.keys[key];
        // Relaxed: it is the stamp that must make the store's state visible.
        k.stored.store(version, Relaxed);
        self.shared.replace(k.hash, &k.name, (!forget).then(|| self.link(key, version)));
        k.acknowledged.store(version, Release);
    }

    /// What a worker does for a request; returns the version it answers with. `pause` runs between the read of the
    /// store and what is done with it.
    fn read(&self, local: &mut LocalCache, key: usize, pause: impl Fn()) -> u64 {
        let k = &self.keys[key];
        let version = |link: &CachedLink| {
            assert_eq!(link.key(), k.name);
            link.link().expect("only present links are cached here").id
        };
        if let Some(link) = local.get(&self.shared, k.hash, &k.name) {
            return version(link);
        }
        let stamp = self.shared.stamp(k.hash);
        if let Some(link) = self.shared.get(k.hash, &k.name) {
            local.insert(k.hash, stamp, link.clone());
            return version(&link);
        }
        let stored = k.stored.load(Relaxed);
        pause();
        // Here another request comes that would join this flight.
        let acknowledged = k.acknowledged.load(Acquire);
        if self.shared.is_current(k.hash, stamp) {
            assert!(stored >= acknowledged, "joined a flight that read {stored} after {acknowledged} was acknowledged");
        }
        let link = self.link(key, stored);
        self.shared.fill(k.hash, stamp, link.clone());
        local.insert(k.hash, stamp, link);
        stored
    }

    fn read_and_check(&self, local: &mut LocalCache, key: usize, pause: impl Fn()) {
        let acknowledged = self.keys[key].acknowledged.load(Acquire);
        let version = self.read(local, key, pause);
        assert!(version >= acknowledged, "read {version} after {acknowledged} was acknowledged");
    }
}

#[cfg(not(feature = "shuttle"))]
mod threads {
    use std::{
        sync::atomic::{AtomicBool, AtomicU64 as Counter},
        thread,
        time::{Duration, Instant},
    };

    use proptest::prelude::*;

    use super::*;

    /// Real threads, a second and a half: one writer, four workers.
    #[test]
    fn no_worker_reads_what_a_change_has_replaced() {
        // Two keys a hash, so that they share stamps and sets.
        let world = World::new(8, |number| (number / 2) * ((1 << 32) + 1));
        let done = AtomicBool::new(false);
        let reads = Counter::new(0);
        thread::scope(|scope| {
            for worker in 0..4_usize {
                let (world, done, reads) = (&world, &done, &reads);
                scope.spawn(move || {
                    let mut local = LocalCache::new(8);
                    for turn in 0_usize.. {
                        if done.load(Relaxed) {
                            reads.fetch_add(turn as u64, Relaxed);
                            break;
                        }
                        world.read_and_check(&mut local, (turn + worker) % 8, thread::yield_now);
                    }
                });
            }
            let start = Instant::now();
            let mut version = 0;
            while start.elapsed() < Duration::from_millis(1500) {
                version += 1;
                world.write(version as usize % 8, version, version / 8 % 2 == 0);
                if version % 16 == 0 {
                    thread::yield_now();
                }
            }
            done.store(true, Relaxed);
        });
        assert!(reads.load(Relaxed) > 1000);
    }

    proptest! {
        /// One step after the other, any order of them: every worker reads the last version, exactly.
        #[test]
        fn workers_agree_with_the_store(steps in prop::collection::vec((0_usize..6, 0_usize..4), 0..200)) {
            let world = World::new(6, |number| number % 2);
            let mut workers = [LocalCache::new(8), LocalCache::new(8)];
            for (version, (key, step)) in steps.into_iter().enumerate() {
                match step {
                    0 | 1 => {
                        let local = &mut workers[step];
                        prop_assert_eq!(world.read(local, key, || ()), world.keys[key].stored.load(Relaxed));
                    }
                    _ => world.write(key, version as u64, step == 2),
                }
            }
        }
    }
}

/// Thousands of schedules of one writer and two workers. The checker explores the order of the steps, not weaker
/// orders of memory; those are argued in [`super`].
#[cfg(feature = "shuttle")]
mod schedules {
    use shuttle::{sync::Arc, thread};

    use super::*;

    fn one_writer_two_workers() {
        let world = Arc::new(World::new(2, |_| 0));
        let worker = |number| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut local = LocalCache::new(8);
                for key in [0, number, 0] {
                    world.read_and_check(&mut local, key, || ());
                }
                local
            })
        };
        let workers = [worker(0), worker(1)];
        for (version, key) in [(1, 1), (2, 0), (3, 0)] {
            world.write(key, version, version == 2);
        }
        for worker in workers {
            // What is in its cache now stays there: nothing moves the stamps any more.
            let mut local = worker.join().expect("a worker found what should not be");
            for key in 0..2 {
                world.read_and_check(&mut local, key, || ());
            }
        }
    }

    #[test]
    fn random_schedules_keep_the_protocol() {
        shuttle::check_random(one_writer_two_workers, 8000);
    }

    #[test]
    fn schedules_of_few_preemptions_keep_the_protocol() {
        shuttle::check_pct(one_writer_two_workers, 8000, 3);
    }
}
