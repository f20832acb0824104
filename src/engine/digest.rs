//! A digest over a state: equal exactly when the state is.

use std::ops::ControlFlow;

use crate::store::{Store, StoreError, keyspace};

/// How many entries of links a state has, and a hash over all that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateDigest {
    /// How many entries of links.
    pub entries: u64,
    /// BLAKE3 over the length and bytes of each typed key and value, in the order of the keys.
    pub hash: [u8; 32],
}

impl StateDigest {
    /// Of a store.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let mut digester = Digester::default();
        store.scan(&[], &mut |key, value| {
            digester.add(key, value);
            ControlFlow::Continue(())
        })?;
        Ok(digester.finish())
    }
}

/// Bytes that are gathered before they are hashed. BLAKE3 hashes sixteen pieces of 1 KiB side by side where the
/// processor can, so a call for each entry would be many times slower.
const GATHERED_BYTES: usize = 64 * 1024;

/// Makes a [`StateDigest`] of entries that are given one after the other, in the order of their keys.
#[derive(Default)]
pub(super) struct Digester {
    entries: u64,
    gathered: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Digester {
    /// Takes one more entry.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries += u64::from(matches!(keyspace::split(key), Some((keyspace::ENTRY, _))));
        for part in [key, value] {
            self.gathered.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.gathered.extend_from_slice(part);
        }
        if self.gathered.len() >= GATHERED_BYTES {
            self.hasher.update(&self.gathered);
            self.gathered.clear();
        }
    }

    /// Of all that were given.
    pub(super) fn finish(mut self) -> StateDigest {
        self.hasher.update(&self.gathered);
        StateDigest { entries: self.entries, hash: *self.hasher.finalize().as_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_digest_is_the_hash_of_lengths_and_bytes(
            entries in proptest::collection::vec((any::<Vec<u8>>(), 0usize..100_000), 0..4), links in 0usize..3,
        ) {
            let (mut digester, mut hasher) = (Digester::default(), blake3::Hasher::new());
            for (key, value_bytes) in &entries {
                let value = vec![7; *value_bytes];
                digester.add(key, &value);
                for part in [key, &value] {
                    hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
                }
            }
            for link in 0..links {
                let key = keyspace::entry_key(&[link as u8]);
                digester.add(&key, b"");
                hasher.update(&(key.len() as u64).to_le_bytes()).update(&key).update(&0u64.to_le_bytes());
            }
            let of_links = entries.iter().filter(|(key, _)| key.first() == Some(&keyspace::ENTRY)).count() + links;
            let expected = StateDigest { entries: of_links as u64, hash: *hasher.finalize().as_bytes() };
            prop_assert_eq!(digester.finish(), expected);
        }
    }
}
