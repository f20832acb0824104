//! Records that are found against those that were appended.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::log::disk::RealDisk;
use crate::log::{Beginning, Log};

fn directory(dir: &Path) -> LogDirectory {
    LogDirectory { segment_bytes: 4_096, ..LogDirectory::new(Arc::new(RealDisk), dir.to_owned()) }
}

fn payload(sequence: u64) -> Vec<u8> {
    vec![0xff; 1 + (sequence as usize * 131) % 700]
}

fn append(log: &mut Log, count: u64) {
    for _ in 0..count {
        let sequence = log.next_sequence();
        log.append(sequence * 10, OperationId([sequence as u8; 16]), &payload(sequence)).unwrap();
    }
    log.write().unwrap();
}

fn newest_first(sequences: RangeInclusive<u64>, limit: u64, bytes: usize) -> Wanted {
    Wanted { sequences, limit, bytes, is_newest_first: true }
}

fn oldest_first(sequences: RangeInclusive<u64>, limit: u64, bytes: usize) -> Wanted {
    Wanted { is_newest_first: false, ..newest_first(sequences, limit, bytes) }
}

#[track_caller]
fn assert_browses(directory: &LogDirectory, waypoints: &Waypoints, log: &Log, wanted: &Wanted, expected: &[u64]) {
    let browsed = directory.browse(log.id(), wanted, waypoints).unwrap();
    let found: Vec<u64> = browsed.records.iter().map(|record| record.sequence).collect();
    assert_eq!(found, expected, "{wanted:?}");
    for record in &browsed.records {
        let sequence = record.sequence;
        assert_eq!((record.time_ms, &record.payload), (sequence * 10, &payload(sequence)));
        assert_eq!(record.operation, OperationId([sequence as u8; 16]));
    }
}

#[test]
fn any_record_is_found_over_all_segments_and_after_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let directory = directory(dir.path());
    let waypoints = Waypoints::default();
    let mut log = directory.begin(Beginning::genesis()).unwrap();
    append(&mut log, 60);
    assert!(directory.segments().unwrap().len() > 4);
    let all: Vec<u64> = (1..=60).collect();
    let many = 1 << 20;
    for from in 1..=60u64 {
        for limit in [1, 2, 7, 60] {
            let end = (from + limit - 1).min(60);
            let up: Vec<u64> = (from..=end).collect();
            assert_browses(&directory, &waypoints, &log, &oldest_first(from..=60, limit, many), &up);
            let down: Vec<u64> = (from.saturating_sub(limit - 1).max(1)..=from).rev().collect();
            assert_browses(&directory, &waypoints, &log, &newest_first(0..=from, limit, many), &down);
        }
    }
    assert_browses(&directory, &waypoints, &log, &oldest_first(1..=60, 0, many), &[]);
    assert_browses(&directory, &waypoints, &log, &oldest_first(RangeInclusive::new(61, 60), 9, many), &[]);
    assert_browses(&directory, &waypoints, &log, &oldest_first(1..=60, u64::MAX, many), &all);
    // As many as fit, and one in any case.
    assert_browses(&directory, &waypoints, &log, &oldest_first(3..=60, 60, 0), &[3]);
    assert_browses(&directory, &waypoints, &log, &oldest_first(1..=60, 60, 132 + 263), &[1, 2]);
    assert_browses(&directory, &waypoints, &log, &newest_first(0..=2, 60, 132 + 262), &[2]);

    log.sync().unwrap();
    assert!(log.cut_before(40).unwrap() > 0);
    let oldest = log.first_sequence().unwrap();
    assert!(oldest > 20, "{oldest}");
    let left: Vec<u64> = (oldest..=60).collect();
    assert_browses(&directory, &waypoints, &log, &oldest_first(1..=60, 60, many), &left);
    assert_browses(&directory, &waypoints, &log, &newest_first(0..=oldest + 1, 60, many), &[oldest + 1, oldest]);
    assert_browses(&directory, &waypoints, &log, &newest_first(0..=oldest - 1, 60, many), &[]);
    assert_eq!(directory.browse(log.id(), &newest_first(0..=60, 1, many), &waypoints).unwrap().oldest, oldest);
}

#[test]
fn damage_is_named_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let directory = directory(dir.path());
    let mut log = directory.begin(Beginning::genesis()).unwrap();
    append(&mut log, 5);
    let path = dir.path().join(segment::file_name(1));
    let whole = std::fs::read(&path).unwrap();
    let third =
        directory.browse(log.id(), &oldest_first(3..=3, 1, 0), &Waypoints::default()).unwrap().records[0].offset;
    let browse = |wanted: &Wanted| directory.browse(log.id(), wanted, &Waypoints::default());
    // In the payload, the sequence, the length, the magic, the checksum.
    for byte in [120, 41, 8, 1, 5] {
        let mut bytes = whole.clone();
        bytes[third as usize + byte] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        match browse(&oldest_first(1..=5, 5, 1 << 20)) {
            Err(LogError::Damaged { path: at, offset, .. }) => assert_eq!((&at, offset), (&path, third), "{byte}"),
            other => panic!("{byte}: {other:?}"),
        }
        assert_eq!(browse(&oldest_first(1..=2, 5, 1 << 20)).unwrap().records.len(), 2);
    }
    std::fs::write(&path, &whole).unwrap();
    // What was never written is no record, and neither is one of another log.
    assert!(matches!(browse(&oldest_first(6..=6, 1, 0)), Err(LogError::Damaged { .. })));
    assert!(directory.browse(LogId([9; 16]), &oldest_first(1..=5, 5, 1 << 20), &Waypoints::default()).is_err());
}

#[test]
fn later_ways_begin_where_earlier_ones_have_passed() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::new(Arc::new(RealDisk), dir.path().to_owned());
    let waypoints = Waypoints::default();
    let mut log = directory.begin(Beginning::genesis()).unwrap();
    append(&mut log, 5_000);
    assert_eq!(directory.segments().unwrap().len(), 1, "so that there is one way");
    let ask = |sequence: u64, waypoints: &Waypoints| {
        let browsed = directory.browse(log.id(), &oldest_first(sequence..=5_000, 1, 0), waypoints).unwrap();
        assert_eq!(browsed.records[0].sequence, sequence);
        browsed.records[0].offset
    };
    let way_to = |sequence: u64| {
        let (begins_with, begins_at) = waypoints.nearest(1, sequence);
        let offset = ask(sequence, &Waypoints::default());
        assert!(begins_with <= sequence && begins_at <= offset, "{sequence}");
        offset - begins_at
    };
    let window = WINDOW_BYTES as u64;
    ask(2_000, &waypoints);
    assert!(way_to(4_999) > 8 * window, "nobody has been there");
    ask(4_999, &waypoints);
    for sequence in (1..=5_000).rev().step_by(37) {
        assert!(way_to(sequence) < 2 * window, "{sequence}");
        ask(sequence, &waypoints);
    }
    let kept = |sequence| waypoints.nearest(1, sequence) != (1, segment::HEADER_BYTES as u64);
    assert!(kept(4_999) && !kept(2));
    waypoints.forget_before(2);
    assert!(!kept(4_999), "its segment was cut");
}
