//! The language a visitor prefers.

use crate::clicks::batch::Language;

/// Elements that are looked at for one that is not empty (RFC 9110 §5.6.1.2 asks to pass over some).
const ELEMENTS: usize = 4;

/// The primary subtag of the first language in a value of Accept-Language (RFC 9110 §12.5.4, RFC 5646 §2.1), lower-case.
/// Not known if it is missing, `*`, or has not two or three letters.
///
/// Weights are not looked at: browsers send the languages in the order of preference.
pub fn language(accept_language: Option<&[u8]>) -> Language {
    let elements = accept_language.unwrap_or_default().split(|&byte| byte == b',').take(ELEMENTS);
    let first = elements.map(<[u8]>::trim_ascii).find(|element| !element.is_empty()).unwrap_or_default();
    let tag = first.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii_end();
    let primary = tag.split(|&byte| byte == b'-').next().unwrap_or_default();
    let mut letters = [0; 3];
    if !(2..=3).contains(&primary.len()) || !primary.iter().all(u8::is_ascii_alphabetic) {
        return Language(letters);
    }
    letters.iter_mut().zip(primary).for_each(|(letter, byte)| *letter = byte.to_ascii_lowercase());
    Language(letters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_language_counts() {
        for (value, expected) in [
            ("de-CH,de;q=0.9,en;q=0.8", "de\0"),
            ("de", "de\0"),
            ("EN-us", "en\0"),
            ("gsw-CH, de", "gsw"),
            (" , ,fr ; q=0.5", "fr\0"),
            ("zh-Hans-CN;q=1", "zh\0"),
        ] {
            assert_eq!(language(Some(value.as_bytes())).0, expected.as_bytes(), "{value}");
        }
    }

    #[test]
    fn what_names_no_language_is_unknown() {
        for value in
            ["", "*", "*,de", "i-klingon", "x-private", "d", "d3", "de_CH", "english", ";q=1", ",,,,,,,,de", "\u{e9}e"]
        {
            assert_eq!(language(Some(value.as_bytes())), Language::default(), "{value}");
        }
        assert_eq!(language(None), Language::default());
    }

    proptest! {
        #[test]
        fn whatever_comes_there_are_letters_or_nothing(value: Vec<u8>) {
            let Language(letters) = language(Some(&value));
            let length = letters.iter().take_while(|letter| letter.is_ascii_lowercase()).count();
            prop_assert!(length != 1 && letters[length..].iter().all(|&letter| letter == 0), "{letters:?}");
        }
    }
}
