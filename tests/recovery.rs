//! The promise, end to end: a process that makes changes is killed, again and again, and no change that it
//! acknowledged is lost.
//!
//! This binary starts itself as that process. It tells what it is about to change and what was acknowledged on its
//! standard output, which outlives it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use carom::engine::{Engine, EngineConfig, OwnedEngine};
use carom::link::{Action, Command, Destination, LinkKey, Precondition, Status, Target};
use carom::log::OperationId;

const THREADS: usize = 4;
const ROUNDS: usize = 5;
const DIRECTORY: &str = "CAROM_RECOVERY_DIRECTORY";
const NEXT: &str = "CAROM_RECOVERY_NEXT";

/// Keys of one thread; no other thread changes them.
const KEYS: u64 = 60;

fn open(data: &Path) -> OwnedEngine {
    let config = EngineConfig { data: data.to_owned(), cache_bytes: 1 << 20, store_cache_bytes: 8 << 20 };
    OwnedEngine::open(&config).unwrap().0
}

fn key(thread: usize, index: u64) -> LinkKey {
    let query = if index.is_multiple_of(3) { "?q" } else { "" };
    LinkKey::parse(&format!("/{thread}/{}{query}", index / 2)).unwrap()
}

fn put(number: u64) -> Action {
    let target = Target::parse(&format!("https://to.example/{number}")).unwrap();
    Action::Put(Destination::new(Status::Found, Some(target)).unwrap())
}

/// The changes that a thread makes as its change `number`. All or none of them must be found.
fn change(thread: usize, number: u64) -> Vec<(LinkKey, Action)> {
    // A whole set, a large batch, or a few commands.
    let count = match number % 16 {
        7 => 1_300,
        15 => 150,
        _ => 3,
    };
    let mut commands: Vec<_> = (0..count).map(|more| (key(thread, (number + more) % KEYS), put(number))).collect();
    commands.push((key(thread, number * 7 % KEYS), Action::Delete));
    commands
}

fn make(engine: &Engine, thread: usize, number: u64) {
    let commands = change(thread, number);
    if commands.len() > carom::limits::BATCH_COMMANDS {
        let mut set = engine.begin_set().unwrap();
        commands.into_iter().for_each(|(key, action)| set.add(key, action).unwrap());
        set.commit().unwrap();
    } else {
        let command = |(key, action)| Command { key, action, precondition: Precondition::None };
        engine.submit(OperationId::random(), commands.into_iter().map(command).collect()).unwrap();
    }
}

/// Not a test, but the process that is killed, when this binary starts itself.
#[test]
fn the_process_that_is_killed() {
    let Some(data) = std::env::var_os(DIRECTORY) else { return };
    let next = std::env::var(NEXT).unwrap();
    let owned = open(Path::new(&data));
    std::thread::scope(|scope| {
        for (thread, next) in next.split(',').enumerate() {
            let (next, engine): (u64, _) = (next.parse().unwrap(), owned.engine());
            scope.spawn(move || {
                for number in next.. {
                    tell("change", thread, number);
                    make(engine, thread, number);
                    tell("acknowledged", thread, number);
                }
            });
        }
    });
}

fn tell(what: &str, thread: usize, number: u64) {
    let line = format!("\n{what} {thread} {number}\n");
    // One call, so that no line is mixed with another.
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

/// What a thread has begun and what was acknowledged: all up to these numbers.
#[derive(Clone, Copy, Default)]
struct Told {
    begun: u64,
    acknowledged: u64,
}

/// Starts the process, kills it after a time from its first acknowledgement, and reads what it told.
fn run_and_kill(data: &Path, told: &mut [Told; THREADS], after: Duration) {
    let next: Vec<String> = told.iter().map(|told| (told.acknowledged + 1).to_string()).collect();
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, data)
        .env(NEXT, next.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut kill_at = None;
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        // The last line may be cut: it told nothing.
        let words: Vec<&str> = line.strip_suffix('\n').unwrap_or_default().split(' ').collect();
        if let &[what @ ("change" | "acknowledged"), thread, number] = &words[..] {
            let told = &mut told[thread.parse::<usize>().unwrap()];
            let number = number.parse().unwrap();
            if what == "change" {
                told.begun = number;
            } else {
                told.acknowledged = number;
                kill_at.get_or_insert(Instant::now() + after);
            }
        }
        if kill_at.is_some_and(|at| Instant::now() >= at) {
            // SIGKILL. What it had told by then is still read.
            child.kill().unwrap();
        }
        line.clear();
    }
    assert!(!child.wait().unwrap().success());
    assert!(kill_at.is_some(), "the process ended before it had made a change");
}

/// The links of a thread after all changes up to a number.
#[derive(Clone, Default, PartialEq, Debug)]
struct Links(BTreeMap<String, String>);

impl Links {
    fn apply(&mut self, thread: usize, number: u64) {
        for (key, action) in change(thread, number) {
            match action {
                Action::Put(to) => self.0.insert(key.as_str().to_owned(), to.to_string()),
                Action::Delete => self.0.remove(key.as_str()),
            };
        }
    }

    fn found(engine: &Engine, thread: usize) -> Self {
        let mut links = Links::default();
        for key in (0..KEYS).map(|index| key(thread, index)) {
            if let Some(link) = engine.stored_entry(key.as_str()).unwrap().link {
                links.0.insert(key.as_str().to_owned(), link.destination.to_string());
            }
        }
        links
    }
}

#[test]
fn no_acknowledged_change_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = [Told::default(); THREADS];
    let mut expected: [Links; THREADS] = Default::default();
    let mut applied = [0; THREADS];
    for round in 0..ROUNDS {
        // At another moment each time, and each run; the rest is up to the machine.
        let random = u64::from(uuid::Uuid::new_v4().as_fields().0);
        let after = Duration::from_millis(random % 500);
        run_and_kill(dir.path(), &mut told, after);
        if round == 2 {
            std::fs::remove_dir_all(dir.path().join("store")).unwrap();
        }
        let owned = open(dir.path());
        for thread in 0..THREADS {
            let Told { begun, acknowledged } = told[thread];
            assert!(begun <= acknowledged + 1);
            while applied[thread] < acknowledged {
                applied[thread] += 1;
                expected[thread].apply(thread, applied[thread]);
            }
            let found = Links::found(owned.engine(), thread);
            if found != expected[thread] {
                // Of the change in flight all is there, or nothing.
                assert_eq!(begun, acknowledged + 1, "thread {thread}, round {round}, killed after {after:?}");
                expected[thread].apply(thread, begun);
                applied[thread] = begun;
                assert_eq!(found, expected[thread], "thread {thread}, round {round}, killed after {after:?}");
            }
            // It goes on behind what was found.
            told[thread] = Told { begun: applied[thread], acknowledged: applied[thread] };
        }
        owned.close().unwrap();
    }
    assert!(applied.iter().sum::<u64>() > 20, "{applied:?}");
}
