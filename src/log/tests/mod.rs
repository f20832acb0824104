//! The log as a crash, a bad disk or a person may leave it.

mod disk;
mod document;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::KnownDurable;
use super::disk::simulated::{ENTRY_BYTES, SimulatedDisk};
use super::disk::{Disk, RealDisk};
use super::record::{self, ChainHash, LogId, OperationId, Record};
use super::segment::{self, SegmentHeader};
use super::{Beginning, Log, LogDirectory, LogError, LogOpened};

/// Small, so that a few records need several.
const SEGMENT: u64 = 4096;

const OPERATION: OperationId = OperationId([5; 16]);

fn directory(dir: &Path) -> LogDirectory {
    LogDirectory { segment_bytes: SEGMENT, ..LogDirectory::new(Arc::new(RealDisk), dir.to_owned()) }
}

fn open(dir: &Path) -> Result<LogOpened, LogError> {
    directory(dir).open(&[])
}

/// What record `sequence` carries; some of it looks like a record.
fn payload(sequence: u64) -> Vec<u8> {
    let mut payload = format!("payload {sequence} CRM\x01").into_bytes();
    payload.resize(payload.len() + (sequence as usize * 37) % 300, sequence as u8);
    payload.push(0xff);
    payload
}

fn append(log: &mut Log, count: u64) {
    for _ in 0..count {
        let sequence = log.next_sequence();
        log.append(sequence, OPERATION, &payload(sequence)).unwrap();
    }
}

fn append_synced(log: &mut Log, count: u64) {
    for _ in 0..count {
        append(log, 1);
        log.sync().unwrap();
    }
}

/// Reads the whole log and compares it with what was appended; how many records there are.
fn check(log: &Log) -> Result<u64, LogError> {
    let mut replay = log.replay(1)?;
    let mut sequence = 0;
    while let Some((location, record)) = replay.next()? {
        sequence += 1;
        assert_eq!((record.sequence, record.time_ms), (sequence, sequence));
        assert_eq!(record.payload, payload(sequence));
        assert_eq!(log.read(location)?, (sequence, payload(sequence)));
    }
    assert_eq!((replay.next_sequence(), replay.chain()), (log.next_sequence(), log.chain()));
    Ok(sequence)
}

/// Opens the log and reads all of it, as a start without a store does.
fn open_and_check(dir: &Path) -> Result<u64, LogError> {
    open(dir).and_then(|opened| check(&opened.log))
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    directory(dir).segments().unwrap().into_iter().map(|(_, path)| path).collect()
}

/// Where each record of a segment begins, and where the last one ends.
fn bounds(bytes: &[u8]) -> Vec<usize> {
    let mut bounds = vec![segment::HEADER_BYTES];
    while let Ok((_, length)) = Record::decode(&bytes[bounds[bounds.len() - 1]..]) {
        bounds.push(bounds[bounds.len() - 1] + length);
    }
    bounds
}

#[track_caller]
fn assert_damaged<T>(result: Result<T, LogError>, at: &Path, at_offset: usize) {
    match result {
        Err(LogError::Damaged { path, offset, .. }) => assert_eq!((&*path, offset), (at, at_offset as u64)),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the damage was not found"),
    }
}

/// Puts these bytes there, has them refused, and sees that they were left alone.
#[track_caller]
fn assert_refused(dir: &Path, path: &Path, bytes: &[u8], at_offset: usize) {
    std::fs::write(path, bytes).unwrap();
    assert_damaged(open(dir), path, at_offset);
    assert!(std::fs::read(path).unwrap() == bytes, "the damaged file was changed");
}

#[test]
fn records_come_back_over_several_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap().log;
    append_synced(&mut log, 20);
    append(&mut log, 30);
    log.sync().unwrap();
    assert!(segments(dir.path()).len() > 3);
    assert_eq!(check(&log).unwrap(), 50);
    let (id, chain) = (log.id(), log.chain());
    drop(log);
    let LogOpened { mut log, torn } = open(dir.path()).unwrap();
    assert!(torn.is_none());
    assert_eq!((log.id(), log.chain(), log.next_sequence()), (id, chain, 51));
    append_synced(&mut log, 10);
    assert_eq!(check(&log).unwrap(), 60);
    for from in 1..=61 {
        let mut replay = log.replay(from).unwrap();
        let next = replay.next().unwrap().map(|(_, record)| record.sequence);
        assert_eq!(next, (from <= 60).then_some(from));
    }
}

