//! The rows of a file by their keys: which come again, and which lead to each other, in about a hundred bytes a row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::link::{Destination, LinkKey};

/// The first half of a BLAKE3 hash. 128 bits, since two keys of the same hash would be taken for one, and nobody
/// is to be able to make such a pair.
type Hash = [u8; 16];

/// What stands for a key, however long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(Hash);

impl KeyHash {
    /// That of a canonical key.
    pub fn of(key: &[u8]) -> Self {
        KeyHash(hash(&[key]))
    }
}

/// Where a row's target leads on the server that the row is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Onward {
    /// The keys of the links that may answer a request for the target: the first of which there is a link does. None stands
    /// behind one of which a link is stored.
    pub keys: Vec<KeyHash>,
    /// Whether the row's own link is what answers its target, should that have its key. It may as well be another server
    /// that answers, as one does for `https` where the link is meant for `http`.
    pub is_same_server: bool,
}

/// The rows so far: their keys, what they lead to, and where they stand.
#[derive(Debug, Default)]
pub struct Rows {
    by_key: HashMap<KeyHash, usize, ahash::RandomState>,
    rows: Vec<Row>,
    /// Of all rows, one behind the other.
    keys: Vec<KeyHash>,
    /// By the keys of the stored links that rows lead to: those that may answer their targets.
    stored: HashMap<KeyHash, Box<[KeyHash]>, ahash::RandomState>,
}

#[derive(Debug)]
struct Row {
    line: u64,
    /// The hash of its destination.
    says: Hash,
    /// Where its keys begin.
    keys: usize,
    is_same_server: bool,
    is_left_out: bool,
}

/// What a row is to the rows before it.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The first of its key: the row of this number, from 0.
    New(usize),
    /// The same again.
    Same,
    /// The row on this line has the same key and another destination.
    Differs(u64),
}

impl Rows {
    /// Takes the next row, with the key under which its link is kept.
    pub fn insert(&mut self, line: u64, key: &LinkKey, destination: &Destination, onward: &Onward) -> Seen {
        let says = hash(&[
            destination.status().code().to_le_bytes().as_slice(),
            destination.target().map_or("", |target| target.as_str()).as_bytes(),
        ]);
        match self.by_key.entry(KeyHash::of(key.as_str().as_bytes())) {
            Entry::Vacant(entry) => {
                let number = self.rows.len();
                entry.insert(number);
                let is_same_server = onward.is_same_server;
                self.rows.push(Row { line, says, keys: self.keys.len(), is_same_server, is_left_out: false });
                self.keys.extend_from_slice(&onward.keys);
                Seen::New(number)
            }
            Entry::Occupied(entry) => match &self.rows[*entry.get()] {
                row if row.says == says => Seen::Same,
                row => Seen::Differs(row.line),
            },
        }
    }

    /// Takes a stored link to which rows lead, with the keys of those that may answer its target, as in [`Onward::keys`].
    pub fn insert_stored(&mut self, key: KeyHash, keys: Vec<KeyHash>) {
        self.stored.insert(key, keys.into());
    }

    /// Whether a stored link was taken already.
    pub fn has_stored(&self, key: KeyHash) -> bool {
        self.stored.contains_key(&key)
    }

    /// How many rows there are that do not come again.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// The line of a row.
    pub fn line(&self, number: usize) -> u64 {
        self.rows[number].line
    }

    /// Leaves a row out, as if it were not there.
    pub fn leave_out(&mut self, number: usize) {
        self.rows[number].is_left_out = true;
    }

    /// The row that answers the target of this one, be it over stored links that no row replaces; itself, if it leads
    /// straight back.
    pub fn next(&self, number: usize) -> Option<usize> {
        let row = &self.rows[number];
        let end = self.rows.get(number + 1).map_or(self.keys.len(), |row| row.keys);
        let mut keys = &self.keys[row.keys..end];
        // Stored links may lead in a circle: the mark stands still, ever longer, until it is met again (Brent 1980).
        let (mut steps, mut patience, mut mark) = (0_usize, 1_usize, None);
        loop {
            let mut rows = keys.iter().filter_map(|key| self.by_key.get(key).copied());
            if let Some(next) = rows.find(|&next| !self.rows[next].is_left_out) {
                let is_elsewhere = next == number && steps == 0 && !row.is_same_server;
                return (!is_elsewhere).then_some(next);
            }
            let through = keys.last()?;
            if mark == Some(through) {
                return None;
            }
            keys = self.stored.get(through)?;
            steps += 1;
            if steps == patience {
                (mark, patience) = (Some(through), patience * 2);
            }
        }
    }

