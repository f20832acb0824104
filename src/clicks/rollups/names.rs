//! The keys of links that were named, in memory. All of them stand in the stores of the months too.

use hashbrown::HashMap;

/// Keys by link. It holds two halves: once the younger is full, the older is dropped, and what of it is asked for again
/// moves to the younger. So it keeps what is in use, and takes twice its bound at most.
pub(super) struct Names {
    young: Half,
    old: Half,
    /// Of one half, in bytes.
    bound_bytes: usize,
}

#[derive(Default)]
struct Half {
    places: HashMap<u64, Place, ahash::RandomState>,
    keys: Vec<u8>,
}

/// Where a key lies, and the month whose store is known to have it.
#[derive(Clone, Copy)]
struct Place {
    start: u32,
    length: u16,
    month: u16,
}

/// About what a link takes beside its key, in bytes.
const PLACE_BYTES: usize = 30;

/// No month: none is known to have the name.
pub(super) const NO_MONTH: u16 = u16::MAX;

impl Names {
    pub(super) fn new(bound_bytes: usize) -> Self {
        // Places count in 32 bits.
        Names { young: Half::default(), old: Half::default(), bound_bytes: bound_bytes.min(1 << 31) }
    }

    /// The key of a link, and the month whose store is known to have it.
    pub(super) fn get(&mut self, link: u64) -> Option<(&[u8], u16)> {
        if !self.young.places.contains_key(&link) {
            let (key, month) = self.old.get(link)?;
            let key = key.to_vec();
            self.insert(link, &key, month);
        }
        self.young.get(link)
    }

    /// Remembers a key. An empty one says that the link has none.
    pub(super) fn insert(&mut self, link: u64, key: &[u8], month: u16) {
        let Ok(length) = u16::try_from(key.len()) else { return };
        if self.young.bytes() + PLACE_BYTES + key.len() > self.bound_bytes {
            self.old = std::mem::take(&mut self.young);
        }
        if let Some(place) = self.young.places.get_mut(&link) {
            let start = place.start as usize;
            if &self.young.keys[start..start + usize::from(place.length)] == key {
                place.month = month;
                return;
            }
        }
        let start = self.young.keys.len() as u32;
        self.young.keys.extend_from_slice(key);
        self.young.places.insert(link, Place { start, length, month });
    }

    /// Forgets in which month's store the name of a link stands.
    pub(super) fn unwritten(&mut self, link: u64) {
        for half in [&mut self.young, &mut self.old] {
            if let Some(place) = half.places.get_mut(&link) {
                place.month = NO_MONTH;
            }
        }
    }
}

impl Half {
    fn get(&self, link: u64) -> Option<(&[u8], u16)> {
        let place = self.places.get(&link)?;
        let start = place.start as usize;
        Some((&self.keys[start..start + usize::from(place.length)], place.month))
    }

    fn bytes(&self) -> usize {
        self.places.len() * PLACE_BYTES + self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_use_are_kept_and_others_go() {
        let mut names = Names::new(100 * (PLACE_BYTES + 4));
        names.insert(0, b"h/00", 3);
        for link in 1..1_000u64 {
            names.insert(link, format!("h/{:02}", link % 100).as_bytes(), 7);
            assert_eq!(names.get(0), Some((&b"h/00"[..], 3)));
        }
        assert_eq!(names.get(999), Some((&b"h/99"[..], 7)));
        assert_eq!(names.get(500), None);
        names.unwritten(999);
        assert_eq!(names.get(999), Some((&b"h/99"[..], NO_MONTH)));
        assert!(names.young.bytes() <= names.bound_bytes && names.old.bytes() <= names.bound_bytes);
    }
}