#[test]
fn a_segment_of_full_size_takes_large_records_and_then_another_begins() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogDirectory::new(Arc::new(RealDisk), dir.path().to_owned()).open(&[]).unwrap().log;
    let large = vec![7; crate::limits::RECORD_PAYLOAD_BYTES];
    for _ in 0..130 {
        log.append(0, OPERATION, &large).unwrap();
        log.write().unwrap();
    }
    log.sync().unwrap();
    assert_eq!(segments(dir.path()).len(), 2);
    for path in segments(dir.path()) {
        assert_eq!(path.metadata().unwrap().len(), crate::limits::SEGMENT_BYTES);
    }
    drop(log);
    assert_eq!(
        LogDirectory::new(Arc::new(RealDisk), dir.path().to_owned()).open(&[]).unwrap().log.next_sequence(),
        131
    );
}

/// A log whose last record was written and not synced; the bytes of its only segment and where the record is.
fn with_unsynced_record(dir: &Path) -> (PathBuf, Vec<u8>, std::ops::Range<usize>) {
    let mut log = open(dir).unwrap().log;
    append_synced(&mut log, 3);
    append(&mut log, 1);
    log.write().unwrap();
    let path = segments(dir).pop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let bounds = bounds(&bytes);
    assert_eq!(bounds.len(), 5);
    (path, bytes, bounds[3]..bounds[4])
}

/// Opens what a crash left, finds the first three records, and goes on with it.
fn recover_three(dir: &Path, path: &Path, offset: usize, is_torn: bool) {
    let LogOpened { mut log, torn } = open(dir).unwrap();
    assert_eq!(torn.is_some(), is_torn);
    if let Some(torn) = torn {
        assert_eq!((&*torn.path, torn.offset, torn.sequence), (path, offset as u64, 4));
    }
    assert_eq!(check(&log).unwrap(), 3);
    append_synced(&mut log, 2);
    drop(log);
    let LogOpened { log, torn } = open(dir).unwrap();
    assert!(torn.is_none());
    assert_eq!(check(&log).unwrap(), 5);
}

#[test]
fn a_write_that_a_crash_cut_short_anywhere_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes, last) = with_unsynced_record(dir.path());
    for at in last.clone() {
        let mut beginning = bytes.clone();
        beginning[at..].fill(0);
        let is_torn = at > last.start;
        std::fs::write(&path, beginning).unwrap();
        recover_three(dir.path(), &path, last.start, is_torn);

        // The file ends there.
        std::fs::write(&path, &bytes[..at]).unwrap();
        recover_three(dir.path(), &path, last.start, is_torn);

        let mut end = bytes.clone();
        end[last.start..=at].fill(0);
        let is_torn = end[last.start..].iter().any(|&byte| byte != 0);
        std::fs::write(&path, end).unwrap();
        recover_three(dir.path(), &path, last.start, is_torn);
    }
    // Nothing of it is missing: then it is a record like any other, synced or not.
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(open_and_check(dir.path()).unwrap(), 4);
}

/// No crash leaves all of a write but a few bits: also if nothing shows that the record was durable.
#[test]
fn a_last_record_of_which_nothing_is_missing_was_not_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes, last) = with_unsynced_record(dir.path());
    for bit in 8 * last.start..8 * last.end {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if bit / 8 == last.start + 3 {
            // The version of the format.
            std::fs::write(&path, flipped).unwrap();
            assert!(matches!(open(dir.path()), Err(LogError::OtherVersion { .. })));
        } else {
            assert_refused(dir.path(), &path, &flipped, last.start);
        }
    }
    // Where the record can still be told from its length and magic, also more than a bit.
    for at in last.start + 12..last.end {
        let mut garbled = bytes.clone();
        garbled[at] ^= 0x55;
        assert_refused(dir.path(), &path, &garbled, last.start);
    }
}

