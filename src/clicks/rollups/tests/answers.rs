//! What answers say of themselves.

use super::super::super::batch::{Batch, Country, Device, Entry, Language, LinkCount, VisitClass, Window, WindowId};
use super::super::super::stats::{Dimension, Granularity, Subject, TimeRange};
use super::super::calendar::DAY_S;
use super::store::Files;
use super::{clicks, config, name, open};
use crate::clicks::Detail;

/// 2026-11-01.
const START_S: u64 = 1_793_491_200;

fn detail(link: u64, weight: u32, referrer: &str) -> Detail {
    Detail {
        link,
        time_ms: START_S * 1_000,
        class: VisitClass::Human,
        weight,
        referrer: referrer.into(),
        country: Country(*b"DE"),
        device: Device::Phone,
        language: Language::default(),
        visitor: None,
    }
}

fn window(number: u64, time_s: u64, details: Vec<Detail>) -> Entry {
    let counts = details.iter().map(|detail| LinkCount { link: detail.link, counts: [detail.weight, 0, 0, 0] });
    let names = details.iter().map(|detail| name(detail.link)).collect();
    let batch = Batch { time_s, names, counts: counts.collect(), details, ..Batch::default() };
    Entry::Window(Window { id: WindowId { boot: 1, number }, batch })
}

#[test]
fn a_breakdown_says_how_exact_it_is_and_about_which_days() {
    let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
    let (mut rollups, stats) = open(&files, &config(&dir));
    let range = TimeRange { from_s: START_S + 3_600, to_s: START_S + DAY_S + 60 };
    let days = TimeRange { from_s: START_S, to_s: START_S + 2 * DAY_S };
    for (number, weights) in [(1, [1, 1, 1]), (2, [1, 2, 4])] {
        let details = weights.iter().map(|weight| detail(1, *weight, "a.example")).collect();
        rollups.apply(&window(number, START_S + number * 60, details)).unwrap();
        let expected = [(3, 3, 3), (10, 6, 24)][number as usize - 1];
        for subject in [Subject::All, Subject::Link(1), Subject::Host("h1.example".to_owned())] {
            let found = stats.breakdown(&subject, Dimension::Referrer, range, 10).unwrap();
            assert_eq!((found.total, found.details, found.squares), expected, "{subject:?}");
            assert_eq!(found.range, days);
        }
        rollups.flush().unwrap();
        let found = stats.breakdown(&Subject::Link(1), Dimension::Referrer, range, 10).unwrap();
        assert_eq!((found.total, found.details, found.squares), expected);
        assert_eq!(found.shares[0].value, "a.example");
    }
}

#[test]
fn what_is_too_coarse_for_a_range_is_said() {
    let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
    let (mut rollups, stats) = open(&files, &config(&dir));
    rollups.apply(&clicks(1, START_S + 3_600, &[2])).unwrap();
    rollups.flush().unwrap();
    let later = START_S + 2 * 366 * DAY_S;
    rollups.apply(&clicks(2, later, &[3])).unwrap();
    rollups.flush().unwrap();
    let tenth = TimeRange { from_s: START_S + 10 * DAY_S, to_s: START_S + 11 * DAY_S };
    assert_eq!(stats.totals(&Subject::Link(2), tenth).unwrap().1, Granularity::Minute);
    (0..20).for_each(|_| rollups.maintain(later).unwrap());
    // The month begins outside, and may have had them inside.
    let (counts, granularity) = stats.totals(&Subject::Link(2), tenth).unwrap();
    assert_eq!((counts.sum(), granularity), (0, Granularity::Month));
    let series = stats.series(&Subject::Link(2), &[tenth.from_s, tenth.to_s]).unwrap();
    assert_eq!(series.granularity, Granularity::Month);
    let tag = Subject::Tag("even".to_owned());
    let month = TimeRange { from_s: START_S, to_s: START_S + 30 * DAY_S };
    assert_eq!(stats.top_range(&tag, tenth).unwrap(), month);
    assert_eq!(stats.top_range(&Subject::All, tenth).unwrap(), tenth);
    assert_eq!(stats.breakdown(&tag, Dimension::Country, tenth, 1).unwrap().range, month);
}

#[test]
fn a_day_has_so_many_new_referrers_and_no_more() {
    let (dir, files) = (tempfile::tempdir().unwrap(), Files::default());
    let (mut rollups, stats) = open(&files, &config(&dir));
    let many = |day: &str| (0..5_000).map(|number| detail(1, 1, &format!("{day}{number}.example"))).collect();
    rollups.apply(&window(1, START_S, many("a"))).unwrap();
    rollups.apply(&window(2, START_S + DAY_S, many("b"))).unwrap();
    rollups.flush().unwrap();
    let scanned = |day| {
        let range = TimeRange { from_s: START_S + day * DAY_S, to_s: START_S + (day + 1) * DAY_S };
        let found = stats.breakdown(&Subject::All, Dimension::Referrer, range, 1).unwrap();
        (found.shares[0].value.clone(), found.shares[0].clicks)
    };
    for day in 0..2 {
        let (value, clicks) = scanned(day);
        assert!(value == "(other)" && (850..=950).contains(&clicks), "{value}: {clicks}");
    }
}
