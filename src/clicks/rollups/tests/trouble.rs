//! Stores that fail, months that are damaged, and clocks that are wrong.

use super::super::super::batch::{Entry, WindowId};
use super::super::super::stats::{Stats, StatsError, Subject, TimeRange};
use super::super::calendar::DAY_S;
use super::store::Files;
use super::{clicks, config, key_of, open};

/// 2026-10-15 and 2026-11-15.
const OCTOBER_S: u64 = 1_792_022_400;
const NOVEMBER_S: u64 = OCTOBER_S + 31 * DAY_S;

const EVER: TimeRange = TimeRange { from_s: 0, to_s: u64::MAX };
const OF_OCTOBER: TimeRange = TimeRange { from_s: OCTOBER_S - DAY_S, to_s: OCTOBER_S + DAY_S };
const OF_NOVEMBER: TimeRange = TimeRange { from_s: NOVEMBER_S - DAY_S, to_s: NOVEMBER_S + DAY_S };

fn forget(number: u64, link: u64) -> Entry {
    Entry::Forget { id: WindowId { boot: 1, number }, link }
}

fn sum(stats: &Stats, link: u64, range: TimeRange) -> u64 {
    stats.totals(&Subject::Link(link), range).unwrap().0.sum()
}

#[test]
fn a_store_that_fails_while_names_wait_is_opened_again() {
    for good in 0..30 {
        let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
        let (mut rollups, stats) = open(&files, &config(&dir));
        rollups.apply(&clicks(1, OCTOBER_S, &[1])).unwrap();
        files.fail_after(Some(good));
        // They are counted, though their names can't be written.
        let mut taken = rollups.apply(&clicks(2, NOVEMBER_S, &[1, 2, 3, 4])).is_ok();
        taken &= rollups.apply(&clicks(3, OCTOBER_S, &[5, 6, 7, 8])).is_ok();
        assert!(taken && rollups.flush().is_err() || good > 4);
        files.fail_after(None);
        // A store that has failed does so until it is opened again: once for each month.
        assert!((0..3).any(|_| rollups.flush().is_ok()), "{good}");
        assert_eq!(rollups.position(), WindowId { boot: 1, number: 3 });
        drop((rollups, stats));
        files.crash(&mut fastrand::Rng::with_seed(good as u64));
        let (_rollups, stats) = open(&files, &config(&dir));
        let top = stats.top(&Subject::All, EVER, 10).unwrap();
        assert_eq!(top.iter().map(|link| link.clicks).sum::<u64>(), 9);
        assert!(top.len() == 8 && top.iter().all(|link| link.key == key_of(link.link)), "{good}: {top:?}");
    }
}

#[test]
fn maintaining_and_deleting_go_on_once_a_store_works_again() {
    let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
    let (mut rollups, stats) = open(&files, &config(&dir));
    rollups.apply(&clicks(1, OCTOBER_S, &[1, 2])).unwrap();
    rollups.flush().unwrap();
    files.fail_after(Some(0));
    let now_s = NOVEMBER_S + 40 * DAY_S;
    assert!((0..9).any(|_| rollups.maintain(now_s).is_err()));
    assert!(rollups.apply(&forget(2, 1)).is_err());
    files.fail_after(None);
    (0..9).for_each(|_| drop(rollups.maintain(now_s)));
    rollups.maintain(now_s).unwrap();
    assert!((0..2).any(|_| rollups.apply(&forget(2, 1)).is_ok()));
    assert_eq!((sum(&stats, 1, EVER), sum(&stats, 2, EVER)), (0, 1));
    assert_eq!(stats.totals(&Subject::Link(2), EVER).unwrap().1, crate::clicks::Granularity::Day);
}