    /// The rows that lead to each other in a circle, each circle from its first row on. Takes time in proportion to all
    /// rows, and to the stored links on their way.
    pub fn loops(&self) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        // By which walk a row was reached first, from 1.
        let mut reached = vec![0_usize; self.rows.len()];
        for start in 0..self.rows.len() {
            let walk = start + 1;
            let mut at = Some(start).filter(|&start| !self.rows[start].is_left_out);
            while let Some(row) = at.filter(|&row| reached[row] == 0) {
                reached[row] = walk;
                at = self.next(row);
            }
            if let Some(first) = at.filter(|&row| reached[row] == walk) {
                let mut circle = vec![first];
                let mut row = self.next(first);
                while let Some(next) = row.filter(|&row| row != first) {
                    circle.push(next);
                    row = self.next(next);
                }
                let least = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
                circle.rotate_left(least);
                found.push(circle);
            }
        }
        found
    }
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Status, Target};
    use proptest::prelude::*;

    /// Rows of these keys, of which each leads to the others named.
    fn rows(all: &[(&str, &[&str], bool)]) -> Rows {
        let mut rows = Rows::default();
        for (line, (key, keys, is_same_server)) in (2..).zip(all) {
            let target = Target::parse("https://x.example/").unwrap();
            let destination = Destination::new(Status::Found, Some(target)).unwrap();
            let keys: Vec<_> = keys.iter().map(|key| KeyHash::of(key.as_bytes())).collect();
            let onward = Onward { keys, is_same_server: *is_same_server };
            rows.insert(line, &LinkKey::parse(key).unwrap(), &destination, &onward);
        }
        rows
    }

    #[test]
    fn circles_are_found_once_and_what_leads_into_them_is_none() {
        let mut found = rows(&[
            ("/in", &["*/b"], false),
            ("/a", &["*/nothing", "*/b"], false),
            ("/b", &["*/c"], false),
            ("/c", &["*/a"], false),
            ("/own", &["*/own"], true),
            ("/https", &["*/https"], false),
            ("/end", &[], false),
        ]);
        assert_eq!(found.loops(), [vec![1, 2, 3], vec![4]]);
        assert_eq!((found.next(0), found.next(5), found.next(6)), (Some(2), None, None));
        found.leave_out(2);
        found.leave_out(4);
        assert_eq!(found.loops(), [[0; 0]; 0]);
    }

    #[test]
    fn a_row_that_comes_back_over_what_is_stored_does_so_on_any_server() {
        let mut found = rows(&[("/a", &["*/0"], false), ("/b", &["*/a"], false)]);
        assert_eq!(found.loops(), [[0; 0]; 0]);
        let key = |number: u32| KeyHash::of(format!("*/{number}").as_bytes());
        (0..20).for_each(|number| found.insert_stored(key(number), vec![key(number + 1)]));
        assert_eq!((found.loops(), found.has_stored(key(19)), found.has_stored(key(20))), (vec![], true, false));
        found.insert_stored(key(20), vec![KeyHash::of(b"*/nothing"), KeyHash::of(b"*/a")]);
        assert_eq!(found.loops(), [[0]]);
        // What is stored leads in a circle of its own.
        found.insert_stored(key(20), vec![key(7)]);
        assert_eq!((found.next(0), found.next(1)), (None, Some(0)));
    }

    proptest! {
        #[test]
        fn every_row_from_which_nobody_gets_away_leads_into_a_circle(
            leads_to in proptest::collection::vec(proptest::option::of(0..12usize), 1..12),
        ) {
            let names: Vec<String> = (0..12).map(|row| format!("*/{row}")).collect();
            let keys: Vec<Vec<&str>> = leads_to.iter().map(|to| to.iter().map(|&to| names[to].as_str()).collect()).collect();
            let all: Vec<_> = keys.iter().enumerate().map(|(row, keys)| (names[row].as_str(), &keys[..], true)).collect();
            let found = rows(&all);
            let circles: Vec<usize> = found.loops().concat();
            for start in 0..leads_to.len() {
                let mut at = Some(start);
                // After as many steps as there are rows, who is still on the way is in a circle.
                for _ in 0..leads_to.len() {
                    at = at.and_then(|at| leads_to[at]).filter(|&at| at < leads_to.len());
                }
                prop_assert!(at.is_none_or(|at| circles.contains(&at)));
            }
            prop_assert!(circles.iter().all(|&row| leads_to[row].is_some_and(|next| circles.contains(&next))));
        }
    }
}
