//! Entries: there and back, and whatever else may stand there.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::codec::{FIXED_BYTES, decode, decode_id, encode_forget, encode_window};
use super::super::split::split;
use super::super::{codec, frame};
use super::id;
use crate::clicks::batch::{
    Batch, Country, Detail, Device, Entry, Language, LinkCount, LinkName, Visit, VisitClass, Visitor, Window, WindowId,
};

/// Numbers of all lengths.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}

fn number_32() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0..32u32).prop_map(|(number, shift)| number >> shift)
}

fn visitor() -> impl Strategy<Value = Visitor> {
    any::<u64>().prop_map(|number| Visitor(number >> (64 - Visitor::BITS)))
}

fn detail() -> impl Strategy<Value = Detail> {
    let devices = vec![Device::Unknown, Device::Desktop, Device::Phone, Device::Tablet, Device::Other];
    let who = (0..4usize, proptest::sample::select(devices), any::<[u8; 2]>(), any::<[u8; 3]>());
    let visitor = proptest::option::of(visitor());
    (number(), number(), number_32(), "[a-c]{0,2}|\\PC{0,60}", who, visitor).prop_map(
        |(link, time_ms, weight, referrer, (class, device, country, language), visitor)| Detail {
            link,
            time_ms,
            class: VisitClass::ALL[class],
            weight,
            referrer: referrer.into(),
            country: Country(country),
            device,
            language: Language(language),
            visitor,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    let name = (number(), vec(any::<u8>(), 0..80)).prop_map(|(link, key)| LinkName { link, key: key.into() });
    let few = (number(), 0..4usize, 0..20u32).prop_map(|(link, class, count)| {
        let mut counts = [0; 4];
        counts[class] = count;
        LinkCount { link, counts }
    });
    let any = (number(), [number_32(), number_32(), number_32(), number_32()]);
    let any = any.prop_map(|(link, counts)| LinkCount { link, counts });
    let visit = (number(), visitor()).prop_map(|(link, visitor)| Visit { link, visitor });
    let counts = vec(prop_oneof![few, any], 0..60);
    (number(), vec(name, 0..10), counts, vec(detail(), 0..20), vec(visit, 0..30))
        .prop_map(|(time_s, names, counts, details, visits)| Batch { time_s, names, counts, details, visits })
}

fn window() -> impl Strategy<Value = Window> {
    (number(), number(), batch()).prop_map(|(boot, number, batch)| Window { id: WindowId { boot, number }, batch })
}

fn encoded(window: &Window) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_window(window.id, &window.batch, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn windows_decode_to_what_was_encoded(window in window()) {
        let bytes = encoded(&window);
        prop_assert_eq!(decode_id(&bytes), Ok(window.id));
        prop_assert_eq!(decode(&bytes), Ok(Entry::Window(window)));
    }

    #[test]
    fn forgets_decode_to_what_was_encoded(boot in number(), number in number(), link in number()) {
        let (id, mut bytes) = (WindowId { boot, number }, Vec::new());
        encode_forget(id, link, &mut bytes);
        prop_assert_eq!(decode_id(&bytes), Ok(id));
        prop_assert_eq!(decode(&bytes), Ok(Entry::Forget { id, link }));
        bytes.push(0);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn an_entry_that_is_cut_short_is_none(window in window()) {
        let bytes = encoded(&window);
        prop_assert!((0..bytes.len()).all(|length| decode(&bytes[..length]).is_err()));
    }

    #[test]
    fn whatever_stands_there_is_read_without_panic(mut bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        if let Some(kind) = bytes.first_mut() {
            *kind = 1;
        }
        let _ = decode(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_no_panic_in_an_entry_and_found_in_a_frame(window in window(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&window);
        let bit = at.index(bytes.len() * 8);
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = decode(&flipped);

        let mut framed = Vec::new();
        frame::encode(&bytes, 99, 7, 1_000, &mut framed);
        let found = frame::decode(&framed, 7, 1_000).unwrap();
        prop_assert_eq!((found.entry, found.durable, found.bytes()), (&*bytes, 99, framed.len()));
        prop_assert!(frame::decode(&framed, 7, 1_001).is_err() && frame::decode(&framed, 8, 1_000).is_err());
        let bit = at.index(framed.len() * 8);
        framed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(frame::decode(&framed, 7, 1_000).is_err());
    }

    #[test]
    fn parts_are_short_enough_and_together_the_whole(batch in batch(), bytes_max in FIXED_BYTES + 400..4_000) {
        let mut whole = Batch { time_s: batch.time_s, ..Batch::default() };
        for part in split(batch.clone(), bytes_max) {
            let mut bytes = Vec::new();
            encode_window(id(u64::MAX, u64::MAX), &part, &mut bytes);
            prop_assert!(bytes.len() <= bytes_max);
            prop_assert_eq!(part.time_s, batch.time_s);
            whole.names.extend(part.names);
            whole.counts.extend(part.counts);
            whole.details.extend(part.details);
            whole.visits.extend(part.visits);
        }
        prop_assert_eq!(whole, batch);
    }
}

#[test]
fn what_is_frequent_is_short() {
    // Ids are those of links that were made one after the other, and clicked in no order.
    let mut rng = fastrand::Rng::with_seed(1);
    let counts: Vec<LinkCount> = (0..10_000)
        .map(|_| LinkCount { link: rng.u64(0..1_000_000) << 10, counts: [rng.u32(1..3), 0, 0, 0] })
        .collect();
    let window = Window { id: id(1, 1), batch: Batch { time_s: 1_767_225_600, counts, ..Batch::default() } };
    let bytes = encoded(&window).len();
    assert!(bytes < 10_000 * 6, "{bytes}");
}

#[test]
fn the_largest_numbers_take_no_more_than_they_may() {
    let visitor = Visitor((1 << Visitor::BITS) - 1);
    let detail = Detail {
        link: 1 << 63,
        time_ms: 1 << 63,
        class: VisitClass::Head,
        weight: u32::MAX,
        referrer: "x".repeat(253).into(),
        country: Country(*b"zz"),
        device: Device::Other,
        language: Language(*b"zzz"),
        visitor: Some(visitor),
    };
    let name = LinkName { link: 1 << 63, key: vec![b'x'; 2_048].into() };
    let (count, visit) = (LinkCount { link: 1 << 63, counts: [u32::MAX; 4] }, Visit { link: 1 << 63, visitor });
    let most =
        FIXED_BYTES + codec::name_bytes(&name) + codec::detail_bytes(&detail) + codec::COUNT_BYTES + codec::VISIT_BYTES;
    let batch = Batch { time_s: 0, names: vec![name], counts: vec![count], details: vec![detail], visits: vec![visit] };
    let bytes = encoded(&Window { id: id(u64::MAX, u64::MAX), batch });
    assert!(bytes.len() <= most && bytes.len() + 130 > most, "{} of {most}", bytes.len());
}