#[test]
fn a_damaged_month_keeps_nobody_from_counting_asking_and_deleting_in_others() {
    let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
    let config = config(&dir);
    let (mut rollups, stats) = open(&files, &config);
    rollups.apply(&clicks(1, OCTOBER_S, &[1, 2])).unwrap();
    rollups.apply(&clicks(2, NOVEMBER_S, &[1, 2])).unwrap();
    rollups.flush().unwrap();
    drop((rollups, stats));
    files.damage(config.dir.join("2026-10"));

    let (mut rollups, stats) = open(&files, &config);
    let notes = rollups.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("2026-10: a table is cut short. Stop carom and move"), "{notes:?}");
    assert!(rollups.take_notes().is_empty());
    let of_october = stats.totals(&Subject::All, OF_OCTOBER);
    assert!(matches!(of_october, Err(StatsError::Damaged { .. })), "{of_october:?}");
    assert_eq!(sum(&stats, 1, OF_NOVEMBER), 1);

    // It is told that some of it can't be deleted, and it is not tried for ever.
    assert!(matches!(rollups.apply(&forget(3, 1)), Err(StatsError::Damaged { .. })));
    rollups.apply(&forget(3, 1)).unwrap();
    assert_eq!((sum(&stats, 1, OF_NOVEMBER), sum(&stats, 2, OF_NOVEMBER)), (0, 1));
    // A link whose name only the damaged month may have.
    let mut nameless = clicks(4, NOVEMBER_S, &[2, 9]);
    if let Entry::Window(window) = &mut nameless {
        window.batch.names.clear();
    }
    rollups.apply(&nameless).unwrap();
    rollups.flush().unwrap();
    assert_eq!((sum(&stats, 2, OF_NOVEMBER), sum(&stats, 9, OF_NOVEMBER)), (2, 1));
    (0..9).for_each(|_| rollups.maintain(NOVEMBER_S + 9 * DAY_S).unwrap());

    // What counts in it waits.
    assert!(matches!(rollups.apply(&clicks(5, OCTOBER_S, &[1])), Err(StatsError::Damaged { .. })));
    assert_eq!(rollups.position(), WindowId { boot: 1, number: 4 });
}

#[test]
fn months_go_one_a_day_and_none_by_a_wrong_clock() {
    let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
    let mut config = config(&dir);
    config.months = 1;
    let left = config.dir.join("2026-01.deleted");
    std::fs::create_dir_all(left.join("tables")).unwrap();
    let (mut rollups, stats) = open(&files, &config);
    assert!(!left.exists());
    for number in 1..=4 {
        rollups.apply(&clicks(number, NOVEMBER_S - (4 - number) * 30 * DAY_S, &[number])).unwrap();
    }
    rollups.flush().unwrap();
    let months = || {
        let names = std::fs::read_dir(&config.dir).unwrap();
        let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // In ten years.
    (0..9).for_each(|day| rollups.maintain(NOVEMBER_S + (3_650 + day) * DAY_S).unwrap());
    assert_eq!(months(), ["2026-08", "2026-09", "2026-10", "2026-11"]);
    (0..9).for_each(|_| rollups.maintain(NOVEMBER_S).unwrap());
    assert_eq!(months(), ["2026-09", "2026-10", "2026-11"]);
    let notes = rollups.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("2026-08: clicks are kept for 1 months"), "{notes:?}");
    (0..9).for_each(|_| rollups.maintain(NOVEMBER_S + DAY_S).unwrap());
    assert_eq!(months(), ["2026-10", "2026-11"]);
    (2..9).for_each(|day| rollups.maintain(NOVEMBER_S + day * DAY_S).unwrap());
    assert_eq!(months(), ["2026-10", "2026-11"]);
    assert_eq!((sum(&stats, 1, EVER), sum(&stats, 4, EVER)), (0, 1));

    // What comes that late begins no month, and is told.
    rollups.apply(&clicks(5, NOVEMBER_S - 90 * DAY_S, &[1, 2])).unwrap();
    assert_eq!((rollups.take_late_clicks(), rollups.take_late_clicks()), (2, 0));
    rollups.flush().unwrap();
    assert_eq!(months(), ["2026-10", "2026-11"]);
}

#[test]
fn ids_behind_all_that_is_known_are_counted_also_when_the_journal_is_gone() {
    let mut behind = 0;
    for good in 0..30 {
        let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
        let (mut rollups, stats) = open(&files, &config(&dir));
        let entry = |boot: u64, number: u64, time_s| match clicks(number, time_s, &[number]) {
            Entry::Window(window) => {
                Entry::Window(crate::clicks::Window { id: WindowId { boot, number }, batch: window.batch })
            }
            forget @ Entry::Forget { .. } => forget,
        };
        rollups.apply(&entry(1, 1, OCTOBER_S)).unwrap();
        rollups.flush().unwrap();
        files.fail_after(Some(good));
        let _ = rollups.apply(&entry(7, 2, OCTOBER_S));
        let _ = rollups.apply(&entry(7, 3, NOVEMBER_S));
        let _ = rollups.flush();
        drop((rollups, stats));
        files.crash(&mut fastrand::Rng::with_seed(good as u64));

        let (mut rollups, stats) = open(&files, &config(&dir));
        behind += u32::from(rollups.highest().boot > rollups.position().boot);
        let boot = rollups.highest().boot + 1;
        rollups.apply(&entry(boot, 4, OCTOBER_S)).unwrap();
        rollups.apply(&entry(boot, 5, NOVEMBER_S)).unwrap();
        rollups.flush().unwrap();
        assert_eq!((sum(&stats, 4, EVER), sum(&stats, 5, EVER)), (1, 1), "{good}");
    }
    assert!(behind > 0);
}
