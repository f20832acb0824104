use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use tempfile::tempdir;

use super::*;

/// A time in the middle of a day.
const NOON_S: u64 = 20_000 * DAY_S + DAY_S / 2;

fn open(dir: &Path, now_s: u64) -> VisitorKeys {
    let (keys, notes) = VisitorKeys::open(dir, now_s).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    keys
}

fn saved(dir: &Path) -> DayKey {
    file::decode(&fs::read(dir.join(file::NAME)).unwrap(), dir).unwrap()
}

#[test]
fn a_visitor_stays_the_same_over_a_restart_on_the_same_day() {
    let dir = tempdir().unwrap();
    let dir = dir.path().join("clicks");
    let address = "203.0.113.9".parse().unwrap();
    let first = open(&dir, NOON_S).current(NOON_S);
    let again = open(&dir, NOON_S + 60).current(NOON_S + 61);
    assert_eq!(first.visitor(address, 7), again.visitor(address, 7));
    assert_eq!(first.day, 20_000);
    let mode = fs::metadata(dir.join(file::NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn at_the_turn_of_the_day_the_key_is_replaced_here_and_on_the_disk() {
    let dir = tempdir().unwrap();
    let keys = open(dir.path(), NOON_S);
    let old = keys.current(NOON_S);
    assert!(keys.save_if_changed(NOON_S).is_none(), "nothing has changed");

    let new = keys.current(NOON_S + DAY_S);
    assert!(new.day == old.day + 1 && new.key != old.key);
    assert!(keys.current(NOON_S + DAY_S) == new);
    assert!(saved(dir.path()) == old, "to take a key waits for no disk");
    assert!(matches!(keys.save_if_changed(NOON_S + DAY_S), Some(Ok(()))));
    assert!(keys.save_if_changed(NOON_S + DAY_S).is_none());
    assert!(saved(dir.path()) == new);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [file::NAME], "the old key is nowhere");
}

#[test]
fn a_key_of_another_day_is_not_used_after_a_restart() {
    let dir = tempdir().unwrap();
    let old = open(dir.path(), NOON_S).current(NOON_S);
    let new = open(dir.path(), NOON_S + DAY_S).current(NOON_S + DAY_S);
    assert!(new.key != old.key);
    assert!(saved(dir.path()) == new);
}

#[test]
fn a_clock_that_goes_back_keeps_the_newest_key_for_a_day_and_no_longer() {
    let dir = tempdir().unwrap();
    let keys = open(dir.path(), NOON_S);
    let today = keys.current(NOON_S);
    assert!(keys.current(NOON_S - DAY_S) == today);
    assert!(open(dir.path(), NOON_S - DAY_S).current(NOON_S - DAY_S) == today);
    // A clock that was years ahead must not give one key to all days until then.
    let past = keys.current(NOON_S - 2 * DAY_S);
    assert!(past.day == today.day - 2 && past.key != today.key);
    assert!(keys.current(0).day == 0);
}

#[test]
fn a_file_that_is_of_no_use_is_told_and_replaced() {
    let dir = tempdir().unwrap();
    let old = open(dir.path(), NOON_S).current(NOON_S);
    let path = dir.path().join(file::NAME);
    let good = fs::read(&path).unwrap();
    let mut other = good.clone();
    other[8] = 9;
    for (bytes, message) in [
        (&b""[..], "visitor.key is damaged at offset 0: it does not begin with CAROMVIS"),
        (&good[..9], "visitor.key is damaged at offset 9: the version is missing"),
        (&good[..40], "visitor.key is damaged at offset 40: it has 40 bytes instead of 56"),
        (&[&good[..], b"x"].concat(), "visitor.key is damaged at offset 56: it has 57 bytes"),
        (&other, "visitor.key was written by another version of carom: its format is 9, and 1 is read"),
    ] {
        fs::write(&path, bytes).unwrap();
        let (keys, notes) = VisitorKeys::open(dir.path(), NOON_S).unwrap();
        assert!(notes.len() == 1 && notes[0].to_string().contains(message), "{notes:?}");
        assert!(keys.current(NOON_S).key != old.key);
        assert!(saved(dir.path()) == keys.current(NOON_S), "the next start finds a good one");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let key = DayKey { day: 20_000, key: [0xa5; KEY_BYTES] };
    let good = file::encode(&key);
    for bit in 0..8 * good.len() {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(file::decode(&bytes, Path::new("visitor.key")).is_err(), "bit {bit}");
    }
}

#[test]
fn a_disk_that_fails_hinders_nothing_and_is_tried_again_after_a_minute() {
    let dir = tempdir().unwrap();
    // A file where the directory should be.
    let blocked = dir.path().join("clicks");
    fs::write(&blocked, "").unwrap();
    let (keys, notes) = VisitorKeys::open(&blocked, NOON_S).unwrap();
    assert_eq!(notes.len(), 2, "reading and writing: {notes:?}");
    assert!(notes[1].to_string().contains("a key that is only in memory"), "{}", notes[1]);
    let key = keys.current(NOON_S);
    assert!(keys.current(NOON_S + 1) == key);

    assert!(keys.save_if_changed(NOON_S + 59).is_none(), "it was told");
    assert!(matches!(keys.save_if_changed(NOON_S + 60), Some(Err(VisitorKeyError::Io { .. }))));
    fs::remove_file(&blocked).unwrap();
    assert!(keys.save_if_changed(NOON_S + 119).is_none());
    assert!(matches!(keys.save_if_changed(NOON_S + 120), Some(Ok(()))));
    assert!(saved(&blocked) == key);
}

#[test]
fn what_a_crash_left_of_a_save_is_no_matter() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("visitor.key.new"), "half").unwrap();
    let keys = open(dir.path(), NOON_S);
    assert!(saved(dir.path()) == keys.current(NOON_S));
}

#[test]
fn who_counts_as_the_same() {
    let key = DayKey { day: 1, key: [1; KEY_BYTES] };
    let of = |address: &str, agent| key.visitor(address.parse().unwrap(), agent);
    assert_eq!(of("203.0.113.9", 7), of("::ffff:203.0.113.9", 7));
    assert_eq!(of("2001:db8:1:2:3::4", 7), of("2001:db8:1:2::9", 7), "one household");
    let different = [
        of("203.0.113.9", 7),
        of("203.0.113.9", 8),
        of("203.0.113.8", 7),
        of("2001:db8:1:2::9", 7),
        of("2001:db8:1:3::9", 7),
        DayKey { day: 2, key: [2; KEY_BYTES] }.visitor("203.0.113.9".parse().unwrap(), 7),
    ];
    assert_eq!(different.iter().collect::<HashSet<_>>().len(), different.len());
}

#[test]
fn numbers_are_spread_over_all_their_bits() {
    let key = DayKey { day: 1, key: [3; KEY_BYTES] };
    let numbers: HashSet<_> = (0..20_000).map(|bits| key.visitor(Ipv4Addr::from_bits(bits).into(), 0)).collect();
    // Two of them are the same with a chance of 1 in 5,000; the key is fixed.
    assert_eq!(numbers.len(), 20_000);
    for bit in 0..64 {
        let set = numbers.iter().filter(|visitor| visitor.0 >> bit & 1 == 1).count();
        let expected = if bit < Visitor::BITS { 9_500..10_500 } else { 0..1 };
        assert!(expected.contains(&set), "bit {bit} is set in {set}");
    }
}

proptest! {
    #[test]
    fn a_key_comes_back_from_the_disk(day: u64, key: [u8; KEY_BYTES]) {
        let key = DayKey { day, key };
        prop_assert!(file::decode(&file::encode(&key), Path::new("visitor.key")).unwrap() == key);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let with_magic = [b"CAROMVIS\x01\0\0\0", &bytes[..]].concat();
        prop_assert!(file::decode(&bytes, Path::new("visitor.key")).is_err());
        prop_assert!(file::decode(&with_magic, Path::new("visitor.key")).is_err());
    }

    #[test]
    fn a_household_is_one_visitor(network: u64, one: u64, other: u64) {
        let key = DayKey { day: 1, key: [4; KEY_BYTES] };
        let of = |host| key.visitor(Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host)).into(), 0);
        // Those below ::ffff:0:0/96 are IPv4.
        prop_assume!(network != 0);
        prop_assert_eq!(of(one), of(other));
    }
}
