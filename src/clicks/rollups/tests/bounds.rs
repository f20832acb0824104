//! What happens at bounds, with age, and on disk.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::super::batch::{Batch, LinkCount, Visit, Visitor, Window, WindowId};
use super::super::super::stats::{Granularity, Stats, StatsError, Subject, TimeRange};
use super::super::calendar::DAY_S;
use super::super::{Rollups, RollupsConfig};
use super::store::Files;
use super::{Tags, clicks, config, host_of, key_of, open, tags_of};
use crate::clicks::Entry;

/// 2026-11-04.
const START_S: u64 = 1_793_750_400;

/// All of the time in question.
const EVER: TimeRange = TimeRange { from_s: START_S - 200 * DAY_S, to_s: START_S + 200 * DAY_S };

fn on_disk(config: &RollupsConfig) -> (Rollups, Stats) {
    Rollups::open(config.clone(), Arc::new(Tags)).unwrap()
}

fn granularity(stats: &Stats) -> Granularity {
    let (counts, granularity) = stats.totals(&Subject::All, EVER).unwrap();
    assert_eq!(counts.sum(), 3);
    granularity
}

#[test]
fn what_gets_old_gets_coarser_and_months_go() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let (mut rollups, stats) = on_disk(&config);
    rollups.apply(&clicks(1, START_S + 12_345, &[1, 2, 3])).unwrap();
    rollups.flush().unwrap();
    let age = |rollups: &mut Rollups, days| (0..10).for_each(|_| rollups.maintain(START_S + days * DAY_S).unwrap());
    for (days, expected) in
        [(1, Granularity::Minute), (3, Granularity::Quarter), (31, Granularity::Day), (430, Granularity::Month)]
    {
        age(&mut rollups, days);
        assert_eq!(granularity(&stats), expected, "after {days} days");
    }
    let month = config.dir.join("2026-11");
    age(&mut rollups, 60 * 30);
    assert!(month.exists());
    // The clock alone deletes nothing: clicks have to come in that time.
    age(&mut rollups, 62 * 31);
    assert!(month.exists());
    rollups.apply(&clicks(2, START_S + 61 * 31 * DAY_S, &[4])).unwrap();
    rollups.flush().unwrap();
    age(&mut rollups, 62 * 31);
    assert!(!month.exists());
    let until_then = TimeRange { to_s: START_S + 62 * 31 * DAY_S, ..EVER };
    assert_eq!(stats.totals(&Subject::All, until_then).unwrap().0.sum(), 1);
}

#[test]
fn a_store_on_disk_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let last = WindowId { boot: 1, number: 9 };
    let entries: Vec<Entry> =
        (1..=9).map(|number| clicks(number, START_S + number * 40 * DAY_S, &[number, 7])).collect();
    let (mut rollups, stats) = on_disk(&config);
    entries.iter().for_each(|entry| rollups.apply(entry).unwrap());
    assert_eq!(rollups.position(), WindowId::default());
    assert_eq!(rollups.flush().unwrap(), last);
    drop((rollups, stats));
    let (mut rollups, stats) = on_disk(&config);
    assert_eq!(rollups.position(), last);
    // They come again where the journal still has them.
    entries.iter().for_each(|entry| rollups.apply(entry).unwrap());
    let range = TimeRange { from_s: START_S, to_s: START_S + 400 * DAY_S };
    assert_eq!(stats.totals(&Subject::All, range).unwrap().0.sum(), 18);
    assert_eq!(stats.totals(&Subject::Link(7), range).unwrap().0.sum(), 10);
    assert_eq!(stats.top(&Subject::All, range, 1).unwrap()[0].key, key_of(7));
}

#[test]
fn a_link_that_is_forgotten_stays_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (files, config) = (Files::default(), config(&dir));
    let (mut rollups, stats) = open(&files, &config);
    rollups.apply(&clicks(1, START_S, &[6, 7])).unwrap();
    let forget = Entry::Forget { id: WindowId { boot: 1, number: 2 }, link: 6 };
    rollups.apply(&forget).unwrap();
    let check = |stats: &Stats| {
        assert_eq!(stats.totals(&Subject::Link(6), EVER).unwrap().0.sum(), 0);
        assert_eq!(stats.totals(&Subject::All, EVER).unwrap().0.sum(), 2);
        assert_eq!(stats.totals(&Subject::Tag("sixth".to_owned()), EVER).unwrap().0.sum(), 1);
        let top: Vec<u64> = stats.top(&Subject::All, EVER, 9).unwrap().iter().map(|link| link.link).collect();
        assert_eq!(top, [7]);
        assert_eq!(stats.export(&Subject::All, EVER, Granularity::Day, None, 9).unwrap().len(), 1);
    };
    check(&stats);
    drop((rollups, stats));
    files.crash(&mut fastrand::Rng::with_seed(1));
    let (mut rollups, stats) = open(&files, &config);
    // It comes again, and changes nothing.
    assert_eq!(rollups.position(), WindowId { boot: 1, number: 1 });
    rollups.apply(&clicks(1, START_S, &[6, 7])).unwrap();
    rollups.apply(&forget).unwrap();
    check(&stats);
    assert!(matches!(stats.forget(7), Err(StatsError::Journal(_))));
}

