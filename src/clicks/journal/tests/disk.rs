//! Whatever the disk does: what was made durable is there, each entry once, and in order.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use fastrand::Rng;

use super::super::{Journal, JournalConfig, JournalReader};
use super::{DIR, id};
use crate::clicks::backlog::Bounds;
use crate::clicks::batch::{Batch, Entry, LinkCount, WindowId};
use crate::log::disk::Disk;
use crate::log::disk::simulated::SimulatedDisk;

/// Clicks are told apart by their link: each is clicked once, in the order of the numbers.
struct World {
    rng: Rng,
    disk: SimulatedDisk,
    next_link: u64,
    /// What a sync that succeeded was about.
    promised: BTreeSet<u64>,
    /// Put, and no sync about it has succeeded, in this run of the process and in earlier ones.
    put: BTreeSet<u64>,
    unsure: BTreeSet<u64>,
    consumer: Consumer,
    seen: Seen,
}

/// What was met, so that the test can say that it met it.
#[derive(Debug, Default)]
struct Seen {
    crashes: u64,
    failures: u64,
    merged: u64,
    /// Clicks that no sync was promised for, and that were there after a crash.
    lucky: u64,
    lost: u64,
    files_removed: u64,
}

/// Takes entries into memory, and flushes.
#[derive(Debug, Clone, Default)]
struct Consumer {
    applied: State,
    flushed: State,
}

#[derive(Debug, Clone, Default)]
struct State {
    position: WindowId,
    links: BTreeSet<u64>,
    /// What came last, to see that it is in order.
    last_link: u64,
}

impl Consumer {
    fn apply(&mut self, entry: &Entry) {
        assert!(entry.id() > self.applied.position, "{:?} behind {:?}", entry.id(), self.applied.position);
        self.applied.position = entry.id();
        let Entry::Window(window) = entry else { return };
        for count in &window.batch.counts {
            assert_eq!(count.counts, [1, 0, 0, 0]);
            assert!(self.applied.links.insert(count.link), "link {} is there twice", count.link);
            assert!(count.link > self.applied.last_link, "{} behind {}", count.link, self.applied.last_link);
            self.applied.last_link = count.link;
        }
    }
}

