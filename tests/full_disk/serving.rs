//! Engine and server in one process, on a disk that gets full under them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use carom::config::{DriverChoice, ServeConfig};
use carom::data_plane;
use carom::engine::{Engine, EngineConfig, Health, OwnedEngine, SubmitError};
use carom::link::{Action, Command, Destination, LinkKey, Precondition, Status, Target};
use carom::log::OperationId;
use carom::store::StoreKind;

use super::room::{Filler, free_bytes};
use super::support::Client;

/// Links that were there before.
const BASE: u64 = 60_000;

/// Those of them that are asked for again and again; each of the others is asked for once.
const HOT: u64 = 100;

const WRITERS: usize = 4;

/// Keys of one writer.
const KEYS: u64 = 3_000;

/// How long the disk stays full.
const FULL: Duration = Duration::from_secs(4);

/// How long the disk has half of the reserve left, before that is gone as well.
const TIDYING: Duration = Duration::from_millis(2_500);

/// How soon changes must be accepted when there is room again. A store that failed is opened again first, and what it
/// had not written out is applied again.
const RESUMED: Duration = Duration::from_secs(20);

fn config(disk: &Path, store: StoreKind, disk_reserve_bytes: u64) -> EngineConfig {
    EngineConfig {
        // Next to nothing: what was not just asked for is read from the store.
        cache_bytes: 64 << 10,
        store: Some(store),
        disk_reserve_bytes,
        snapshot_log_bytes: 2 << 20,
        ..EngineConfig::new(disk.join("data"))
    }
}

fn key(text: &str) -> LinkKey {
    LinkKey::parse(text).unwrap()
}

fn to(path: &str) -> Action {
    let target = Target::parse(&format!("https://to.example{path}")).unwrap();
    Action::Put(Destination::new(Status::Found, Some(target)).unwrap())
}

fn put((key, path): &(String, String)) -> Command {
    Command { key: self::key(key), action: to(path), precondition: Precondition::None }
}

fn begin(config: &EngineConfig) -> OwnedEngine {
    let (owned, _) = OwnedEngine::open(config).unwrap();
    let mut set = owned.engine().begin_set().unwrap();
    (0..BASE).for_each(|index| set.add(key(&format!("/base/{index}")), to(&format!("/base/{index}"))).unwrap());
    set.commit().unwrap();
    // With nothing of it cached.
    owned.close().unwrap();
    OwnedEngine::open(config).unwrap().0
}

/// A request that was not answered as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    index: u64,
    status: u16,
}

/// What all threads of a case share.
struct Scene {
    engine: Arc<Engine>,
    stop: AtomicBool,
    /// How many changes of each writer were acknowledged.
    acknowledged: [AtomicU64; WRITERS],
    refused: AtomicU64,
    unknown: AtomicU64,
    asked: AtomicU64,
}

