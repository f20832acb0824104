//! The origins that targets share. The redirects of a site lead to few places, so the scheme and host of most
//! targets are kept once, and a record of the shared cache only has their number.

use std::sync::OnceLock;

use hashbrown::HashMap;
use parking_lot::RwLock;

/// Most origins with a number. The targets of others are kept whole.
const ORIGINS: usize = 255;

/// The longest origin with a number, in bytes. With [`ORIGINS`] it bounds the table to some 20 KB.
const ORIGIN_BYTES: usize = 64;

/// Numbers for origins, given once and never taken back, so that a record can rely on its own.
pub(super) struct Origins {
    /// By number, from 1.
    texts: Box<[OnceLock<Box<[u8]>>]>,
    /// Asked only when a link comes into the cache, never on a hit.
    numbers: RwLock<HashMap<Box<[u8]>, u8, ahash::RandomState>>,
}

/// What one thread knows of them: as bounded as they are.
#[derive(Default)]
pub(super) struct KnownOrigins {
    numbers: HashMap<Box<[u8]>, u8, ahash::RandomState>,
    /// All numbers are given, and known: no other origin will get one.
    is_whole: bool,
}

impl Origins {
    pub(super) fn new() -> Self {
        let texts = std::iter::repeat_with(OnceLock::new).take(ORIGINS).collect();
        Self { texts, numbers: RwLock::default() }
    }

    /// Splits a target into the number of its origin and the rest. The number is 0, and the rest is everything, if
    /// its origin has none and can't get one.
    pub(super) fn split<'t>(&self, target: &'t [u8]) -> (u8, &'t [u8]) {
        let Some(length) = origin_bytes(target) else { return (0, target) };
        let (origin, rest) = target.split_at(length);
        match self.number(origin) {
            Some(number) => (number, rest),
            None => (0, target),
        }
    }

    /// The same for who has many targets, and keeps in mind what was said of their origins: threads that split at the same
    /// time would else wait for each other at the lock.
    pub(super) fn split_known<'t>(&self, target: &'t [u8], known: &mut KnownOrigins) -> (u8, &'t [u8]) {
        let Some(length) = origin_bytes(target) else { return (0, target) };
        let (origin, rest) = target.split_at(length);
        let mut number = known.numbers.get(origin).copied();
        if number.is_none() && !known.is_whole {
            number = self.number(origin);
            match number {
                Some(number) => _ = known.numbers.insert(origin.into(), number),
                None => (known.numbers, known.is_whole) = (self.numbers.read().clone(), true),
            }
        }
        number.map_or((0, target), |number| (number, rest))
    }

    fn number(&self, origin: &[u8]) -> Option<u8> {
        let known = self.numbers.read().get(origin).copied();
        known.or_else(|| self.give(origin))
    }

    fn give(&self, origin: &[u8]) -> Option<u8> {
        if self.texts.last().is_some_and(|last| last.get().is_some()) {
            return None;
        }
        let mut numbers = self.numbers.write();
        if let Some(&number) = numbers.get(origin) {
            return Some(number);
        }
        let index = numbers.len();
        // The text first: who sees the number must find it.
        self.texts.get(index)?.set(origin.into()).expect("numbers are given in order, under the lock");
        let number = index as u8 + 1;
        numbers.insert(origin.into(), number);
        Some(number)
    }

    /// The origin of this number; nothing for 0.
    pub(super) fn text(&self, number: u8) -> &[u8] {
        match number {
            0 => &[],
            number => self.texts[usize::from(number) - 1].get().expect("a number is given after its text is set"),
        }
    }
}

/// How long the scheme and authority in front of a target are, if they are short and a path follows.
fn origin_bytes(target: &[u8]) -> Option<usize> {
    let scheme = memchr::memchr(b':', target)?;
    let authority = scheme + 3;
    if target.get(scheme..authority)? != b"://" {
        return None;
    }
    let length = authority + memchr::memchr(b'/', &target[authority..])?;
    (length <= ORIGIN_BYTES).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_in_mind_what_was_said_is_told_the_same() {
        let (origins, mut known) = (Origins::new(), KnownOrigins::default());
        for index in 0..300 {
            let target = format!("https://{index}.example/x");
            let split = origins.split_known(target.as_bytes(), &mut known);
            assert_eq!(split, origins.split(target.as_bytes()));
            assert_eq!(split, origins.split_known(target.as_bytes(), &mut known));
        }
        assert_eq!(known.numbers.len(), ORIGINS);
        for whole in ["mailto:a://b/", "https:/a/b", "https://a.example", "https:", "a", ""] {
            assert_eq!(origins.split_known(whole.as_bytes(), &mut known), (0, whole.as_bytes()));
        }
    }

    #[test]
    fn a_target_is_put_together_again_from_its_parts() {
        let origins = Origins::new();
        let long = format!("https://{}/x", "a".repeat(ORIGIN_BYTES));
        for target in ["https://a.example/", "https://a.example/x/y", "http://a.example/x", "", "no origin", &long] {
            for _ in 0..2 {
                let (number, rest) = origins.split(target.as_bytes());
                assert_eq!([origins.text(number), rest].concat(), target.as_bytes());
            }
        }
        assert_eq!(origins.split(b"https://a.example/z"), (1, &b"/z"[..]));
        assert_eq!(origins.split(b"http://a.example/"), (2, &b"/"[..]));
        assert_eq!(origins.split(long.as_bytes()).0, 0);
    }

    #[test]
    fn once_all_numbers_are_given_other_targets_are_kept_whole() {
        let origins = Origins::new();
        for index in 0..2 * ORIGINS {
            let target = format!("https://{index}.example/x");
            let (number, rest) = origins.split(target.as_bytes());
            assert_eq!(number == 0, index >= ORIGINS, "{index}");
            assert_eq!([origins.text(number), rest].concat(), target.as_bytes());
        }
        assert_eq!(origins.split(b"https://7.example/y"), (8, &b"/y"[..]));
    }

    #[test]
    fn threads_that_meet_a_new_origin_at_once_give_it_one_number() {
        for _ in 0..50 {
            let origins = Origins::new();
            std::thread::scope(|scope| {
                let split = || {
                    for index in 0..20 {
                        let target = format!("https://{index}.example/x");
                        let (number, rest) = origins.split(target.as_bytes());
                        assert_eq!([origins.text(number), rest].concat(), target.as_bytes());
                    }
                };
                scope.spawn(split);
                scope.spawn(split);
            });
            assert_eq!(origins.numbers.read().len(), 20);
        }
    }
}
