//! Damage, and what is none.

use std::path::{Path, PathBuf};

use super::super::segment::HEADER_BYTES;
use super::super::{JournalError, JournalReader};
use super::{DIR, click, id, links, open, read_behind, segments};
use crate::log::disk::simulated::SimulatedDisk;
use crate::log::disk::{Access, Disk};

fn first() -> PathBuf {
    Path::new(DIR).join("0000000000000001.clicks")
}

/// Links 1 to 10, each synced for itself, all in one file.
fn ten() -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(0, 0)).unwrap();
    for link in 1..=10 {
        journal.put(click(link));
        journal.sync().unwrap();
    }
    assert_eq!(segments(&disk), [first()]);
    disk
}

/// A disk with this as its first file.
fn disk_with(content: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    disk.create_dir(Path::new(DIR)).unwrap();
    let file = disk.open(&first(), Access::Create).unwrap();
    file.write_all_at(content, 0).unwrap();
    file.sync().unwrap();
    Path::new(DIR).ancestors().for_each(|dir| disk.sync_dir(dir).unwrap());
    disk
}

#[track_caller]
fn damage_offset(disk: &SimulatedDisk) -> u64 {
    let error = open(disk, id(0, 0)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(".clicks is damaged at offset ") && text.contains("move it away"), "{text}");
    let JournalError::Damaged { offset, .. } = error else { panic!("{error}") };
    offset
}

#[test]
fn every_flipped_bit_is_found_unless_it_may_be_a_torn_write() {
    let disk = ten();
    let bytes = disk.content(&first()).unwrap().len() as u64;
    let frame_bytes = (bytes - HEADER_BYTES) / 10;
    for offset in 0..bytes {
        for bit in 0..8 {
            disk.flip_bit_at(&first(), offset, bit);
            if offset < HEADER_BYTES {
                damage_offset(&disk);
            } else if offset >= bytes - frame_bytes {
                let journal = open(&disk, id(0, 0)).unwrap();
                assert_eq!(links(&read_behind(&journal, id(0, 0))), (1..=9).collect::<Vec<_>>());
            } else {
                let frame = (offset - HEADER_BYTES) / frame_bytes;
                assert_eq!(damage_offset(&disk), HEADER_BYTES + frame * frame_bytes);
            }
            disk.flip_bit_at(&first(), offset, bit);
        }
    }
    open(&disk, id(0, 0)).unwrap();
}

#[test]
fn a_tail_that_is_torn_at_any_length_is_passed_over() {
    let whole = ten().content(&first()).unwrap();
    let frame_bytes = (whole.len() - HEADER_BYTES as usize) / 10;
    for bytes in 0..whole.len() {
        for is_zero in [false, true] {
            let mut torn = whole[..bytes].to_vec();
            if is_zero {
                torn.resize(whole.len(), 0);
            }
            let disk = disk_with(&torn);
            if torn.get(..HEADER_BYTES as usize) != Some(&whole[..HEADER_BYTES as usize]) {
                damage_offset(&disk);
                continue;
            }
            let mut journal = open(&disk, id(0, 0)).unwrap();
            // The last bytes of a frame may be zeros themselves.
            let frame = |number: &usize| {
                let start = HEADER_BYTES as usize + number * frame_bytes;
                torn.get(start..start + frame_bytes) == Some(&whole[start..start + frame_bytes])
            };
            let frames = (0..10).take_while(frame).count() as u64;
            journal.put(click(99));
            journal.sync().unwrap();
            let expected: Vec<u64> = (1..=frames).chain([99]).collect();
            assert_eq!(links(&read_behind(&journal, id(0, 0))), expected);
            // And again, with a file behind it.
            drop(journal);
            disk.crash();
            assert_eq!(links(&read_behind(&open(&disk, id(0, 0)).unwrap(), id(0, 0))), expected);
        }
    }
}