impl Scene {
    fn new(engine: &Arc<Engine>) -> Self {
        Scene {
            engine: Arc::clone(engine),
            stop: AtomicBool::new(false),
            acknowledged: Default::default(),
            refused: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Makes one change, again with the same name while its outcome is unknown. Whether it was made.
    fn make(&self, links: &[(String, String)], as_set: bool) -> bool {
        let operation = OperationId::random();
        let mut is_unknown = false;
        loop {
            let result = if as_set {
                self.engine.begin_set().and_then(|mut set| {
                    links.iter().try_for_each(|(key, path)| set.add(self::key(key), to(path)))?;
                    set.commit().map(drop)
                })
            } else {
                self.engine.submit(Some(operation), links.iter().map(put).collect()).map(drop)
            };
            match result {
                Ok(()) => return true,
                Err(SubmitError::Paused { reason }) => {
                    let reason_given = reason.to_ascii_lowercase();
                    assert!(reason_given.contains("disk") || reason_given.contains("space"), "{reason}");
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    if !is_unknown {
                        return false;
                    }
                }
                Err(SubmitError::OutcomeUnknown { reason }) => {
                    if !is_unknown {
                        eprintln!("outcome unknown: {reason}");
                    }
                    self.unknown.fetch_add(1, Ordering::Relaxed);
                    is_unknown = true;
                }
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes changes until the end, and gives the links that must be there then.
    fn write(&self, writer: usize) -> BTreeMap<String, String> {
        let mut expected = BTreeMap::new();
        for number in 0.. {
            if !self.goes_on() {
                break;
            }
            let as_set = number % 64 == 63;
            let links: Vec<(String, String)> = (0..if as_set { 1_200 } else { 3 })
                .map(|more| (format!("/w{writer}/{}", (number * 3 + more) % KEYS), format!("/{number}")))
                .collect();
            if self.make(&links, as_set) {
                expected.extend(links);
                self.acknowledged[writer].fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        expected
    }

    /// Asks for links until the end: for some again and again, for the others once. Gives what was not right.
    fn ask(&self, address: SocketAddr) -> (Vec<Failure>, Duration) {
        let mut client = Client::connect(address);
        let (mut failures, mut slowest) = (Vec::new(), Duration::ZERO);
        // When each of the others was asked for, they begin again: most are in no cache any more.
        for cold in (HOT..BASE).cycle() {
            for index in [cold % HOT, cold] {
                let begun = Instant::now();
                let answer = client.get("a", &format!("/base/{index}"));
                slowest = slowest.max(begun.elapsed());
                let location = format!("https://to.example/base/{index}");
                if answer.status != 302 || answer.field("location") != Some(&location) {
                    failures.push(Failure { index, status: answer.status });
                }
                self.asked.fetch_add(1, Ordering::Relaxed);
            }
            if !self.goes_on() {
                return (failures, slowest);
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        unreachable!("a cycle has no end")
    }

    fn made(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Waits until every writer has made a change from now on.
    fn wait_for_changes(&self) -> Duration {
        let (begun, before) = (Instant::now(), self.made());
        while self.made().iter().zip(&before).any(|(now, before)| now <= before) {
            assert!(begun.elapsed() < RESUMED, "no change after {RESUMED:?}: {:?}", self.engine.health());
            std::thread::sleep(Duration::from_millis(1));
        }
        begun.elapsed()
    }
}

fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    engine: &'scope Arc<Engine>,
) -> (SocketAddr, ScopedJoinHandle<'scope, ()>) {
    let config = ServeConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        workers: 1,
        driver: DriverChoice::Auto,
        max_connections: 100,
        idle_timeout: Duration::from_secs(60),
        header_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(10),
        drain_timeout: Duration::from_secs(5),
    };
    let (listening, address) = std::sync::mpsc::channel();
    let thread = scope.spawn(move || {
        data_plane::serve(engine, &config, |address, _| listening.send(address).unwrap()).unwrap();
    });
    (address.recv().unwrap(), thread)
}

/// Asks the server to stop, as an administrator does.
fn stop_serving(server: ScopedJoinHandle<'_, ()>) {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
    server.join().unwrap();
}

fn assert_all_there(engine: &Engine, expected: &[BTreeMap<String, String>]) {
    let stored = |text: &str| engine.stored_entry(key(text).as_str()).unwrap().link;
    for (writer, expected) in expected.iter().enumerate() {
        for index in 0..KEYS {
            let text = format!("/w{writer}/{index}");
            let found = stored(&text).map(|link| link.destination.target().unwrap().as_str().to_owned());
            let wanted = expected.get(&text).map(|path| format!("https://to.example{path}"));
            assert_eq!(found, wanted, "{text}");
        }
    }
    for index in 0..BASE {
        assert!(stored(&format!("/base/{index}")).is_some(), "/base/{index}");
    }
}

/// Whether a link may be out of reach while the disk is full to the last byte. Of a page that sled moved or changed in
/// memory and could not write out any more, it reads nothing, not even what it has in memory. With a reserve most of
/// that is written out in time. Such links get 500 until there is room, unless a cache has them.
fn is_unreadable(store: StoreKind, failure: &Failure) -> bool {
    store == StoreKind::Sled && failure.index >= HOT && failure.status == 500
}

/// The disk gets full while links are changed and asked for, stays so for a while, and has room again.
pub(crate) fn the_disk_gets_full(disk: &Path, store: StoreKind, reserve: u64) {
    let config = config(disk, store, reserve);
    let owned = begin(&config);
    let scene = Scene::new(owned.engine());
    let expected = std::thread::scope(|scope| {
        let (address, server) = serve(scope, owned.engine());
        let scene = &scene;
        let asking = scope.spawn(move || scene.ask(address));
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || scene.write(writer))).collect();
        std::thread::sleep(Duration::from_secs(1));
        scene.wait_for_changes();
        let before = scene.made();
        // The reserve is for what the store still has to write: sled goes on tidying up its files for a while.
        let nearly = (reserve > 0).then(|| {
            let filler = Filler::leave(disk, reserve / 2);
            std::thread::sleep(TIDYING);
            filler
        });
        let filler = Filler::leave_too(disk, "filler.last", 0);
        fill_segment(scene);
        std::thread::sleep(FULL);
        assert!(scene.refused.load(Ordering::Relaxed) > 0, "nothing was refused: {:?}", scene.engine.health());
        assert!(matches!(scene.engine.health(), Health::Paused { .. }), "{:?}", scene.engine.health());
        let (full, asked) = (scene.made(), scene.asked.load(Ordering::Relaxed));
        drop((filler, nearly));
        let resumed = scene.wait_for_changes();
        std::thread::sleep(Duration::from_secs(1));
        scene.wait_for_changes();
        scene.stop.store(true, Ordering::Relaxed);
        let expected: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        let (failures, slowest) = asking.join().unwrap();
        stop_serving(server);
        eprintln!(
            "{store}, reserve {reserve}: made {before:?} before, {full:?} until it had room, {:?} in all; refused {}, \
             unknown {}; resumed after {resumed:?}; asked {asked} until then, {} wrong, slowest {slowest:?}",
            scene.made(),
            scene.refused.load(Ordering::Relaxed),
            scene.unknown.load(Ordering::Relaxed),
            failures.len(),
        );
        let failures: Vec<_> = failures.into_iter().filter(|failure| !is_unreadable(store, failure)).collect();
        assert!(failures.is_empty(), "{} requests failed: {:?}", failures.len(), &failures[..failures.len().min(10)]);
        expected
    });
    assert_all_there(owned.engine(), &expected);
    drop(scene);
    owned.close().unwrap();
    let (owned, recovery) = OwnedEngine::open(&config).unwrap();
    assert!(recovery.set_aside.is_none(), "{recovery:?}");
    assert_all_there(owned.engine(), &expected);
    owned.close().unwrap();
}

/// A record of many bytes, of which only the first command changes anything.
fn long_batch(number: u64) -> Vec<Command> {
    let long = format!("/{}", "x".repeat(2_900));
    let rest = (1..150).map(|index| (format!("/long/{index}"), long.clone()));
    let first = ("/long/0".to_owned(), format!("/{number}"));
    std::iter::once(first).chain(rest).map(|link| put(&link)).collect()
}

/// Takes the room that the log has kept for itself, until something is refused: a store that writes now and then only
/// would not meet the full disk before.
fn fill_segment(scene: &Scene) {
    for number in 0..400 {
        if scene.engine.submit(None, long_batch(number)).is_err() {
            return;
        }
    }
    panic!("the log takes no end of records");
}

/// The store has room and the log has none for its next segment.
pub(crate) fn no_segment_can_be_had(disk: &Path, store: StoreKind) {
    let config = EngineConfig { snapshot_log_bytes: u64::MAX, ..config(disk, store, 0) };
    let owned = begin(&config);
    let scene = Scene::new(owned.engine());
    let last = |engine: &Engine| engine.stored_entry("*/long/0").unwrap().link.unwrap().destination.to_string();
    let made = std::thread::scope(|scope| {
        let (address, server) = serve(scope, owned.engine());
        let scene = &scene;
        let asking = scope.spawn(move || scene.ask(address));
        let filler = Filler::leave(disk, 40 << 20);
        let mut number = 0;
        let reason = loop {
            match owned.engine().submit(None, long_batch(number + 1)) {
                Ok(_) => number += 1,
                Err(SubmitError::Paused { reason }) => break reason,
                Err(error) => panic!("{error}"),
            }
            assert!(number < 1_000, "the log takes no end of records");
        };
        assert!(reason.contains("preallocating") && reason.contains("Free some space"), "{reason}");
        assert!(free_bytes(disk) > 0);
        assert!(last(owned.engine()).ends_with(&format!("/{number}")));
        // A short one may still find room in the open segment.
        let refused = owned.engine().submit(None, long_batch(0));
        assert!(matches!(refused, Err(SubmitError::Paused { .. })), "{refused:?}");
        std::thread::sleep(Duration::from_secs(1));
        drop(filler);
        let begun = Instant::now();
        while owned.engine().submit(None, long_batch(number + 1)).is_err() {
            assert!(begun.elapsed() < RESUMED, "{:?}", owned.engine().health());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(last(owned.engine()).ends_with(&format!("/{}", number + 1)));
        scene.stop.store(true, Ordering::Relaxed);
        let (failures, _) = asking.join().unwrap();
        assert!(failures.is_empty(), "{failures:?}");
        stop_serving(server);
        eprintln!("{store}: paused after {number} long records ({reason}); resumed after {:?}", begun.elapsed());
        number + 1
    });
    drop(scene);
    owned.close().unwrap();
    let (owned, _) = OwnedEngine::open(&config).unwrap();
    assert_all_there(owned.engine(), &[]);
    // What was refused would have made it another one.
    assert!(last(owned.engine()).ends_with(&format!("/{made}")));
    owned.close().unwrap();
}
