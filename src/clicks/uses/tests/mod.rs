//! Counting and keeping. `disk`: what a disk may do to it. `saver`: the thread. `document`: the example in
//! docs/format.md.

mod disk;
mod document;
mod saver;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Uses;
use super::file::BYTES_MIN;
use super::record::COUNT_MAX;
use crate::log::disk::simulated::SimulatedDisk;
use crate::log::disk::{Disk, RealDisk};

/// The data directory of all tests here.
fn dir() -> PathBuf {
    PathBuf::from("/")
}

/// The file.
fn path() -> &'static Path {
    Path::new("/uses")
}

fn open(disk: &SimulatedDisk) -> Uses {
    Uses::open(Arc::new(disk.clone()), dir()).expect("it opens")
}

fn take_many(uses: &Uses, id: u64, clicks: u64) {
    assert!((0..clicks).all(|_| uses.take(id, u64::MAX)));
}

#[test]
fn a_link_is_used_as_often_as_its_limit_says() {
    let uses = open(&SimulatedDisk::new(0));
    let taken: Vec<bool> = (0..5).map(|_| uses.take(1024, 3)).collect();
    assert_eq!(taken, [true, true, true, false, false]);
    assert_eq!((uses.used(1024), uses.used(2048)), (3, 0));
    assert!(!uses.take(1024, 2), "lowered, it is used up");
    assert!(uses.take(1024, 4) && !uses.take(1024, 4), "raised, the rest is to be had");
    assert!(!uses.take(2048, 0));
    assert_eq!((uses.links(), uses.used(2048)), (1, 0));
}

#[test]
fn the_largest_limit_is_one_too() {
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    uses.counts.set(super::record::Saved { id: 1, count: Some(COUNT_MAX - 1) });
    assert!(uses.take(1, u64::MAX) && !uses.take(1, u64::MAX));
    uses.save().unwrap();
    assert_eq!(open(&disk).used(1), COUNT_MAX);
}

#[test]
fn many_threads_take_exactly_what_there_is() {
    const THREADS: u64 = 8;
    const LINKS: u64 = 500;
    const MAX: u64 = 40;
    let disk = SimulatedDisk::new(0);
    let mut taken = 0;
    // In three runs, so that the limit is reached in the third.
    for run in 1..=3 {
        let uses = open(&disk);
        let (in_run, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let takers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (uses, in_run) = (&uses, &in_run);
                    scope.spawn(move || {
                        // One link for all, and many that each meets at another time.
                        for round in 0..MAX * LINKS / THREADS / 2 {
                            let yes = u64::from(uses.take(0, MAX))
                                + u64::from(uses.take(1 + (round * 7 + thread) % LINKS, MAX));
                            in_run.fetch_add(yes, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    uses.save().unwrap();
                }
            });
            takers.into_iter().for_each(|taker| taker.join().unwrap());
            is_over.store(true, Ordering::Relaxed);
        });
        uses.save().unwrap();
        taken += in_run.into_inner();
        let counted: u64 = (0..=LINKS).map(|id| uses.used(id)).sum();
        assert_eq!(taken, counted, "run {run}");
        assert!((0..=LINKS).all(|id| uses.used(id) <= MAX));
        assert_eq!(uses.used(0), MAX);
    }
    assert_eq!(taken, MAX * (LINKS + 1));
}

