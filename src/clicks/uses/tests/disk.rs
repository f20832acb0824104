//! What a disk may do to the file.

use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;

use super::super::{Uses, UsesError};
use super::{dir, open, path, take_many};
use crate::log::disk::simulated::SimulatedDisk;
use crate::log::disk::{Access, Disk, DiskFile};

fn open_error(disk: &SimulatedDisk) -> UsesError {
    Uses::open(Arc::new(disk.clone()), dir()).err().expect("it does not open")
}

fn damage_offset(disk: &SimulatedDisk) -> u64 {
    let error = open_error(disk);
    let text = error.to_string();
    assert!(text.starts_with("/uses is damaged at offset ") && text.contains("move it away"), "{text}");
    let UsesError::Damaged { offset, .. } = error else { panic!("{error}") };
    offset
}

fn file(disk: &SimulatedDisk) -> Box<dyn DiskFile> {
    disk.open(path(), Access::Write).unwrap()
}

/// A new disk with this file.
fn disk_with(content: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    disk.open(path(), Access::Create).unwrap().write_all_at(content, 0).unwrap();
    disk
}

/// Links 1, 2 and 3, used that often; then 1 and 2 once more, then 3 forgotten: 3, 2 and 1 records in three saves.
fn three_saves() -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    (1..=3).for_each(|id| take_many(&uses, id, id));
    uses.save().unwrap();
    (1..=2).for_each(|id| take_many(&uses, id, 1));
    uses.save().unwrap();
    uses.forget(3);
    uses.save().unwrap();
    assert_eq!(disk.content(path()).unwrap().len(), 7 * 32);
    disk
}

