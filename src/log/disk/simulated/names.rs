//! The names in a directory, and what a crash leaves of them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use fastrand::Rng;

/// What a name stands for: the number of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    File(u64),
    Directory(u64),
}

/// The names of a directory.
///
/// Changes reach the disk in order, as through a journal: a crash leaves the first few of those not synced, and each
/// wholly or not at all. So a rename never leaves both names, or none.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: BTreeMap<OsString, Entry>,
    /// What is on the disk for sure, without the changes.
    durable: BTreeMap<OsString, Entry>,
    changes: Vec<(Change, Fate)>,
}

/// A name changes what it stands for.
#[derive(Debug)]
struct Change {
    name: OsString,
    /// None: the name is gone.
    entry: Option<Entry>,
    /// The name that it had before, which is gone.
    renamed_from: Option<OsString>,
}

/// What has become of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was not synced.
    Pending,
    /// Its sync failed. No later one is about it.
    Unknown,
    /// It was synced, while an earlier change is unknown.
    Durable,
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<OsString, Entry>) {
        if let Some(from) = &self.renamed_from {
            names.remove(from);
        }
        match self.entry {
            Some(entry) => names.insert(self.name.clone(), entry),
            None => names.remove(&self.name),
        };
    }
}

impl Names {
    pub(super) fn get(&self, name: &OsStr) -> Option<Entry> {
        self.seen.get(name).copied()
    }

    /// All that are seen, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsString, Entry)> {
        self.seen.iter().map(|(name, entry)| (name, *entry))
    }

    /// What any name stands for or, after a crash, may stand for again.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let changed = self.changes.iter().filter_map(|(change, _)| change.entry);
        self.seen.values().chain(self.durable.values()).copied().chain(changed)
    }

    pub(super) fn insert(&mut self, name: &OsStr, entry: Entry) {
        self.change(Change { name: name.to_owned(), entry: Some(entry), renamed_from: None });
    }

    pub(super) fn remove(&mut self, name: &OsStr) {
        self.change(Change { name: name.to_owned(), entry: None, renamed_from: None });
    }

    /// Gives what stands under one name another. The first name must be there.
    pub(super) fn rename(&mut self, from: &OsStr, to: &OsStr) {
        let entry = self.get(from);
        self.change(Change { name: to.to_owned(), entry, renamed_from: Some(from.to_owned()) });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push((change, Fate::Pending));
    }

    pub(super) fn sync(&mut self) {
        self.change_fate(Fate::Durable);
        if self.changes.iter().all(|(_, fate)| *fate == Fate::Durable) {
            self.changes.clear();
            self.durable.clone_from(&self.seen);
        }
    }

    pub(super) fn fail_sync(&mut self) {
        self.change_fate(Fate::Unknown);
    }

    /// Decides what becomes of the pending changes.
    fn change_fate(&mut self, decided: Fate) {
        for (_, fate) in &mut self.changes {
            if *fate == Fate::Pending {
                *fate = decided;
            }
        }
    }

    pub(super) fn crash(&mut self, rng: &mut Rng) {
        let count = |wanted| self.changes.iter().filter(|(_, fate)| *fate == wanted).count();
        let mut pending_left = rng.usize(0..=count(Fate::Pending));
        let mut unknown_left = rng.usize(0..=count(Fate::Unknown));
        for (change, fate) in self.changes.drain(..) {
            let left = match fate {
                Fate::Durable => true,
                Fate::Pending => take_one(&mut pending_left),
                Fate::Unknown => take_one(&mut unknown_left),
            };
            if left {
                change.apply(&mut self.durable);
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

fn take_one(left: &mut usize) -> bool {
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}