#[test]
fn a_part_of_one_write_is_torn_however_it_lies() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(0, 0)).unwrap();
    (1..=10).for_each(|link| journal.put(click(link)));
    journal.sync().unwrap();
    let whole = disk.content(&first()).unwrap();
    let frame_bytes = (whole.len() - HEADER_BYTES as usize) / 10;
    for gap in 0..10 {
        let mut torn = whole.clone();
        let at = HEADER_BYTES as usize + gap * frame_bytes;
        torn[at..at + frame_bytes].fill(0);
        let journal = open(&disk_with(&torn), id(0, 0)).unwrap();
        assert_eq!(links(&read_behind(&journal, id(0, 0))), (1..=gap as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_file_that_was_durable_further_than_it_goes_is_damaged() {
    let disk = SimulatedDisk::new(0);
    let mut journal = open(&disk, id(0, 0)).unwrap();
    while segments(&disk).len() < 2 {
        journal.put(click(1));
        journal.sync().unwrap();
    }
    let bytes = disk.content(&first()).unwrap().len() as u64;
    disk.open(&first(), Access::Write).unwrap().set_bytes(bytes - 1).unwrap();
    assert!(damage_offset(&disk) < bytes);
    // The way out that the message tells.
    disk.remove(&first()).unwrap();
    let journal = open(&disk, id(0, 0)).unwrap();
    assert_eq!(read_behind(&journal, id(0, 0)).len(), 1);
}

#[test]
fn damage_while_it_is_read_is_found_and_goes_away_with_its_cause() {
    let disk = ten();
    let journal = open(&disk, id(0, 0)).unwrap();
    let mut reader = JournalReader::new(&journal, id(1, 0));
    disk.flip_bit_at(&first(), HEADER_BYTES + 20, 3);
    for _ in 0..3 {
        let error = reader.next().unwrap_err();
        assert!(matches!(error, JournalError::Damaged { offset: HEADER_BYTES, .. }), "{error}");
        // What was read stays read; whoever goes on has another reader.
        reader = JournalReader::new(&journal, id(1, 0));
    }
    disk.flip_bit_at(&first(), HEADER_BYTES + 20, 3);
    disk.fail_read_in(2);
    assert!(matches!(reader.next().unwrap_err(), JournalError::Io { action: "reading", .. }));
    assert_eq!(links(&super::read(&mut reader)), (1..=10).collect::<Vec<_>>());
}

#[test]
fn files_of_something_else_are_refused() {
    assert_eq!(damage_offset(&disk_with(b"")), 0);
    assert_eq!(damage_offset(&disk_with(&[0; 64])), 0);
    assert_eq!(damage_offset(&disk_with(&[b'x'; 640])), 0);

    let mut content = ten().content(&first()).unwrap();
    content[8] = 2;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&content[..12]), &content[16..64]);
    content[12..16].copy_from_slice(&checksum.to_le_bytes());
    let error = open(&disk_with(&content), id(0, 0)).unwrap_err().to_string();
    assert!(error.contains("format is 2, and 1 is read"), "{error}");

    // A file under another's name, and one of another data directory.
    let disk = ten();
    disk.rename(&first(), &Path::new(DIR).join("0000000000000002.clicks")).unwrap();
    assert_eq!(damage_offset(&disk), 40);
    let mut journal = open(&disk_with(&ten().content(&first()).unwrap()), id(0, 0)).unwrap();
    journal.put(click(1));
    let disk = ten();
    let second = Path::new(DIR).join("0000000000000002.clicks");
    let other = SimulatedDisk::new(1);
    for _ in 0..2 {
        let mut journal = open(&other, id(0, 0)).unwrap();
        journal.put(click(1));
        journal.sync().unwrap();
    }
    let content = other.content(&second).unwrap();
    disk.open(&second, Access::Create).unwrap().write_all_at(&content, 0).unwrap();
    assert_eq!(damage_offset(&disk), 16);
}