/// A crash loses any of the sectors that were written since the last sync, earlier ones as well as later ones.
#[test]
fn whatever_survives_of_an_unsynced_group_is_no_damage() {
    const SECTOR: usize = 512;
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap().log;
    append_synced(&mut log, 3);
    let path = segments(dir.path()).pop().unwrap();
    let before = std::fs::read(&path).unwrap();
    append(&mut log, 8);
    log.write().unwrap();
    drop(log);
    let after = std::fs::read(&path).unwrap();
    let bounds = bounds(&after);
    assert_eq!(bounds.len(), 12);
    let (first, last) = (bounds[3] / SECTOR, (bounds[11] - 1) / SECTOR);
    assert!((4..8).contains(&(last - first)));
    for survives in 0u32..1 << (last - first + 1) {
        let mut bytes = before.clone();
        let mut whole = 3;
        for sector in (first..=last).filter(|sector| survives & 1 << (sector - first) != 0) {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            bytes[range.clone()].copy_from_slice(&after[range]);
        }
        while whole < 11 && bytes[..bounds[whole + 1]] == after[..bounds[whole + 1]] {
            whole += 1;
        }
        std::fs::write(&path, &bytes).unwrap();
        let LogOpened { mut log, torn } = open(dir.path()).unwrap();
        assert_eq!(check(&log).unwrap(), whole as u64, "{survives:b}");
        let remains = bytes[bounds[whole]..].iter().any(|&byte| byte != 0);
        assert_eq!(torn.map(|torn| torn.offset), remains.then_some(bounds[whole] as u64), "{survives:b}");
        append_synced(&mut log, 1);
        drop(log);
        let LogOpened { log, torn } = open(dir.path()).unwrap();
        assert!(torn.is_none());
        assert_eq!(check(&log).unwrap(), whole as u64 + 1);
        drop(log);
        for later in &segments(dir.path())[1..] {
            std::fs::remove_file(later).unwrap();
        }
    }
}

#[test]
fn what_a_crash_leaves_of_a_write_in_pieces_is_no_damage() {
    for seed in 0..1_000 {
        let disk = SimulatedDisk::new(seed);
        let directory = on_simulated(&disk);
        disk.short_io(true);
        let mut log = directory.open(&[]).unwrap().log;
        append_synced(&mut log, 2);
        append(&mut log, 6);
        log.write().unwrap();
        disk.crash();
        let opened = directory.open(&[]).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(check(&opened.log).unwrap() >= 2, "seed {seed}");
    }
}

/// I9, for a name.
#[test]
fn a_segment_whose_name_may_be_lost_is_not_written_to() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed);
        let directory = on_simulated(&disk);
        let mut log = directory.open(&[]).unwrap().log;
        append_synced(&mut log, 3);
        // The first sync is of the full segment, the second of the new one, the third of their directory.
        disk.fail_sync_in(3);
        log.make_room(SEGMENT as usize).unwrap_err();
        disk.crash_keeping_everything();
        let mut log = directory.open(&[]).unwrap().log;
        append_synced(&mut log, 2);
        disk.crash();
        assert_eq!(check(&directory.open(&[]).unwrap().log).unwrap(), 5, "seed {seed}");
    }
}

/// I9, for a cut.
#[test]
fn what_follows_a_cut_that_may_be_lost_is_not_lost_with_it() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed);
        let directory = on_simulated(&disk);
        let mut log = directory.open(&[]).unwrap().log;
        append_synced(&mut log, 3);
        append(&mut log, 3);
        disk.fill_in(1);
        disk.fail_sync_in(1);
        log.sync().unwrap_err();
        disk.crash_keeping_everything();
        // This one gives the file its length again.
        disk.fail_sync_in(1);
        directory.open(&[]).map(drop).unwrap_err();
        disk.crash_keeping_everything();
        let mut log = directory.open(&[]).unwrap().log;
        append_synced(&mut log, 2);
        disk.crash();
        assert_eq!(check(&directory.open(&[]).unwrap().log).unwrap(), 5, "seed {seed}");
    }
}

/// The records are read once more to be written again, and then the file ends with the last of them.
#[test]
fn a_log_of_more_than_a_window_is_opened_also_on_a_full_disk() {
    let disk = SimulatedDisk::new(1);
    let directory = LogDirectory { segment_bytes: 8 << 20, ..on_simulated(&disk) };
    let mut log = directory.open(&[]).unwrap().log;
    for _ in 0..10 {
        log.append(1, OPERATION, &[1; 500_000]).unwrap();
    }
    log.write().unwrap();
    disk.crash_keeping_everything();
    disk.set_capacity(Some(0));
    assert_eq!(directory.open(&[]).unwrap().log.next_sequence(), 11);
}

fn on_simulated(disk: &SimulatedDisk) -> LogDirectory {
    LogDirectory { segment_bytes: SEGMENT, ..LogDirectory::new(Arc::new(disk.clone()), "/log".into()) }
}

