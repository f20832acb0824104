use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::*;

const SECTOR: usize = SECTOR_BYTES;

/// Enough for every combination that a test waits for.
const SEEDS: u64 = 400;

const DIR: &str = "/log";

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// A disk with a directory that is durable.
fn disk(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    disk.create_dir(DIR.as_ref()).unwrap();
    disk.sync_dir("/".as_ref()).unwrap();
    disk
}

/// A new file with this content.
fn create(disk: &SimulatedDisk, name: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.open(&path(name), Access::Create).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// A new file of which content and name are durable.
fn create_durable(disk: &SimulatedDisk, name: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = create(disk, name, bytes);
    file.sync().unwrap();
    disk.sync_dir(DIR.as_ref()).unwrap();
    file
}

fn names(disk: &SimulatedDisk) -> BTreeSet<String> {
    disk.list(DIR.as_ref()).unwrap().into_iter().map(|name| name.into_string().unwrap()).collect()
}

/// What is found over many seeds.
fn over_seeds<T: Ord>(run: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..SEEDS).map(run).collect()
}

/// The first byte of each sector, if each is of one kind; what a crash leaves of files that are written so.
fn sectors(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.chunks(SECTOR).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "a sector is torn");
    bytes.chunks(SECTOR).map(|sector| sector[0]).collect()
}

#[track_caller]
fn assert_errno<T>(result: io::Result<T>, errno: Errno) {
    assert_eq!(result.err().and_then(|error| error.raw_os_error()), Some(errno.raw_os_error()));
}

#[test]
fn what_is_written_is_read_at_any_offset() {
    let mut rng = Rng::with_seed(7);
    let disk = disk(7);
    let file = disk.open(&path("a"), Access::Create).unwrap();
    let mut model: Vec<u8> = Vec::new();
    for step in 0..2_000 {
        let (offset, bytes) = (rng.usize(0..3_000), vec![rng.u8(..); rng.usize(0..1_500)]);
        match rng.u8(0..12) {
            0 => {
                file.set_bytes(offset as u64).unwrap();
                model.resize(offset, 0);
            }
            1 => {
                file.allocate(offset as u64).unwrap();
                model.resize(model.len().max(offset), 0);
            }
            2 => file.sync().unwrap(),
            _ => {
                file.write_all_at(&bytes, offset as u64).unwrap();
                if !bytes.is_empty() {
                    model.resize(model.len().max(offset + bytes.len()), 0);
                    model[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
        assert_eq!(file.bytes().unwrap(), model.len() as u64);
        let mut read = vec![0xee; 700];
        let length = file.read_at(&mut read, offset as u64).unwrap();
        assert_eq!(&read[..length], &model[model.len().min(offset)..model.len().min(offset + 700)], "step {step}");
    }
    assert!(disk.content(&path("a")).unwrap() == model);
}

#[test]
fn what_is_synced_survives_every_crash() {
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let mut rng = Rng::with_seed(seed);
        let mut model = vec![0; 4 * SECTOR];
        let mut file = create_durable(&disk, "a", &model);
        for _ in 0..6 {
            let (offset, bytes) = (rng.usize(0..model.len()), vec![rng.u8(..); rng.usize(1..2_000)]);
            if rng.u8(0..4) == 0 {
                file.set_bytes(offset as u64).unwrap();
                model.truncate(offset);
            }
            file.write_all_at(&bytes, offset as u64).unwrap();
            model.resize(model.len().max(offset + bytes.len()), 0);
            model[offset..offset + bytes.len()].copy_from_slice(&bytes);
            file.sync().unwrap();
            if rng.bool() {
                disk.crash();
                file = disk.open(&path("a"), Access::Write).unwrap();
            }
        }
        disk.crash();
        assert!(disk.content(&path("a")).unwrap() == model, "seed {seed}");
    }
}

#[test]
fn a_crash_leaves_any_versions_of_the_sectors() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let file = create_durable(&disk, "a", &[1; 2 * SECTOR]);
        file.write_all_at(&[2; 2 * SECTOR], 0).unwrap();
        file.write_all_at(&[3; SECTOR], 0).unwrap();
        disk.crash();
        sectors(&disk.content(&path("a")).unwrap())
    });
    // The later sector without the earlier one among them.
    let all = [[1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 2]].map(Vec::from);
    assert_eq!(found, BTreeSet::from(all));
}