#[test]
fn an_export_comes_page_by_page_whether_flushed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let (files, config) = (Files::default(), config(&dir));
    let (mut rollups, stats) = open(&files, &config);
    let mut random = fastrand::Rng::with_seed(3);
    let mut expected = BTreeSet::new();
    for number in 1..60 {
        let link = random.u64(..20);
        let time_s = START_S + random.u64(..40) * DAY_S + 60 * random.u64(..1_440);
        rollups.apply(&clicks(number, time_s, &[link])).unwrap();
        expected.insert((link, time_s / DAY_S * DAY_S));
        if number == 30 {
            rollups.flush().unwrap();
        }
    }
    let subjects = [Subject::All, Subject::Host(host_of(1)), Subject::Tag("even".to_owned()), Subject::Link(4)];
    for subject in subjects {
        let is_under = |link: u64| match &subject {
            Subject::All => true,
            Subject::Host(host) => host_of(link) == *host,
            Subject::Tag(tag) => tags_of(link).contains(tag),
            Subject::Link(other) => link == *other,
        };
        for limit in [1, 3, 1_000] {
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let page = stats.export(&subject, EVER, Granularity::Day, after, limit).unwrap();
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some((last.link, last.start_s));
                assert!(page.iter().all(|row| row.key == key_of(row.link) && row.granularity == Granularity::Day));
                found.extend(page.into_iter().map(|row| (row.link, row.start_s)));
            }
            let expected: Vec<_> = expected.iter().copied().filter(|(link, _)| is_under(*link)).collect();
            assert_eq!(found, expected, "{subject:?} by {limit}");
        }
    }
}

#[test]
fn many_links_and_people_are_kept_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    config.memory_bytes = 1 << 20;
    let (mut rollups, stats) = on_disk(&config);
    let mut random = fastrand::Rng::with_seed(5);
    let (mut flushed, mut counts) = (0, vec![0u64; 9_000]);
    for number in 1..=40 {
        let mut batch = Batch { time_s: START_S + number * 600, ..Batch::default() };
        for _ in 0..1_000 {
            let link = (9_000f64.powf(random.f64()) - 1.0) as u64;
            batch.names.push(super::name(link));
            batch.counts.push(LinkCount { link, counts: [1, 0, 0, 0] });
            batch.visits.push(Visit { link, visitor: Visitor(random.u64(..1 << 40)) });
            counts[link as usize] += 1;
        }
        flushed += u64::from(rollups.is_flush_due());
        rollups.apply(&Entry::Window(Window { id: WindowId { boot: 1, number }, batch })).unwrap();
        assert!(rollups.memory_bytes() < 3 << 20, "{}", rollups.memory_bytes());
    }
    assert!(flushed > 1, "it was never due");
    assert_eq!(stats.totals(&Subject::All, EVER).unwrap().0.sum(), 40_000);
    let uniques = stats.uniques(&Subject::All, EVER).unwrap();
    assert!((uniques.estimate - 40_000.0).abs() < 800.0 && uniques.lower < 40_000.0 && uniques.upper > 40_000.0);
    let mut first: Vec<(u64, u64)> = (0..).zip(&counts).map(|(link, count)| (link, *count)).collect();
    first.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let top = stats.top(&Subject::All, EVER, 30).unwrap();
    let found: Vec<_> = top.iter().map(|link| (link.link, link.clicks)).collect();
    assert_eq!(found, first[..30]);
    assert!(top.iter().all(|link| link.error == 0));
    for link in stats.top(&Subject::Tag("even".to_owned()), EVER, 10).unwrap() {
        let exact = counts[link.link as usize];
        assert!((exact..=exact + link.error).contains(&link.clicks), "{link:?} for {exact}");
    }
}

#[test]
fn damage_names_its_directory_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir);
    let (mut rollups, stats) = on_disk(&config);
    rollups.apply(&clicks(1, START_S, &[1])).unwrap();
    rollups.flush().unwrap();
    drop((rollups, stats));
    let month = config.dir.join("2026-11");
    let current = month.join("current");
    let mut bytes = std::fs::read(&current).unwrap();
    bytes[9] ^= 1;
    std::fs::write(&current, bytes).unwrap();
    // What is damaged is not answered with, and stops nothing else.
    let (_rollups, stats) = on_disk(&config);
    let error = stats.totals(&Subject::All, EVER).unwrap_err().to_string();
    assert!(error.contains(month.to_str().unwrap()) && error.contains("move this directory away"), "{error}");
}
