//! Whether a key was there before, in a few bytes a row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::link::{Destination, LinkKey};

/// The first half of a BLAKE3 hash. 128 bits, since two keys of the same hash would be taken for one, and nobody
/// is to be able to make such a pair.
type Hash = [u8; 16];

/// The keys of the rows so far, what they lead to, and where they stand: 40 bytes a row, however long it is.
#[derive(Default)]
pub(super) struct Repeats {
    rows: HashMap<Hash, (Hash, u64), ahash::RandomState>,
}

/// What a row is to the rows before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The first of its key.
    New,
    /// The same again.
    Same,
    /// The row on this line has the same key and another destination.
    Differs(u64),
}

impl Repeats {
    /// Takes the next row.
    pub(super) fn insert(&mut self, line: u64, key: &LinkKey, destination: &Destination) -> Seen {
        let leads_to = hash(&[
            destination.status().code().to_le_bytes().as_slice(),
            destination.target().map_or("", |target| target.as_str()).as_bytes(),
        ]);
        match self.rows.entry(hash(&[key.as_str().as_bytes()])) {
            Entry::Vacant(entry) => {
                entry.insert((leads_to, line));
                Seen::New
            }
            Entry::Occupied(entry) if entry.get().0 == leads_to => Seen::Same,
            Entry::Occupied(entry) => Seen::Differs(entry.get().1),
        }
    }
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}