#[test]
fn a_crash_leaves_a_later_file_without_an_earlier_one() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let files = ["a", "b"].map(|name| create_durable(&disk, name, &[1; SECTOR]));
        files.iter().for_each(|file| file.write_all_at(&[2; SECTOR], 0).unwrap());
        disk.crash();
        ["a", "b"].map(|name| sectors(&disk.content(&path(name)).unwrap())[0])
    });
    assert_eq!(found, BTreeSet::from([[1, 1], [1, 2], [2, 1], [2, 2]]));
}

#[test]
fn a_crash_leaves_a_length_without_its_data_and_none_that_never_was() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let file = create_durable(&disk, "a", &[1; SECTOR]);
        file.write_all_at(&[2; 2 * SECTOR], SECTOR as u64).unwrap();
        disk.crash();
        sectors(&disk.content(&path("a")).unwrap())
    });
    let all: [&[u8]; 7] = [&[1], &[1, 0], &[1, 2], &[1, 0, 0], &[1, 2, 0], &[1, 0, 2], &[1, 2, 2]];
    assert_eq!(found, all.map(Vec::from).into());

    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let file = create_durable(&disk, "a", b"x");
        file.allocate(3 * SECTOR as u64).unwrap();
        disk.crash();
        disk.content(&path("a")).unwrap().len()
    });
    assert_eq!(found, BTreeSet::from([1, 3 * SECTOR]));
}

#[test]
fn what_was_cut_off_comes_back_only_if_the_cut_is_lost() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let file = create_durable(&disk, "a", &[1; 2 * SECTOR]);
        file.set_bytes(SECTOR as u64).unwrap();
        file.write_all_at(&[2; SECTOR], SECTOR as u64).unwrap();
        disk.crash();
        sectors(&disk.content(&path("a")).unwrap())
    });
    let all: [&[u8]; 4] = [&[1, 1], &[1], &[1, 0], &[1, 2]];
    assert_eq!(found, all.map(Vec::from).into());

    // Within a sector, the bytes behind the cut are zeros once the cut is kept.
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let file = create_durable(&disk, "a", &[1; 100]);
        file.set_bytes(40).unwrap();
        file.set_bytes(60).unwrap();
        disk.crash();
        let left = disk.content(&path("a")).unwrap();
        let kept = left.len() < 100;
        assert!([100, 40, 60].contains(&left.len()));
        assert!(left[..40].iter().all(|byte| *byte == 1));
        assert!(!kept || left[40..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_failed_sync_of_a_cut_leaves_both_sides_possible() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let file = create_durable(&disk, "a", &[1; 2 * SECTOR]);
        file.set_bytes(SECTOR as u64).unwrap();
        file.write_all_at(&[2; SECTOR], SECTOR as u64).unwrap();
        disk.fail_sync_in(1);
        assert_errno(file.sync(), Errno::IO);
        // In the room that the length has already, which this sync therefore does not write.
        file.write_all_at(&[3; SECTOR], SECTOR as u64).unwrap();
        file.sync().unwrap();
        disk.crash();
        sectors(&disk.content(&path("a")).unwrap())
    });
    let all: [&[u8]; 3] = [&[1, 1], &[1], &[1, 3]];
    assert_eq!(found, all.map(Vec::from).into());
}

