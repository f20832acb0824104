//! The promise, end to end: a process that makes changes is killed, again and again, while it works and while it
//! starts, and no change that it acknowledged is lost.
//!
//! `killed.rs` has the writers in a process of this binary, since carom itself takes changes only from imports;
//! `binary.rs` kills carom while it starts.
//!
//! `CAROM_KILL_ROUNDS=300 cargo test --test recovery` takes its time.

mod binary;
mod changes;
mod killed;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use carom::engine::{EngineConfig, OwnedEngine};
use carom::store::StoreKind;

use changes::Links;
use killed::Told;

/// Writer threads of the process that is killed.
const THREADS: usize = 16;

/// Kills, unless told otherwise.
const ROUNDS: usize = 30;

/// Kills in all, over both stores.
fn rounds() -> usize {
    std::env::var("CAROM_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("CAROM_KILL_ROUNDS is a number"))
}

fn open(store: StoreKind, data: &Path) -> OwnedEngine {
    let config = EngineConfig {
        cache_bytes: 1 << 20,
        store: Some(store),
        // Some snapshot is being taken at most moments.
        snapshot_log_bytes: 256 << 10,
        snapshots_kept: 2,
        ..EngineConfig::new(data.to_owned())
    };
    let (owned, recovery) = OwnedEngine::open(&config).expect("a start after a kill");
    assert!(recovery.set_aside.is_none(), "{recovery:?}");
    assert!(recovery.unreadable.is_empty(), "{recovery:?}");
    owned
}

/// At another moment each time, and each run; the rest is up to the machine.
fn random_below(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

#[test]
fn no_acknowledged_change_is_lost_when_a_process_on_sled_is_killed() {
    kill_again_and_again(StoreKind::Sled, rounds().div_ceil(2));
}

#[test]
fn no_acknowledged_change_is_lost_when_a_process_on_fjall_is_killed() {
    kill_again_and_again(StoreKind::Fjall, rounds() / 2);
}

fn kill_again_and_again(store: StoreKind, rounds: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut story = Story::new(store, dir.path());
    let begun = Instant::now();
    for round in 0..rounds {
        story.serve_and_kill(&format!("{store}, round {round}"));
        match round % 5 {
            0 | 2 => {}
            1 => story.start_and_kill(1),
            3 => {
                story.delete_store();
                story.start_and_kill(2);
            }
            _ => story.delete_store(),
        }
        story.check();
    }
    let Story { applied, starts_cut, outcomes_asked, .. } = &story;
    assert!(applied.iter().sum::<u64>() > 20, "{applied:?}");
    eprintln!(
        "{store}: {rounds} rounds in {:.1?}, {} changes, {starts_cut} starts cut short, {outcomes_asked} outcomes asked \
         for again, the log begins with {:?}",
        begun.elapsed(),
        applied.iter().sum::<u64>(),
        first_segment(dir.path()),
    );
}

fn first_segment(data: &Path) -> Option<std::ffi::OsString> {
    std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().file_name()).min()
}

/// One data directory, and all that must be in it.
struct Story<'a> {
    store: StoreKind,
    data: &'a Path,
    /// What goes on, for messages.
    round: String,
    told: Vec<Told>,
    /// Up to which change of each thread is known to be there.
    applied: [u64; THREADS],
    expected: Vec<Links>,
    /// Some acknowledged outcomes of earlier rounds: thread, number, outcome.
    earlier: Vec<(usize, u64, String)>,
    /// About how long a start takes.
    start: Duration,
    starts_cut: u32,
    outcomes_asked: u64,
}

impl<'a> Story<'a> {
    fn new(store: StoreKind, data: &'a Path) -> Self {
        Story {
            store,
            data,
            round: String::new(),
            told: Vec::new(),
            applied: [0; THREADS],
            expected: vec![Links::default(); THREADS],
            earlier: Vec::new(),
            start: Duration::from_millis(100),
            starts_cut: 0,
            outcomes_asked: 0,
        }
    }

    fn serve_and_kill(&mut self, round: &str) {
        let after = random_below(Duration::from_millis(400));
        self.round = format!("{round}, killed {after:?} after its first change");
        self.told = killed::serve_and_kill(self.store, self.data, &self.applied, after);
    }

    /// Kills starts, one after the other, at random moments.
    fn start_and_kill(&mut self, times: usize) {
        for _ in 0..times {
            let after = random_below(self.start);
            self.round += &format!(", then {after:?} after its start");
            match killed::start_and_kill(self.store, self.data, after) {
                Some(took) => self.start = took,
                None => {
                    self.starts_cut += 1;
                    // It was too short to see how long it takes, or just right.
                    self.start = self.start.mul_f64(1.1).min(Duration::from_secs(5));
                }
            }
        }
    }

    fn delete_store(&mut self) {
        self.round += ", store deleted";
        std::fs::remove_dir_all(self.data.join("store")).unwrap();
    }

    /// Starts, and looks whether all is there that must be, and nothing that must not.
    fn check(&mut self) {
        let owned = open(self.store, self.data);
        for thread in 0..THREADS {
            let Told { begun, acknowledged, .. } = self.told[thread];
            assert!(begun <= acknowledged + 1);
            let expected = &mut self.expected[thread];
            (self.applied[thread] + 1..=acknowledged).for_each(|number| expected.apply(thread, number));
            self.applied[thread] = acknowledged;
            let found = Links::found(owned.engine(), thread);
            if found != *expected && begun > acknowledged {
                // Of the change in flight all is there, or nothing.
                expected.apply(thread, begun);
                self.applied[thread] = begun;
            }
            expected.assert_are(&found, &format!("{}, thread {thread}", self.round));
        }
        self.ask_again(&owned);
        for (thread, expected) in self.expected.iter().enumerate() {
            let found = Links::found(owned.engine(), thread);
            expected.assert_are(&found, &format!("{}, thread {thread}, asked again", self.round));
        }
        owned.close().unwrap();
    }

    /// Sends acknowledged operations again: the answer is the first one, and nothing changes by it.
    fn ask_again(&mut self, owned: &OwnedEngine) {
        let mut ask = self.earlier.clone();
        for (thread, told) in self.told.iter().enumerate() {
            let last = told.outcomes.iter().rev().take(10);
            ask.extend(last.map(|(number, outcome)| (thread, *number, outcome.clone())));
        }
        for (thread, number, outcome) in &ask {
            let again = changes::make(owned.engine(), *thread, *number);
            assert_eq!(again, *outcome, "{}, thread {thread}, change {number}", self.round);
        }
        self.outcomes_asked += ask.len() as u64;
        fastrand::shuffle(&mut ask);
        ask.truncate(50);
        self.earlier = ask;
    }
}
