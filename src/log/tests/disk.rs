//! A log on a disk that fails or is full, and one that was cut or begins later.

use super::*;

/// I9: after the first failure nothing is written, whatever the disk would say to another try.
#[test]
fn after_a_failed_write_or_sync_the_log_takes_nothing_more() {
    for (fails, is_sync) in [
        (SimulatedDisk::fail_write_in as fn(&SimulatedDisk, u64), false),
        (SimulatedDisk::fail_sync_in, true),
        // That there is no room does not make a sync one that can be tried again.
        (SimulatedDisk::fill_sync_in, true),
    ] {
        let (disk, directory) = simulated();
        let mut log = directory.open(&[]).unwrap().log;
        append_synced(&mut log, 2);
        append(&mut log, 1);
        fails(&disk, 1);
        match log.sync() {
            Err(error) => {
                assert_eq!(matches!(error, LogError::NotSynced { .. }), is_sync, "{error}");
                assert!(!error.is_full(), "{error}");
            }
            Ok(()) => panic!("it was synced"),
        }
        assert!(matches!(log.sync(), Err(LogError::Poisoned)));
        assert!(matches!(log.write(), Err(LogError::Poisoned)));
        assert!(matches!(log.append(4, OPERATION, b""), Err(LogError::Poisoned)));
        disk.crash();
        let found = check(&directory.open(&[]).unwrap().log).unwrap();
        assert!((2..=3).contains(&found), "{found} records");
    }
}

#[test]
fn the_log_is_poisoned_if_no_new_segment_can_be_had_and_the_disk_is_not_full() {
    let (disk, directory) = simulated();
    let mut log = directory.open(&[]).unwrap().log;
    append_synced(&mut log, 2);
    let large = vec![7; SEGMENT as usize / 2];
    log.append(3, OPERATION, &large).unwrap();
    // The record is written; the next change is that of the new file.
    disk.fail_write_in(2);
    assert!(matches!(log.append(4, OPERATION, &large), Err(LogError::Io { .. })));
    assert!(matches!(log.append(4, OPERATION, &large), Err(LogError::Poisoned)));
    assert!(matches!(log.sync(), Err(LogError::Poisoned)));
}

fn simulated() -> (SimulatedDisk, LogDirectory) {
    let disk = SimulatedDisk::new(3);
    let path = PathBuf::from("/data/log");
    disk.create_dir(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let directory = LogDirectory { segment_bytes: SEGMENT, ..LogDirectory::new(Arc::new(disk.clone()), path) };
    (disk, directory)
}

/// At every byte where the disk may be full: nothing of what could not be written is left, and when there is room the
/// log goes on.
#[test]
fn a_full_disk_takes_back_what_was_not_written_and_goes_on_when_there_is_room() {
    let taken = |disk: &SimulatedDisk| {
        disk.set_capacity(Some(1 << 20));
        (1 << 20) - disk.free_bytes(Path::new("/")).unwrap()
    };
    let (mut refused, mut rotated) = (0, 0);
    for spare in (0..SEGMENT + 2 * ENTRY_BYTES).step_by(61) {
        let (disk, directory) = simulated();
        let mut log = directory.open(&[]).unwrap().log;
        append_synced(&mut log, 3);
        disk.set_capacity(Some(taken(&disk) + spare));
        let mut acknowledged = 3;
        // A group of several records each time, over several segments.
        let error = loop {
            let before = (log.next_sequence(), log.chain());
            let sequence = log.next_sequence();
            let mut group = (0..3).map(|record| log.append(sequence + record, OPERATION, &payload(sequence + record)));
            if let Err(error) = group.try_for_each(|appended| appended.map(drop)).and_then(|()| log.sync()) {
                // A part of the group may have been synced when the segment was full.
                assert!(log.next_sequence() >= before.0);
                acknowledged = log.next_sequence() - 1;
                break error;
            }
            acknowledged += 3;
            if acknowledged > 100 {
                panic!("the disk never was full");
            }
        };
        assert!(error.is_full(), "{error}");
        refused += 1;
        rotated += u32::from(directory.segments().unwrap().len() > 1);
        // Refused again, as long as there is no room.
        if let Err(error) = log.make_room(SEGMENT as usize / 2) {
            assert!(error.is_full(), "{error}");
        }
        assert_eq!(check(&directory.open(&[]).unwrap().log).unwrap(), acknowledged);
        disk.set_capacity(None);
        append_synced(&mut log, 5);
        assert_eq!(check(&log).unwrap(), acknowledged + 5);
        drop(log);
        disk.crash();
        let LogOpened { log, torn } = directory.open(&[]).unwrap();
        assert!(torn.is_none());
        assert_eq!(check(&log).unwrap(), acknowledged + 5);
    }
    assert!(refused > 20 && rotated > 5, "{refused} refused, {rotated} rotated");
}

#[test]
fn a_log_that_was_cut_begins_later_and_is_read_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path()).unwrap().log;
    append_synced(&mut log, 60);
    let firsts: Vec<u64> = directory(dir.path()).segments().unwrap().into_iter().map(|(first, _)| first).collect();
    assert!(firsts.len() > 4);
    assert_eq!(log.cut_before(1).unwrap(), 0);
    // The segment that holds the record stays.
    assert_eq!(log.cut_before(firsts[2] + 1).unwrap(), 2);
    assert_eq!(log.first_sequence().unwrap(), firsts[2]);
    assert_eq!(log.cut_before(u64::MAX).unwrap() as usize, firsts.len() - 3);
    let first = log.first_sequence().unwrap();
    assert_eq!(first, firsts[firsts.len() - 1]);
    append_synced(&mut log, 2);
    drop(log);
    let log = open(dir.path()).unwrap().log;
    let mut replay = log.replay(first).unwrap();
    let mut records = 0;
    while replay.next().unwrap().is_some() {
        records += 1;
    }
    assert_eq!(records, 62 - (first - 1));
    assert!(log.chain_after(first - 1).is_ok());
    assert_damaged(log.replay(first - 1), dir.path(), 0);
    let end = directory(dir.path()).verify(&mut |_| {}).unwrap().unwrap();
    assert_eq!((end.sequence, end.chain), (62, log.chain()));
}

#[test]
fn a_log_can_begin_behind_records_that_lie_elsewhere() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = open(elsewhere.path()).unwrap().log;
    append_synced(&mut log, 5);
    let beginning = Beginning { log_id: log.id(), epoch: 2, sequence: 5, chain: log.chain() };
    drop(directory(dir.path()).begin(beginning).unwrap());
    let mut log = open(dir.path()).unwrap().log;
    assert_eq!((log.id(), log.epoch(), log.next_sequence()), (beginning.log_id, 2, 6));
    append_synced(&mut log, 3);
    let mut replay = log.replay(6).unwrap();
    let (_, record) = replay.next().unwrap().unwrap();
    assert_eq!((record.epoch, record.sequence, record.chain), (2, 6, beginning.chain));
}