#[test]
fn a_flipped_bit_in_what_was_durable_is_damage_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap().log;
    append_synced(&mut log, 4);
    drop(log);
    let path = segments(dir.path()).pop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let bounds = bounds(&bytes);
    for record in 0..3 {
        for at in bounds[record]..bounds[record + 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            if at == bounds[record] + 3 {
                std::fs::write(&path, damaged).unwrap();
                assert!(matches!(open(dir.path()), Err(LogError::OtherVersion { .. })));
            } else {
                assert_refused(dir.path(), &path, &damaged, bounds[record]);
            }
        }
        let mut lost = bytes.clone();
        lost[bounds[record]..bounds[record + 1]].fill(0);
        assert_refused(dir.path(), &path, &lost, bounds[record]);
    }
    let mut damaged = bytes.clone();
    damaged[20] ^= 1;
    assert_refused(dir.path(), &path, &damaged, 0);
    assert_refused(dir.path(), &path, &bytes[..100], 0);
    assert_refused(dir.path(), &path, b"", 0);
}

#[test]
fn the_last_record_is_not_cut_off_if_it_is_known_to_have_been_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap().log;
    append_synced(&mut log, 4);
    let known = KnownDurable { log_id: log.id(), sequence: 4 };
    drop(log);
    let path = segments(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let bounds = bounds(&bytes);
    let last = bounds[3];
    bytes[last + 50..bounds[4]].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        assert_damaged(directory(dir.path()).open(&[known]), &path, last);
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
    // What another log had durable, or only records before it, says nothing.
    for known in [KnownDurable { log_id: LogId([0; 16]), ..known }, KnownDurable { sequence: 3, ..known }] {
        std::fs::write(&path, &bytes).unwrap();
        assert!(directory(dir.path()).open(&[known]).unwrap().torn.is_some());
    }
}

#[test]
fn a_log_that_ends_before_what_is_known_to_have_been_durable_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap().log;
    append_synced(&mut log, 30);
    let known = KnownDurable { log_id: log.id(), sequence: 30 };
    drop(log);
    let newest = segments(dir.path()).pop().unwrap();
    let first = directory(dir.path()).segments().unwrap().pop().unwrap().0;
    let bytes = std::fs::read(&newest).unwrap();
    // The last record reads as zeros; the newest segment is gone; all segments are.
    let bounds = bounds(&bytes);
    let mut zeroed = bytes.clone();
    zeroed[bounds[bounds.len() - 2]..].fill(0);
    std::fs::write(&newest, &zeroed).unwrap();
    let assert_lost = |ends_with| match directory(dir.path()).open(&[known]) {
        Err(LogError::Lost { last, known: 30, .. }) => assert_eq!(last, ends_with),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    };
    assert_lost(29);
    assert!(std::fs::read(&newest).unwrap() == zeroed);
    std::fs::remove_file(&newest).unwrap();
    assert_lost(first - 1);
    // What another log had durable says nothing.
    let other = KnownDurable { log_id: LogId([0; 16]), ..known };
    assert_eq!(directory(dir.path()).open(&[other]).unwrap().log.next_sequence(), first);
    segments(dir.path()).iter().for_each(|path| std::fs::remove_file(path).unwrap());
    assert_lost(0);
    // Nor is it replaced by a log that was begun elsewhere and has no record yet.
    let fresh = tempfile::tempdir().unwrap();
    drop(open(fresh.path()).unwrap());
    let begun = segments(fresh.path()).pop().unwrap();
    let copy = dir.path().join(begun.file_name().unwrap());
    std::fs::copy(begun, &copy).unwrap();
    assert_lost(0);
    std::fs::remove_file(copy).unwrap();
    assert!(segments(dir.path()).is_empty());
    let nothing = KnownDurable { sequence: 0, ..known };
    assert_eq!(directory(dir.path()).open(&[nothing]).unwrap().log.next_sequence(), 1);
}