fn config() -> JournalConfig {
    // So little that it is added up in many of the runs.
    let waiting = Bounds { batches: 8, counts: 40, counts_max: 1_000_000, name_bytes: 0, details: 0, visits: 0 };
    JournalConfig { segment_bytes: 1_500, entry_bytes: 300, waiting, ..JournalConfig::new(PathBuf::from(DIR)) }
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        let mut rng = Rng::with_seed(seed);
        disk.short_io(rng.bool());
        World {
            rng,
            disk,
            next_link: 1,
            promised: BTreeSet::new(),
            put: BTreeSet::new(),
            unsure: BTreeSet::new(),
            consumer: Consumer::default(),
            seen: Seen::default(),
        }
    }

    /// Opens the journal, however often that fails; then all that was promised can be read.
    fn open(&mut self) -> (Journal, JournalReader) {
        for _ in 0..3 {
            self.consumer.applied = self.consumer.flushed.clone();
            match self.rng.u8(0..8) {
                0 => self.disk.fail_read_in(self.rng.u64(1..6)),
                1 => self.disk.crash_in(self.rng.u64(1..12)),
                _ => {}
            }
            if let Some(opened) = self.try_open() {
                return opened;
            }
            self.fall();
        }
        self.consumer.applied = self.consumer.flushed.clone();
        self.try_open().expect("there is no fault")
    }

    fn try_open(&mut self) -> Option<(Journal, JournalReader)> {
        let position = self.consumer.flushed.position;
        let journal = Journal::open(Arc::new(self.disk.clone()), config(), position);
        let journal = journal.inspect_err(|error| assert!(!error.to_string().contains("damaged"), "{error}")).ok()?;
        let mut reader = JournalReader::new(&journal, position);
        while let Some(entry) = self.next(&mut reader)? {
            self.consumer.apply(&entry);
        }
        self.unsure.append(&mut self.put);
        let links = &self.consumer.applied.links;
        assert!(links.is_superset(&self.promised), "{:?} is lost", self.promised.difference(links));
        let unsure: BTreeSet<u64> = links.difference(&self.promised).copied().collect();
        assert!(unsure.is_subset(&self.unsure), "{:?} never was put", unsure.difference(&self.unsure));
        self.seen.lucky += unsure.len() as u64;
        self.seen.lost += (self.unsure.len() - unsure.len()) as u64;
        self.unsure = unsure;
        Some((journal, reader))
    }

    /// None: it failed.
    fn next(&mut self, reader: &mut JournalReader) -> Option<Option<Entry>> {
        let next = reader.next();
        next.inspect_err(|error| assert!(!error.to_string().contains("damaged"), "{error}")).ok()
    }

    fn fall(&mut self) {
        self.seen.crashes += 1;
        if self.rng.bool() { self.disk.crash() } else { self.disk.crash_keeping_everything() }
    }

    fn put(&mut self, journal: &mut Journal) {
        let counts = (0..self.rng.u64(1..12)).map(|_| {
            let link = self.next_link;
            self.next_link += 1;
            self.put.insert(link);
            LinkCount { link, counts: [1, 0, 0, 0] }
        });
        let counts = counts.collect();
        journal.put(Batch { time_s: self.next_link * 7, counts, ..Batch::default() });
    }

    fn sync(&mut self, journal: &mut Journal) {
        match journal.sync() {
            Ok(()) => self.promised.append(&mut self.put),
            Err(_) => self.seen.failures += 1,
        }
        self.seen.merged += journal.take_squeezed().merged;
    }

    fn read(&mut self, reader: &mut JournalReader) {
        for _ in 0..self.rng.u64(0..20) {
            let Some(Some(entry)) = self.next(reader) else { return };
            self.consumer.apply(&entry);
        }
    }

    /// What is flushed does not need the journal any more.
    fn flush(&mut self, reader: &JournalReader) {
        self.consumer.flushed = self.consumer.applied.clone();
        let flushed = &self.consumer.flushed.links;
        self.promised.extend(flushed);
        self.unsure.retain(|link| !flushed.contains(link));
        self.put.retain(|link| !flushed.contains(link));
        let files = self.disk.files().len();
        let _ = reader.remove_before(self.consumer.flushed.position);
        self.seen.files_removed += (files - self.disk.files().len()) as u64;
    }

    fn run(mut self, steps: u64) -> Seen {
        let (mut journal, mut reader) = self.open();
        for _ in 0..steps {
            match self.rng.u8(0..40) {
                0 => self.disk.fail_sync_in(self.rng.u64(1..4)),
                1 => self.disk.fill_sync_in(self.rng.u64(1..4)),
                2 => self.disk.fail_write_in(self.rng.u64(1..6)),
                3 => self.disk.fill_in(self.rng.u64(1..4)),
                4 => self.disk.crash_in(self.rng.u64(1..10)),
                5 => {
                    let dir = std::path::Path::new("/");
                    self.disk.set_capacity(Some(1 << 20));
                    let used = (1 << 20) - self.disk.free_bytes(dir).unwrap_or(1 << 20);
                    self.disk.set_capacity(Some(used + self.rng.u64(0..2_000)));
                }
                6 | 7 => self.disk.set_capacity(None),
                8 => self.disk.fail_read_in(self.rng.u64(1..4)),
                9..=20 => self.put(&mut journal),
                21..=30 => self.sync(&mut journal),
                31..=35 => self.read(&mut reader),
                36 | 37 => self.flush(&reader),
                _ => {}
            }
            if self.disk.is_down() || self.rng.u8(0..60) == 0 {
                self.fall();
                (journal, reader) = self.open();
            }
        }
        // At last, all of it.
        self.disk.set_capacity(None);
        drop((journal, reader));
        self.fall();
        self.consumer.applied = self.consumer.flushed.clone();
        let (mut journal, mut reader) = self.try_open().expect("there is no fault");
        self.put(&mut journal);
        self.sync(&mut journal);
        while let Some(entry) = reader.next().unwrap() {
            self.consumer.apply(&entry);
        }
        let mut expected = self.promised;
        expected.append(&mut self.unsure);
        assert_eq!(self.consumer.applied.links, expected);
        assert!(self.consumer.applied.position > id(1, 0));
        self.seen
    }
}

#[test]
fn whatever_the_disk_does_what_was_synced_is_there_once_and_in_order() {
    let mut seen = Seen::default();
    for seed in 0..2_000 {
        let run = World::new(seed).run(150);
        seen.crashes += run.crashes;
        seen.failures += run.failures;
        seen.merged += run.merged;
        seen.lucky += run.lucky;
        seen.lost += run.lost;
        seen.files_removed += run.files_removed;
    }
    println!("{seen:?}");
    let Seen { crashes, failures, merged, lucky, lost, files_removed } = seen;
    assert!(crashes > 8_000 && failures > 4_000 && merged > 1_000, "{seen:?}");
    assert!(lucky > 1_000 && lost > 10_000 && files_removed > 1_000, "{seen:?}");
}
