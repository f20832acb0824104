//! What a disk or a person may do to a file.

use super::*;

/// Reads what must not be taken for whole. What was given out nevertheless must be the beginning of what is true.
#[track_caller]
fn refuse(bytes: &[u8], truth: &Contents) -> SnapshotError {
    let (contents, ended) = read(bytes);
    assert!(truth.starts_with(&contents), "other entries were given out");
    ended.expect_err("the damage was not found")
}

/// The same, where the damage begins at this offset.
#[track_caller]
fn refuse_at(bytes: &[u8], truth: &Contents, at_offset: usize) {
    match refuse(bytes, truth) {
        SnapshotError::Damaged { path, offset, .. } => assert_eq!((&*path, offset), (PATH.as_ref(), at_offset as u64)),
        error => panic!("{error}"),
    }
}

fn snapshots() -> Vec<(Vec<u8>, Contents)> {
    let none = Contents::new();
    vec![
        (write(&header(), &some(), SMALL).0, some()),
        (write(&header(), &some(), CHUNK_BYTES).0, some()),
        (write(&header(), &none, CHUNK_BYTES).0, none),
    ]
}

#[test]
fn every_flipped_bit_is_found() {
    for (bytes, truth) in snapshots() {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = refuse(&damaged, &truth);
            match bit / 8 {
                0..8 => assert!(matches!(error, SnapshotError::NotASnapshot { .. }), "{bit}: {error}"),
                8..12 => assert!(matches!(error, SnapshotError::OtherVersion { .. }), "{bit}: {error}"),
                at => {
                    let begin = chunks(&bytes).iter().rfind(|chunk| chunk.start <= at).map_or(0, |chunk| chunk.start);
                    let SnapshotError::Damaged { offset, .. } = error else { panic!("{bit}: {error}") };
                    assert_eq!(offset, begin as u64, "{bit}");
                }
            }
        }
    }
}

#[test]
fn a_file_that_ends_early_anywhere_is_found() {
    for (bytes, truth) in snapshots() {
        for end in 0..bytes.len() {
            let begin = chunks(&bytes).iter().rfind(|chunk| chunk.start <= end).map_or(0, |chunk| chunk.start);
            refuse_at(&bytes[..end], &truth, begin);
            // Zeros where the rest was, as after a crash.
            let mut zeroed = bytes.clone();
            zeroed[end..].fill(0);
            if zeroed != bytes {
                refuse(&zeroed, &truth);
            }
        }
    }
}

#[test]
fn what_stands_behind_the_manifest_is_found() {
    for (bytes, truth) in snapshots() {
        let last = chunks(&bytes).pop().unwrap();
        for behind in [&[0][..], b"\n", &[0; 4096], &bytes, &bytes[last]] {
            refuse_at(&[&bytes, behind].concat(), &truth, bytes.len());
        }
    }
}

#[test]
fn chunks_out_of_their_place_are_found() {
    let (bytes, truth) = snapshots().swap_remove(0);
    let chunks = chunks(&bytes);
    assert!(chunks.len() >= 4);
    let assemble = |order: &[usize]| {
        let mut moved = bytes[..HEADER_BYTES].to_vec();
        order.iter().for_each(|&chunk| moved.extend_from_slice(&bytes[chunks[chunk].clone()]));
        moved
    };
    let order: Vec<usize> = (0..chunks.len()).collect();
    assert_eq!(assemble(&order), bytes);
    for (chunk, range) in chunks.iter().enumerate() {
        let mut lost = order.clone();
        lost.remove(chunk);
        refuse_at(&assemble(&lost), &truth, range.start);
        let mut doubled = order.clone();
        doubled.insert(chunk, chunk);
        refuse_at(&assemble(&doubled), &truth, range.end);
        for (other, earlier) in chunks[..chunk].iter().enumerate() {
            let mut swapped = order.clone();
            swapped.swap(chunk, other);
            refuse_at(&assemble(&swapped), &truth, earlier.start);
        }
    }
}

#[test]
fn chunks_of_another_snapshot_are_found() {
    let (bytes, truth) = snapshots().swap_remove(0);
    // Taken of the same state a millisecond later, and of another log.
    let later = SnapshotHeader { taken_at_ms: header().taken_at_ms + 1, ..header() };
    let elsewhere = SnapshotHeader { log_id: LogId([8; 16]), ..header() };
    for other in [later, elsewhere] {
        let (other, _) = write(&other, &truth, SMALL);
        assert_eq!(chunks(&other), chunks(&bytes));
        // The header, which says of all chunks that they are foreign, and each chunk.
        let replaced = [&other[..HEADER_BYTES], &bytes[HEADER_BYTES..]].concat();
        refuse_at(&replaced, &truth, HEADER_BYTES);
        for chunk in chunks(&bytes) {
            let mut replaced = bytes.clone();
            replaced[chunk.clone()].copy_from_slice(&other[chunk.clone()]);
            refuse_at(&replaced, &truth, chunk.start);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        prop_assert!(verify(&bytes[..], Path::new(PATH)).is_err());
        let behind_a_header = [&header().encode()[..], &bytes].concat();
        prop_assert!(verify(&behind_a_header[..], Path::new(PATH)).is_err());
    }

    #[test]
    fn overwritten_bytes_are_found(at: prop::sample::Index, with in prop::collection::vec(any::<u8>(), 1..200)) {
        let (bytes, truth) = snapshots().swap_remove(0);
        let at = at.index(bytes.len());
        let mut damaged = bytes.clone();
        damaged.iter_mut().skip(at).zip(&with).for_each(|(byte, with)| *byte = *with);
        if damaged != bytes {
            refuse(&damaged, &truth);
        }
    }
}

#[test]
fn each_message_says_where_and_what_to_do() {
    let (bytes, truth) = snapshots().swap_remove(0);
    let message = |bytes: &[u8]| refuse(bytes, &truth).to_string();
    let cut = message(&bytes[..200]);
    assert!(cut.starts_with("the snapshot backup.snapshot is damaged at offset 128: the file ends within"), "{cut}");
    assert!(cut.contains("Use another copy of it") && cut.ends_with("take a new one."), "{cut}");
    assert_eq!(
        message(b"source,target"),
        "backup.snapshot does not begin like a snapshot of carom. Give the path of a file that carom wrote as one."
    );
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert_eq!(
        message(&newer),
        "the snapshot backup.snapshot has format 2; this version of carom reads format 1. Run the version that wrote \
         it, or a later one."
    );
}
