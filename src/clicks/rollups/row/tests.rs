//! Rows and their bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::super::batch::{Counts, VISIT_CLASSES};
use super::super::super::stats::Granularity;
use super::*;

fn counts() -> impl Strategy<Value = Counts> {
    prop_oneof![
        (1..3u64).prop_map(|count| Counts([count, 0, 0, 0])),
        proptest::array::uniform4(0..1_000u64).prop_map(Counts),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let slots = proptest::collection::vec((0..1_440u16, counts()), 0..20);
    let visitors = proptest::collection::vec(0..1u64 << 40, 0..100);
    let details = proptest::collection::vec((proptest::array::uniform4(0..60u64), 1..9u64), 0..50);
    (slots, visitors, details, 0..3u8).prop_map(|(slots, visitors, details, coarse)| {
        let mut row = Row::default();
        for (minute, counts) in slots {
            row.count(minute, &counts);
        }
        for visitor in visitors {
            row.visitor(visitor, &OF_LINK);
        }
        for (values, weight) in details {
            row.detail(values, weight, 1, &OF_LINK);
        }
        row.slots.coarsen([Granularity::Minute, Granularity::Quarter, Granularity::Day][usize::from(coarse)]);
        row
    })
}

fn assert_same(a: &Row, b: &Row) {
    assert_eq!((a.counts, &a.slots), (b.counts, &b.slots));
    assert_eq!(a.visitors.estimate(), b.visitors.estimate());
    let details = |row: &Row| {
        row.details.as_ref().map(|details| {
            let values = details.values.each_ref().map(|values| {
                let mut list = values.values();
                list.sort_unstable();
                (list, values.error())
            });
            (details.count, details.weight, details.squares, values)
        })
    };
    assert_eq!(details(a), details(b));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rows_decode_to_what_was_encoded(row in row()) {
        let bytes = row.encode();
        assert_same(&Row::decode(&bytes, Parts::ALL).unwrap(), &row);
        assert_same(&Row::decode(&bytes, Parts::SLOTS).unwrap(), &row.parts(Parts::SLOTS));
        let visitors = Row::decode(&bytes, Parts::VISITORS).unwrap();
        prop_assert_eq!(visitors.visitors.estimate(), row.visitors.estimate());
        prop_assert!(visitors.details.is_none());
    }

    #[test]
    fn no_bytes_make_it_panic(row in row(), noise: Vec<u8>, cut: prop::sample::Index, flip: prop::sample::Index) {
        let _ = Row::decode(&noise, Parts::ALL);
        let mut bytes = row.encode();
        prop_assert!(Row::decode(&bytes[..cut.index(bytes.len())], Parts::ALL).is_none());
        let bit = flip.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = Row::decode(&bytes, Parts::ALL);
    }

    #[test]
    fn merging_keeps_every_count(a in row(), b in row()) {
        let mut sum = a.clone();
        sum.merge(&b, &OF_LINK);
        let expected: Vec<u64> = (0..VISIT_CLASSES).map(|class| a.counts.0[class] + b.counts.0[class]).collect();
        prop_assert_eq!(sum.counts.0.to_vec(), expected.clone());
        if let Slots::Kept { list, .. } = &sum.slots {
            let mut of_slots = Counts::default();
            list.iter().for_each(|(_, counts)| of_slots.add(counts));
            prop_assert_eq!(of_slots.0.to_vec(), expected);
            prop_assert!(list.is_sorted_by_key(|entry| entry.0));
        }
        assert_same(&Row::decode(&sum.encode(), Parts::ALL).unwrap(), &sum);
    }
}

#[test]
fn a_row_of_one_click_is_small() {
    let mut row = Row::default();
    row.count(1_000, &Counts([1, 0, 0, 0]));
    assert_eq!(row.encode().len(), 4);
    row.visitor(0xab_cdef_0123, &OF_LINK);
    let country = country_number(super::super::super::batch::Country(*b"DE"));
    let language = language_number(super::super::super::batch::Language(*b"de\0"));
    row.detail([300, country, 2, language], 1, 1, &OF_LINK);
    let bytes = row.encode();
    assert!(bytes.len() <= 19, "{}", bytes.len());
    assert_same(&Row::decode(&bytes, Parts::ALL).unwrap(), &row);
}

#[test]
fn different_people_are_counted_within_two_percent_also_when_merged() {
    let mut whole = Visitors::default();
    let mut parts = vec![Visitors::default(); 7];
    let mut few = Visitors::default();
    for number in 0..100_000u64 {
        let visitor = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        whole.add(visitor, 64);
        parts[(number % 7) as usize].add(visitor, 64);
        parts[(number % 3) as usize].add(visitor, 64);
        if number < 50 {
            few.add(visitor, 64);
        }
    }
    let mut merged = few.clone();
    parts.iter().for_each(|part| merged.merge(part, 64));
    merged.merge(&few, 64);
    for visitors in [&whole, &merged] {
        let (estimate, variance) = visitors.estimate();
        assert!((estimate - 100_000.0).abs() < 2_000.0, "{estimate}");
        assert!((300.0..2_000.0).contains(&variance.sqrt()), "{variance}");
    }
    assert_eq!(few.estimate(), (50.0, 0.0));
    let mut sum = whole.clone();
    sum.add_up(&few);
    assert_eq!(sum.estimate().0, whole.estimate().0 + 50.0);
}

#[test]
fn a_breakdown_is_off_by_no_more_than_it_says() {
    let bound = OF_LINK.values;
    let mut exact = BTreeMap::new();
    let mut parts = vec![Frequent::default(); 5];
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..20_000 {
        // As Zipf has it: the value n is n times as rare as the first.
        let value = (500f64.powf(random.f64()) - 1.0) as u64;
        *exact.entry(value).or_insert(0) += 1 + number % 3;
        parts[random.usize(..5)].add(value, 1 + number % 3, bound);
    }
    let mut merged = Frequent::default();
    parts.iter().for_each(|part| merged.merge(part, bound));
    let weight: u64 = exact.values().sum();
    assert!(merged.error() > 0 && merged.error() < weight / 40, "{} of {weight}", merged.error());
    let found: BTreeMap<u64, u64> = merged.values().into_iter().collect();
    for (value, weight) in exact {
        let found = found.get(&value).copied().unwrap_or(0);
        assert!(found.abs_diff(weight) <= merged.error(), "{value}: {found} for {weight}");
    }
}