#[test]
fn a_killed_process_loses_nothing_and_its_handles_are_dead() {
    for killed in [true, false] {
        let disk = disk(1);
        let file = create(&disk, "a", b"written");
        if killed {
            disk.crash_keeping_everything();
            assert_eq!(disk.content(&path("a")).unwrap(), b"written");
        } else {
            disk.crash();
        }
        let calls = disk.calls();
        assert_errno(file.bytes(), Errno::IO);
        assert_errno(file.read_at(&mut [0], 0), Errno::IO);
        assert_errno(file.write_at(&[0], 0), Errno::IO);
        assert_errno(file.set_bytes(0), Errno::IO);
        assert_errno(file.allocate(9), Errno::IO);
        assert_errno(file.sync(), Errno::IO);
        assert_eq!(disk.calls(), calls);
        create_durable(&disk, "b", b"new");
    }
    // It is not durable either.
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        create(&disk, "a", b"x");
        disk.crash_keeping_everything();
        disk.crash();
        disk.content(&path("a"))
    });
    assert_eq!(found, BTreeSet::from([None, Some(vec![]), Some(vec![0]), Some(b"x".to_vec())]));
}

#[test]
fn a_name_is_durable_once_its_directory_is_synced() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        for name in ["a", "b"] {
            create(&disk, name, b"x").sync().unwrap();
        }
        disk.crash();
        names(&disk).into_iter().collect::<String>()
    });
    assert_eq!(found, ["", "a", "ab"].map(String::from).into());

    for seed in 0..SEEDS {
        let disk = disk(seed);
        create_durable(&disk, "a", b"x");
        disk.crash();
        assert_eq!(disk.files(), [path("a")]);
        disk.remove(&path("a")).unwrap();
        assert!(disk.files().is_empty());
        disk.sync_dir(DIR.as_ref()).unwrap();
        disk.crash();
        assert!(disk.files().is_empty());
    }
    let removed = over_seeds(|seed| {
        let disk = disk(seed);
        create_durable(&disk, "a", b"x");
        disk.remove(&path("a")).unwrap();
        disk.crash();
        disk.content(&path("a"))
    });
    assert_eq!(removed, BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn a_directory_is_durable_once_the_one_above_is_synced() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        disk.create_dir(&path("x/y")).unwrap();
        disk.create_dir(&path("x/y")).unwrap();
        disk.sync_dir(&path("x")).unwrap();
        disk.crash();
        (disk.list(&path("x")).is_ok(), disk.list(&path("x/y")).is_ok())
    });
    assert_eq!(found, BTreeSet::from([(false, false), (true, true)]));
}

#[test]
fn a_rename_leaves_the_old_name_or_the_new_one_and_any_content() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        create_durable(&disk, "a", b"old");
        let file = create(&disk, "a.new", b"new");
        disk.rename(&path("a.new"), &path("a")).unwrap();
        assert_eq!((names(&disk).len(), disk.content(&path("a")).unwrap()), (1, b"new".to_vec()));
        assert_eq!(file.bytes().unwrap(), 3);
        disk.crash();
        (names(&disk).len(), disk.content(&path("a")).unwrap())
    });
    let (old, new) = (b"old".to_vec(), b"new".to_vec());
    let renamed = [vec![], vec![0; 3], new].map(|content| (1, content));
    let all = [(1, old.clone()), (2, old)].into_iter().chain(renamed).collect();
    assert_eq!(found, all);
}

#[test]
fn a_failed_sync_stays_in_doubt_though_later_ones_succeed() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let file = create_durable(&disk, "a", &[1; 3 * SECTOR]);
        file.write_all_at(&[2; 2 * SECTOR], 0).unwrap();
        disk.fail_sync_in(1);
        assert_errno(file.sync(), Errno::IO);
        assert_eq!(sectors(&disk.content(&path("a")).unwrap()), [2, 2, 1]);
        // What is written again, the next sync makes durable, and only that.
        file.write_all_at(&[3; SECTOR], SECTOR as u64).unwrap();
        disk.crash_keeping_everything();
        disk.open(&path("a"), Access::Write).unwrap().sync().unwrap();
        disk.crash();
        sectors(&disk.content(&path("a")).unwrap())
    });
    assert_eq!(found, BTreeSet::from([vec![1, 3, 1], vec![2, 3, 1]]));

    let found = over_seeds(|seed| {
        let disk = disk(seed);
        create(&disk, "a", b"").sync().unwrap();
        disk.fail_sync_in(1);
        assert_errno(disk.sync_dir(DIR.as_ref()), Errno::IO);
        create(&disk, "b", b"");
        disk.sync_dir(DIR.as_ref()).unwrap();
        disk.crash();
        names(&disk).into_iter().collect::<String>()
    });
    assert_eq!(found, ["b", "ab"].map(String::from).into());
}