#[test]
fn a_tail_that_is_torn_at_any_length_is_passed_over() {
    let whole = three_saves().content(path()).unwrap();
    for bytes in 0..whole.len() {
        for is_zero in [false, true] {
            let mut torn = whole[..bytes].to_vec();
            if is_zero {
                // The length came through, and this much of the content.
                torn.resize(whole.len(), 0);
            }
            let disk = disk_with(&torn);
            let records = bytes.saturating_sub(32) / 32;
            if records < 3 {
                // The file had so many when it got its name.
                damage_offset(&disk);
                continue;
            }
            let uses = open(&disk);
            let (one, two) = (uses.used(1), uses.used(2));
            assert_eq!(one + two, 3 + (records as u64 - 3).min(2), "{bytes} bytes");
            assert_eq!(uses.used(3), 3);
            // And goes on as if nothing had been.
            take_many(&uses, 1, 1);
            uses.save().unwrap();
            disk.crash();
            let uses = open(&disk);
            assert_eq!((uses.used(1), uses.used(2), uses.used(3)), (one + 1, two, 3));
        }
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let disk = three_saves();
    let bytes = disk.content(path()).unwrap().len() as u64;
    for offset in 0..bytes {
        for bit in 0..8 {
            disk.flip_bit_at(path(), offset, bit);
            let found = damage_offset(&disk);
            assert!(found / 32 == offset / 32, "{offset}: {found}");
            disk.flip_bit_at(path(), offset, bit);
        }
    }
    open(&disk);
}

#[test]
fn zeros_are_damage_where_they_must_have_been_written() {
    for record in 1..=6 {
        let disk = three_saves();
        file(&disk).write_all_at(&[0; 32], record * 32).unwrap();
        if record < 6 {
            assert_eq!(damage_offset(&disk), record * 32);
        } else {
            // The last save may not have reached the disk.
            assert_eq!(open(&disk).used(3), 3);
        }
    }
}

#[test]
fn a_part_of_the_last_save_is_torn_however_it_lies() {
    // Nothing but the first record of the first save, then two of the second: as a crash may leave one save.
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    take_many(&uses, 1, 1);
    uses.save().unwrap();
    (1..=40).for_each(|id| take_many(&uses, id, 1));
    uses.save().unwrap();
    for gap in [1, 15, 16, 39] {
        let disk = disk_with(&disk.content(path()).unwrap());
        file(&disk).write_all_at(&[0; 32], (1 + gap) * 32).unwrap();
        let uses = open(&disk);
        // Each record tells of one click more.
        assert_eq!((1..=40).map(|id| uses.used(id)).sum::<u64>(), gap);
    }
}

#[test]
fn records_do_not_change_their_places() {
    let disk = three_saves();
    let content = disk.content(path()).unwrap();
    file(&disk).write_all_at(&content[4 * 32..5 * 32], 5 * 32).unwrap();
    assert_eq!(damage_offset(&disk), 5 * 32);
}

#[test]
fn a_file_of_something_else_is_refused() {
    assert_eq!(damage_offset(&disk_with(b"")), 0);
    assert_eq!(damage_offset(&disk_with(&[0; 64])), 0);
    assert_eq!(damage_offset(&disk_with(&[b'x'; 320])), 0);

    let mut content = three_saves().content(path()).unwrap();
    content[8] = 2;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&content[..12]), &content[16..32]);
    content[12..16].copy_from_slice(&checksum.to_le_bytes());
    let error = open_error(&disk_with(&content)).to_string();
    assert!(error.contains("format is 2, and 1 is read"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_no_empty_one() {
    for read in 1..=2 {
        let disk = three_saves();
        disk.fail_read_in(read);
        assert!(matches!(open_error(&disk), UsesError::Io { action: "reading", .. }));
    }
}

/// Fails the first, second, … operation in two saves, of which the first writes the file and the second appends.
#[track_caller]
fn fail_each(operations: u64, fail_in: impl Fn(&SimulatedDisk, u64)) {
    for operation in 1..=operations {
        let disk = SimulatedDisk::new(operation);
        let uses = open(&disk);
        fail_in(&disk, operation);
        let mut failures = 0;
        for save in 1..=2 {
            (0..50).for_each(|id| take_many(&uses, id, 1));
            let has_failed = uses.save().is_err();
            failures += u64::from(has_failed);
            // After a failure there need not be anything new.
            uses.save().unwrap();
            let content = disk.content(path()).unwrap();
            let is_appended = save == 2 && !has_failed;
            assert_eq!(content.len(), 32 + if is_appended { 100 } else { 50 } * 32, "it is written anew");
            let reopened = open(&disk);
            assert!((0..50).all(|id| reopened.used(id) == save));
        }
        assert_eq!(failures, 1, "operation {operation}");
        disk.crash();
        assert_eq!(disk.files(), [path()]);
        let reopened = open(&disk);
        assert!((0..50).all(|id| reopened.used(id) == 2), "operation {operation}");
    }
}

#[test]
fn after_a_failed_sync_the_file_is_written_anew() {
    // Of the records, the header, the directory; of what was appended.
    fail_each(4, SimulatedDisk::fail_sync_in);
    fail_each(4, SimulatedDisk::fill_sync_in);
}

#[test]
fn after_a_failed_write_the_file_is_written_anew() {
    // The file is created, gets records, a header, its name; records are appended.
    fail_each(5, SimulatedDisk::fail_write_in);
    fail_each(3, SimulatedDisk::fill_in);
}

#[test]
fn a_crash_before_the_renaming_leaves_the_old_file() {
    // The new file is created, gets its records, is synced, gets its header, is synced, gets its name.
    for call in 1..=6 {
        let disk = three_saves();
        let uses = open(&disk);
        take_many(&uses, 1, 10);
        disk.crash_in(call);
        uses.save().unwrap_err();
        disk.crash_keeping_everything();
        let has_new = disk.content(Path::new("/uses.new")).is_some();
        let uses = open(&disk);
        let found = uses.used(1);
        match call {
            1 => assert_eq!(found, 2),
            6 => assert_eq!((found == 2, found == 12), (has_new, !has_new)),
            _ => assert_eq!((found, has_new), (2, true)),
        }
        // What is left of the new file is in nobody's way.
        take_many(&uses, 1, 1);
        uses.save().unwrap();
        disk.crash();
        assert_eq!(open(&disk).used(1), found + 1);
        assert_eq!(disk.files(), [path()]);
    }
}

#[test]
fn what_may_not_be_durable_at_the_start_is_written_anew() {
    let disk = SimulatedDisk::new(0);
    let uses = open(&disk);
    take_many(&uses, 1, 1);
    uses.save().unwrap();
    take_many(&uses, 1, 1);
    disk.fail_sync_in(1);
    uses.save().unwrap_err();
    // The next process sees what the kernel will never write.
    disk.crash_keeping_everything();
    let uses = open(&disk);
    assert_eq!(uses.used(1), 2);
    uses.save().unwrap();
    disk.crash();
    assert_eq!(open(&disk).used(1), 2);
    assert_eq!(disk.content(path()).unwrap().len(), 2 * 32);

    // The same with a name.
    let uses = open(&disk);
    take_many(&uses, 1, 1);
    disk.fail_sync_in(3);
    uses.save().unwrap_err();
    disk.crash_keeping_everything();
    let uses = open(&disk);
    assert_eq!(uses.used(1), 3);
    uses.save().unwrap();
    disk.crash();
    assert_eq!(open(&disk).used(1), 3);
}

/// What may be found of a link after a crash: its counts from the last save on.
struct Model(Vec<Vec<u64>>);

impl Model {
    fn note(&mut self, id: u64, count: u64) {
        self.0[id as usize].push(count);
    }

    fn saved(&mut self) {
        self.0.iter_mut().for_each(|counts| drop(counts.drain(..counts.len() - 1)));
    }

    /// Whatever was left is what is durable now, or only seen.
    fn recovered(&mut self, uses: &Uses, is_durable: bool) {
        for (id, counts) in self.0.iter_mut().enumerate() {
            let used = uses.used(id as u64);
            assert!(counts.contains(&used), "link {id}: {used}, and not one of {counts:?}");
            if is_durable {
                counts.clear();
            }
            counts.push(used);
        }
    }
}

#[test]
fn whatever_the_disk_does_only_what_was_not_saved_is_lost() {
    const LINKS: u64 = 120;
    let (mut crashes, mut failures) = (0, 0);
    for seed in 0..400 {
        let mut rng = Rng::with_seed(seed);
        let disk = SimulatedDisk::new(seed);
        disk.short_io(rng.bool());
        let mut uses = open(&disk);
        let mut model = Model(vec![vec![0]; LINKS as usize]);
        for _ in 0..40 {
            for _ in 0..rng.u64(0..LINKS) {
                let id = rng.u64(0..LINKS);
                take_many(&uses, id, 1);
                model.note(id, uses.used(id));
            }
            if rng.u8(0..4) == 0 {
                let id = rng.u64(0..LINKS);
                uses.forget(id);
                model.note(id, 0);
            }
            match rng.u8(0..12) {
                0 => disk.fail_sync_in(rng.u64(1..5)),
                1 => disk.fail_write_in(rng.u64(1..6)),
                2 | 3 => disk.crash_in(rng.u64(1..8)),
                _ => {}
            }
            match uses.save() {
                Ok(()) => model.saved(),
                Err(_) => failures += 1,
            }
            let is_durable = rng.bool();
            if disk.is_down() || rng.u8(0..10) == 0 {
                crashes += 1;
                if is_durable {
                    disk.crash();
                } else {
                    disk.crash_keeping_everything();
                }
                uses = open(&disk);
                model.recovered(&uses, is_durable);
            }
        }
    }
    assert!(crashes > 1_000 && failures > 1_000, "{crashes} crashes, {failures} failures");
}