#[test]
fn a_save_holds_every_click_before_it_though_others_go_on() {
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    take_many(&uses, 7, 1);
                }
            });
        }
        for _ in 0..200 {
            let before = uses.used(7);
            uses.save().unwrap();
            assert!(open(&disk).used(7) >= before);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_is_forgotten_stays_so() {
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    (1..=3).for_each(|id| take_many(&uses, id, id));
    uses.save().unwrap();
    uses.forget(2);
    uses.forget(3);
    uses.forget(99);
    take_many(&uses, 3, 1);
    assert_eq!(uses.links(), 2);
    uses.save().unwrap();
    let uses = open(&disk);
    assert_eq!([1, 2, 3, 99].map(|id| uses.used(id)), [1, 0, 1, 0]);
    assert_eq!(uses.links(), 2);
    uses.forget(1);
    uses.forget(3);
    uses.save().unwrap();
    assert_eq!(open(&disk).links(), 0);
}

#[test]
fn a_save_writes_what_has_changed_and_else_nothing() {
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    uses.save().unwrap();
    assert!(disk.files().is_empty());
    (0..10).for_each(|id| take_many(&uses, id, 5));
    uses.save().unwrap();
    assert_eq!(disk.content(path()).unwrap().len(), 32 + 10 * 32);
    let calls = disk.calls();
    uses.save().unwrap();
    assert_eq!(disk.calls(), calls);
    take_many(&uses, 3, 100);
    assert!(!uses.take(4, 5), "a refused click changes nothing");
    uses.save().unwrap();
    assert_eq!(disk.content(path()).unwrap().len(), 32 + 11 * 32);
}

#[test]
fn more_links_than_are_counted_are_refused() {
    let disk = SimulatedDisk::new(0);
    let open = |links_max| Uses::open_with(Arc::new(disk.clone()), dir(), links_max).unwrap();
    let uses = open(2);
    assert!(uses.take(1, 5) && uses.take(2, 5));
    assert!(!uses.take(3, 5) && !uses.take(3, 5));
    assert!(uses.take(1, 5), "the others go on");
    assert_eq!((uses.links(), uses.refused(), uses.used(3)), (2, 2, 0));
    uses.forget(1);
    assert!(uses.take(3, 5));
    uses.save().unwrap();
    // All that were counted are kept, also where fewer may be.
    let uses = open(1);
    assert_eq!((uses.links(), uses.used(2), uses.used(3)), (2, 1, 1));
    assert!(uses.take(2, 5) && !uses.take(4, 5));
}

#[test]
fn a_file_that_has_grown_is_written_anew_with_all_that_is_in_it() {
    const LINKS: u64 = 1_000;
    let disk = SimulatedDisk::new(0);
    let mut uses = open(&disk);
    let (mut bytes_before, mut times) = (0, 0);
    for round in 1..=160 {
        (0..LINKS).for_each(|id| take_many(&uses, id, 1));
        (LINKS..LINKS + round).for_each(|id| take_many(&uses, id, 1));
        uses.forget(LINKS + round / 2);
        uses.save().unwrap();
        let bytes = disk.content(path()).unwrap().len() as u64;
        assert!(bytes <= BYTES_MIN);
        times += u32::from(bytes < bytes_before);
        bytes_before = bytes;
        if round % 50 == 0 {
            let links = uses.links();
            uses = open(&disk);
            assert_eq!(uses.links(), links);
            assert!((0..LINKS).all(|id| uses.used(id) == round));
        }
    }
    assert!(times >= 4, "written anew {times} times");
    assert_eq!(disk.files(), [path()]);
}

#[test]
fn many_links_are_saved_in_pieces() {
    const LINKS: u64 = 150_000;
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    for round in 1..=2 {
        (0..LINKS).for_each(|id| take_many(&uses, id, 1));
        uses.save().unwrap();
        let reopened = open(&disk);
        assert_eq!(reopened.links(), LINKS as usize);
        assert!((0..LINKS).all(|id| reopened.used(id) == round));
    }
    assert_eq!(disk.content(path()).unwrap().len() as u64, 32 + 2 * LINKS * 32);
    disk.crash();
    let reopened = open(&disk);
    assert!((0..LINKS).all(|id| reopened.used(id) == 2));
}

#[test]
fn on_a_real_disk_it_is_kept_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    for run in 1..=3 {
        let uses = Uses::open(Arc::clone(&disk), dir.path().to_owned()).unwrap();
        for save in 1..=3 {
            assert!(uses.take(5, 100));
            uses.save().unwrap();
            assert_eq!(uses.used(5), 3 * (run - 1) + save);
        }
    }
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["uses"]);
}