#[test]
fn the_n_th_sync_change_or_read_fails() {
    let disk = disk(3);
    let file = create_durable(&disk, "a", b"content");
    disk.fail_sync_in(2);
    file.sync().unwrap();
    assert_errno(disk.sync_dir(DIR.as_ref()), Errno::IO);
    file.sync().unwrap();

    disk.fail_write_in(2);
    file.write_all_at(b"X", 0).unwrap();
    assert_errno(disk.rename(&path("a"), &path("b")), Errno::IO);
    assert_eq!(disk.files(), [path("a")]);
    disk.fail_write_in(1);
    assert_errno(disk.remove(&path("a")), Errno::IO);
    disk.fail_write_in(1);
    assert_errno(disk.open(&path("b"), Access::Create), Errno::IO);
    disk.fail_write_in(1);
    assert_errno(disk.open(&path("a"), Access::Create), Errno::IO);
    disk.fail_write_in(1);
    assert_errno(disk.create_dir(&path("b")), Errno::IO);
    disk.fail_write_in(1);
    assert_errno(file.set_bytes(0), Errno::IO);
    disk.fail_write_in(1);
    assert_errno(file.allocate(100), Errno::IO);
    assert_eq!(disk.content(&path("a")).unwrap(), b"Xontent");
    disk.fail_write_in(1);
    assert_errno(file.write_at(b"CONTENT", 0), Errno::IO);
    let written = disk.content(&path("a")).unwrap();
    assert!((0..=7).any(|length| [&b"CONTENT"[..length], &b"Xontent"[length..]].concat() == written));

    disk.fail_read_in(2);
    file.read_at(&mut [0], 0).unwrap();
    assert_errno(file.read_at(&mut [0], 0), Errno::IO);
    file.read_at(&mut [0], 0).unwrap();

    // A crash takes back what was still to come.
    disk.fail_read_in(1);
    disk.crash();
    disk.open(&path("a"), Access::Read).unwrap().read_at(&mut [0], 0).unwrap();
}

