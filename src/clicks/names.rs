//! The names of the links that a batch is about.

use super::batch::LinkName;
use crate::cache::CachedLink;

/// How many links' names are remembered as told, so that they are not told again: a power of two.
const NAMES_TOLD: usize = 64 * 1024;

/// Once so many bytes of keys have come together, they should be handed over: some thousand names, each of which is an
/// allocation then.
const KEY_BYTES: usize = 256 * 1024;

/// Which links have been named, and those that are to be named with the next batch. To name one asks for no memory.
pub(super) struct NewNames {
    /// By the id of a link, which one of those that share a place was named last.
    told: Box<[u64]>,
    /// The ids, and where the keys end.
    new: Vec<(u64, usize)>,
    keys: Vec<u8>,
}

impl NewNames {
    /// With room for so many in a batch; nothing is to be named if that is 0.
    pub(super) fn with_room(names: usize) -> Self {
        let (told, key_bytes) = if names == 0 { (0, 0) } else { (NAMES_TOLD, 2 * KEY_BYTES) };
        NewNames {
            told: vec![0; told].into_boxed_slice(),
            new: Vec::with_capacity(names),
            keys: Vec::with_capacity(key_bytes),
        }
    }

    /// Has a link named with this batch at the latest, and says its id; None if there is no link.
    pub(super) fn tell(&mut self, link: &CachedLink) -> Option<u64> {
        let id = link.link()?.id;
        let told = &mut self.told[id as usize % NAMES_TOLD];
        if *told != id {
            *told = id;
            self.keys.extend_from_slice(link.key());
            self.new.push((id, self.keys.len()));
        }
        Some(id)
    }

    /// Whether so much has come together that it should not wait.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= KEY_BYTES
    }

    /// What is to be named with this batch.
    pub(super) fn take(&mut self) -> Vec<LinkName> {
        let mut start = 0;
        let name = |&(link, end): &(u64, usize)| {
            let key = self.keys[start..end].into();
            start = end;
            LinkName { link, key }
        };
        let names = self.new.iter().map(name).collect();
        self.new.clear();
        self.keys.clear();
        names
    }

    /// Forgets what was told.
    pub(super) fn forget(&mut self) {
        self.told.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &mut NewNames) -> Vec<u64> {
        names.take().iter().map(|name| name.link).collect()
    }

    #[test]
    fn a_link_is_named_once_until_its_place_is_needed_or_all_is_forgotten() {
        let mut names = NewNames::with_room(4);
        let link =
            |id| CachedLink::present(format!("a.example/{id}").as_bytes(), id, 302, b"https://x.example/", false);
        let (one, other) = (link(7), link(7 + NAMES_TOLD as u64));
        assert_eq!((names.tell(&one), names.tell(&one)), (Some(7), Some(7)));
        assert_eq!(names.take(), [LinkName { link: 7, key: (*b"a.example/7").into() }]);
        assert_eq!((names.tell(&one), told(&mut names)), (Some(7), vec![]));
        for link in [&other, &one] {
            names.tell(link);
        }
        assert_eq!(told(&mut names), [7 + NAMES_TOLD as u64, 7]);
        names.forget();
        assert!(!names.is_full());
        assert_eq!((names.tell(&one), told(&mut names)), (Some(7), vec![7]));
        assert_eq!(names.tell(&CachedLink::absent(b"a.example/none", false)), None);
        let mut id = 100;
        while !names.is_full() {
            id += 1;
            names.tell(&link(id));
        }
        let told = names.take();
        assert_eq!((told.len() as u64, names.is_full()), (id - 100, false));
        for (name, id) in told.iter().zip(101..) {
            assert_eq!((name.link, &*name.key), (id, format!("a.example/{id}").as_bytes()));
        }
    }
}