#[test]
fn a_whole_record_that_does_not_continue_the_log_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap().log;
    append_synced(&mut log, 3);
    let right = Record {
        version: record::VERSION,
        log_id: log.id(),
        epoch: 1,
        sequence: 4,
        durable: 3,
        time_ms: 4,
        operation: OPERATION,
        is_refused: false,
        chain: log.chain(),
        payload: &payload(4),
    };
    drop(log);
    let path = segments(dir.path()).pop().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let end = bounds(&bytes)[3];
    let with = |record: &Record<'_>| {
        let mut with = bytes[..end].to_vec();
        record.encode_into(&mut with);
        with.resize(bytes.len(), 0);
        with
    };
    for wrong in [
        Record { log_id: LogId([1; 16]), ..right.clone() },
        Record { sequence: 3, ..right.clone() },
        Record { sequence: 5, ..right.clone() },
        Record { chain: ChainHash([1; 32]), ..right.clone() },
    ] {
        assert_refused(dir.path(), &path, &with(&wrong), end);
    }
    std::fs::write(&path, with(&right)).unwrap();
    assert_eq!(open_and_check(dir.path()).unwrap(), 4);
}

#[test]
fn what_a_newer_version_wrote_is_neither_read_nor_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes, last) = with_unsynced_record(dir.path());
    let refuse = |bytes: &[u8], at_offset: usize| {
        std::fs::write(&path, bytes).unwrap();
        match open(dir.path()) {
            Err(LogError::OtherVersion { offset, .. }) => assert_eq!(offset, at_offset as u64),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was opened"),
        }
        assert!(std::fs::read(&path).unwrap() == bytes);
    };
    let mut newer = bytes.clone();
    newer[last.start + 3] = record::VERSION + 1;
    refuse(&newer, last.start);
    // Also behind a record that can't be read.
    let bounds = bounds(&bytes);
    newer[bounds[2] + 60..bounds[3]].fill(0);
    refuse(&newer, last.start);
    let mut newer = bytes.clone();
    newer[8] = segment::VERSION as u8 + 1;
    refuse(&newer, 0);
}

#[test]
fn segments_that_are_missing_damaged_or_foreign_are_found() {
    let make = |records| {
        let dir = tempfile::tempdir().unwrap();
        append_synced(&mut open(dir.path()).unwrap().log, records);
        dir
    };
    let (dir, other) = (make(60), make(60));
    let paths = segments(dir.path());
    assert!(paths.len() >= 5);
    let contents: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let restore = || paths.iter().zip(&contents).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let put = |index: usize, bytes: &[u8]| std::fs::write(&paths[index], bytes).unwrap();
    let newest = paths.len() - 1;

    // Missing: the first one leaves nothing to begin with, a later one a gap behind the one before it.
    std::fs::remove_file(&paths[0]).unwrap();
    assert_damaged(open_and_check(dir.path()), dir.path(), 0);
    restore();
    let end = |index: usize| *bounds(&contents[index]).last().unwrap();
    std::fs::remove_file(&paths[2]).unwrap();
    assert_damaged(open_and_check(dir.path()), &paths[1], end(1));
    restore();

    // Damaged: also the last record, since a segment is synced before the next one begins.
    for at in [bounds(&contents[1])[1] + 5, end(1) - 1] {
        let mut damaged = contents[1].clone();
        damaged[at] ^= 1;
        put(1, &damaged);
        let begin = *bounds(&damaged).last().unwrap();
        assert_damaged(open_and_check(dir.path()), &paths[1], begin);
    }
    let mut shortened = contents[1].clone();
    let bounds_1 = bounds(&contents[1]);
    let last = bounds_1[bounds_1.len() - 2];
    shortened[last..].fill(0);
    put(1, &shortened);
    assert_damaged(open_and_check(dir.path()), &paths[1], last);
    restore();

    // Foreign: of another log, in the middle, at the beginning and at the end.
    for (index, found_in) in [(0, 0), (2, 2), (newest, 0)] {
        put(index, &std::fs::read(other.path().join(paths[index].file_name().unwrap())).unwrap());
        assert_damaged(open_and_check(dir.path()), &paths[found_in], 0);
        restore();
    }

    // Swapped: each says by its name what it is not.
    put(1, &contents[2]);
    put(2, &contents[1]);
    assert_damaged(open_and_check(dir.path()), &paths[1], 0);
    restore();

    // Of the same log and place, and yet of another history.
    let header = SegmentHeader::decode(&contents[2]).unwrap();
    let mut forged = contents[2].clone();
    let header = SegmentHeader { chain: ChainHash([9; 32]), ..header };
    forged[..segment::HEADER_BYTES].copy_from_slice(&header.encode());
    put(2, &forged);
    assert_damaged(open_and_check(dir.path()), &paths[2], 0);
    restore();

    assert_eq!(open_and_check(dir.path()).unwrap(), 60);
}
