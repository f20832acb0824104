//! Values of dimensions as numbers, the small ones for the frequent. Those of referrers come from the dictionary of the
//! month.

use super::super::super::batch::{Country, Device, Language};

/// Numbers of two letters begin behind 0, which is not known.
const LETTERS: u64 = 26;

/// Where the numbers of a country that has no two upper-case letters begin.
const OTHER_COUNTRIES: u64 = 1 + LETTERS * LETTERS;

/// Where the numbers of languages with three letters begin.
const LONG_LANGUAGES: u64 = 1 + LETTERS * LETTERS;

/// Where the numbers of a language that has no two or three lower-case letters begin.
const OTHER_LANGUAGES: u64 = LONG_LANGUAGES + LETTERS * LETTERS * LETTERS;

/// The number of a country.
pub(crate) fn country_number(country: Country) -> u64 {
    match (country.0, letters(&country.0, b'A')) {
        ([0, 0], _) => 0,
        (_, Some(number)) => 1 + number,
        (other, None) => OTHER_COUNTRIES + u64::from(u16::from_be_bytes(other)),
    }
}

/// The letters of a country; empty where it is not known.
pub(crate) fn country_text(number: u64) -> String {
    match number {
        0 => String::new(),
        OTHER_COUNTRIES.. => text(&((number - OTHER_COUNTRIES) as u16).to_be_bytes()),
        _ => spelled(number - 1, 2, b'A'),
    }
}

/// The number of a language.
pub(crate) fn language_number(language: Language) -> u64 {
    match language.0 {
        [0, 0, 0] => 0,
        [a, b, 0] if letters(&[a, b], b'a').is_some() => 1 + letters(&[a, b], b'a').unwrap_or(0),
        other => match letters(&other, b'a') {
            Some(number) => LONG_LANGUAGES + number,
            None => OTHER_LANGUAGES + u64::from(u32::from_be_bytes([0, other[0], other[1], other[2]])),
        },
    }
}

/// The letters of a language; empty where it is not known.
pub(crate) fn language_text(number: u64) -> String {
    match number {
        0 => String::new(),
        OTHER_LANGUAGES.. => text(&((number - OTHER_LANGUAGES) as u32).to_be_bytes()[1..]),
        LONG_LANGUAGES.. => spelled(number - LONG_LANGUAGES, 3, b'a'),
        _ => spelled(number - 1, 2, b'a'),
    }
}

/// The name of a device, as [`Dimension`](crate::clicks::Dimension) has it.
pub(crate) fn device_text(number: u64) -> String {
    const NAMED: [(Device, &str); 4] =
        [(Device::Desktop, "desktop"), (Device::Phone, "phone"), (Device::Tablet, "tablet"), (Device::Other, "other")];
    let named = NAMED.into_iter().find(|(device, _)| *device as u64 == number);
    named.map_or_else(String::new, |(_, name)| name.to_owned())
}

fn letters(bytes: &[u8], first: u8) -> Option<u64> {
    bytes.iter().try_fold(0, |number, byte| {
        let letter = u64::from(byte.checked_sub(first)?);
        (letter < LETTERS).then_some(number * LETTERS + letter)
    })
}

fn spelled(number: u64, count: u32, first: u8) -> String {
    (0..count).rev().map(|place| char::from(first + (number / LETTERS.pow(place) % LETTERS) as u8)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_and_languages_come_back() {
        for country in [*b"AA", *b"DE", *b"ZZ", *b"US", *b"de", *b"A1", [0, 0]] {
            let expected = if country == [0, 0] { String::new() } else { String::from_utf8(country.to_vec()).unwrap() };
            assert_eq!(country_text(country_number(Country(country))), expected);
        }
        for language in ["aa", "zz", "de", "aaa", "zzz", "haw", "DE", "e1", "", "x"] {
            let mut bytes = [0; 3];
            bytes[..language.len()].copy_from_slice(language.as_bytes());
            assert_eq!(language_text(language_number(Language(bytes))), language);
        }
        assert!(country_number(Country(*b"ZZ")) < 1 << 14 && language_number(Language(*b"zz\0")) < 1 << 14);
        assert_eq!(device_text(Device::Phone as u64), "phone");
        assert_eq!(device_text(0) + &device_text(99), "");
    }
}