#[test]
fn a_full_disk_ends_a_write_at_any_byte() {
    for room in 0..=2 * SECTOR as u64 + 1 {
        let disk = disk(room);
        assert_eq!(disk.free_bytes(DIR.as_ref()).unwrap(), u64::MAX / 2);
        // The directory, the file, and its content.
        disk.set_capacity(Some(2 * ENTRY_BYTES + room));
        let file = disk.open(&path("a"), Access::Create).unwrap();
        assert_eq!(disk.free_bytes(DIR.as_ref()).unwrap(), room);
        let bytes = vec![5; room as usize + 1];
        let error = file.write_all_at(&bytes, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_errno(Err::<(), _>(error), Errno::NOSPC);
        assert_eq!(file.bytes().unwrap(), room);
        assert_eq!(disk.free_bytes(DIR.as_ref()).unwrap(), 0);
        // What has room can be written again, and what is cut off gives it back.
        file.write_all_at(&bytes[1..], 0).unwrap();
        file.set_bytes(room / 3).unwrap();
        assert_eq!(disk.free_bytes(DIR.as_ref()).unwrap(), room - room / 3);
        file.set_bytes(room).unwrap();
        assert_eq!(disk.free_bytes(DIR.as_ref()).unwrap(), room - room / 3);
        assert_errno(file.allocate(room + 1), Errno::NOSPC);
        file.allocate(room).unwrap();
        assert_eq!(disk.free_bytes(DIR.as_ref()).unwrap(), 0);
    }
}

#[test]
fn a_write_may_find_no_room_where_some_was_kept() {
    let found = over_seeds(|seed| {
        let disk = disk(seed);
        let file = create(&disk, "a", b"");
        file.allocate(3).unwrap();
        disk.fill_in(2);
        file.write_all_at(b"x", 0).unwrap();
        assert_errno(file.write_all_at(b"yz", 1), Errno::NOSPC);
        disk.content(&path("a")).unwrap()
    });
    assert_eq!(found, [b"x\0\0", b"xy\0", b"xyz"].map(Vec::from).into());
}

#[test]
fn a_file_takes_room_until_it_is_removed_and_closed() {
    let disk = disk(1);
    disk.set_capacity(Some(2 * ENTRY_BYTES + 100));
    let file = create(&disk, "a", &[1; 100]);
    assert_errno(disk.open(&path("b"), Access::Create), Errno::NOSPC);
    assert_errno(disk.create_dir(&path("b")), Errno::NOSPC);
    disk.remove(&path("a")).unwrap();
    let mut read = [0; 100];
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!((read, disk.free_bytes(DIR.as_ref()).unwrap()), ([1; 100], 0));
    drop(file);
    assert_eq!(disk.free_bytes(DIR.as_ref()).unwrap(), ENTRY_BYTES + 100);
    create(&disk, "b", &[1; 100]);
}

#[test]
fn short_io_gets_there_in_the_end() {
    for seed in 0..50 {
        let disk = disk(seed);
        disk.short_io(true);
        let file = disk.open(&path("a"), Access::Create).unwrap();
        let bytes: Vec<u8> = (0..3_000).map(|at| (at % 251) as u8).collect();
        file.write_all_at(&bytes, 10).unwrap();
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, 10).unwrap();
        assert!(read == bytes);
        assert_eq!(file.read_exact_at(&mut [0; 20], 3_000).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
    let disk = disk(1);
    let file = create(&disk, "a", &[1; 100]);
    disk.short_io(true);
    let outcomes: BTreeSet<_> =
        (0..SEEDS).map(|_| file.read_at(&mut [0; 3], 0).map_err(|error| error.kind())).collect();
    assert_eq!(outcomes, BTreeSet::from([Ok(1), Ok(2), Ok(3), Err(ErrorKind::Interrupted)]));
}

#[test]
fn a_bit_is_flipped_for_good() {
    let disk = disk(1);
    assert_eq!(disk.flip_bit(&mut Rng::with_seed(1), |_| true), None);
    create_durable(&disk, "a", &[0; 2]);
    create_durable(&disk, "b", &[0; SECTOR]).write_all_at(&[0; 2], 0).unwrap();
    let flips: BTreeSet<_> =
        (0..SEEDS).filter_map(|seed| disk.flip_bit(&mut Rng::with_seed(seed), |file| file.ends_with("a"))).collect();
    let all = (0..16).map(|bit| (path("a"), bit / 8, (bit % 8) as u8)).collect();
    assert_eq!(flips, all);
    disk.flip_bit_at(&path("b"), 1, 7);
    assert_eq!(disk.content(&path("b")).unwrap()[..2], [0, 0x80]);
    disk.crash();
    assert_eq!(disk.content(&path("b")).unwrap()[..2], [0, 0x80]);
}

#[test]
fn what_can_not_be_is_refused() {
    let disk = disk(1);
    let file = create_durable(&disk, "a", b"x");
    let reader = disk.open(&path("a"), Access::Read).unwrap();
    assert_errno(reader.write_at(b"y", 0), Errno::BADF);
    assert_errno(file.write_at(b"yy", u64::MAX), Errno::FBIG);
    assert_errno(disk.open(&path("b"), Access::Read), Errno::NOENT);
    assert_errno(disk.open(&path("b"), Access::Write), Errno::NOENT);
    assert_errno(disk.open(DIR.as_ref(), Access::Read), Errno::ISDIR);
    assert_errno(disk.open(&path("a/b"), Access::Create), Errno::NOTDIR);
    assert_errno(disk.open("/other/a".as_ref(), Access::Create), Errno::NOENT);
    assert_errno(disk.list("/other".as_ref()), Errno::NOENT);
    assert_errno(disk.list(&path("a")), Errno::NOTDIR);
    assert_errno(disk.create_dir(&path("a")), Errno::NOTDIR);
    assert_errno(disk.remove(&path("b")), Errno::NOENT);
    assert_errno(disk.remove(DIR.as_ref()), Errno::ISDIR);
    assert_errno(disk.rename(&path("b"), &path("a")), Errno::NOENT);
    assert_errno(disk.rename(&path("a"), "/a".as_ref()), Errno::XDEV);
    assert_errno(disk.rename(&path("a"), DIR.as_ref()), Errno::XDEV);
    assert_errno(disk.sync_dir("".as_ref()), Errno::NOENT);
    assert_errno(disk.sync_dir("..".as_ref()), Errno::INVAL);
    assert_eq!(disk.files(), [path("a")]);
    assert_eq!(format!("{disk:?}"), "SimulatedDisk { .. }");
}

/// What a program does that keeps one file up to date; how far it came.
fn program(disk: &SimulatedDisk) -> io::Result<()> {
    disk.create_dir(DIR.as_ref())?;
    disk.sync_dir("/".as_ref())?;
    for round in 1..=4 {
        let file = disk.open(&path("a.new"), Access::Create)?;
        file.allocate(2 * SECTOR as u64)?;
        file.write_all_at(&[round; 2 * SECTOR], 0)?;
        file.sync()?;
        disk.rename(&path("a.new"), &path("a"))?;
        disk.sync_dir(DIR.as_ref())?;
        let read = disk.open(&path("a"), Access::Read)?;
        read.read_exact_at(&mut [0; SECTOR], 0)?;
    }
    Ok(())
}

/// Everything on a disk.
fn everything(disk: &SimulatedDisk) -> Vec<(PathBuf, Vec<u8>)> {
    disk.files().into_iter().map(|path| (path.clone(), disk.content(&path).unwrap())).collect()
}

#[test]
fn it_can_go_down_in_any_call() {
    let calls = {
        let disk = SimulatedDisk::new(0);
        program(&disk).unwrap();
        disk.calls()
    };
    assert_eq!(calls, 2 + 4 * 8);
    for call in 1..=calls {
        for (seed, killed) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
            let disk = SimulatedDisk::new(seed);
            disk.crash_in(call);
            assert_errno(program(&disk), Errno::IO);
            assert_eq!(disk.calls(), call);
            assert!(disk.is_down());
            assert_errno(disk.list("/".as_ref()), Errno::IO);
            if killed {
                disk.crash_keeping_everything()
            } else {
                disk.crash()
            }
            assert!(!disk.is_down());
            // The rounds that were finished with the sync of the directory are there, or a later one, and whole.
            let finished = (call.saturating_sub(3)) / 8 + u64::from(call > 2 && (call - 3) % 8 > 5);
            match disk.content(&path("a")) {
                None => assert_eq!(finished, 0, "call {call}, seed {seed}"),
                Some(content) => {
                    let round = sectors(&content)[0];
                    assert!(content == [round; 2 * SECTOR] && u64::from(round) >= finished, "call {call}, seed {seed}");
                }
            }
            program(&disk).unwrap();
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_result() {
    let run = |seed| {
        let mut rng = Rng::with_seed(seed);
        let disk = SimulatedDisk::new(seed);
        disk.set_capacity(Some(rng.u64(2_000..9_000)));
        disk.short_io(rng.bool());
        let mut results = Vec::new();
        for _ in 0..5 {
            disk.crash_in(rng.u64(1..40));
            disk.fail_sync_in(rng.u64(1..20));
            results.push(format!("{:?}", program(&disk)));
            disk.crash();
            results.push(format!("{:?}", everything(&disk)));
        }
        (results, disk.calls())
    };
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed));
    }
    assert!(over_seeds(run).len() as u64 > SEEDS * 9 / 10);
}
