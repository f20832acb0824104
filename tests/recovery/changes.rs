//! The changes that each thread of the killed process makes, and the links that they lead to.

use std::collections::BTreeMap;

use carom::engine::{Engine, SubmitError};
use carom::link::{Action, Command, Destination, LinkKey, Precondition, Status, Target};
use carom::log::OperationId;

/// Keys of one thread; no other thread changes them. More than a chunk that a store takes at once, so that a set or a
/// batch of which only some chunks were applied is seen.
const KEYS: u64 = 2_000;

/// Makes the large changes long enough for the log to go over the end of a segment now and then.
const PADDING: usize = 600;

/// What a thread does as its change with a number. All or none of it must be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    /// More than sled takes in one chunk.
    LargeBatch,
    Batch,
    Single,
    /// With a precondition that is never met.
    Refused,
}

fn kind(number: u64) -> Kind {
    match number % 16 {
        7 => Kind::Set,
        15 => Kind::LargeBatch,
        3 | 11 => Kind::Refused,
        even if even % 2 == 0 => Kind::Batch,
        _ => Kind::Single,
    }
}

fn key(thread: usize, index: u64) -> LinkKey {
    let query = if index.is_multiple_of(3) { "?q" } else { "" };
    LinkKey::parse(&format!("/{thread}/{}{query}", index / 2)).unwrap()
}

fn put(number: u64, padding: usize) -> Action {
    let target = format!("https://to.example/{number}{:x<padding$}", "/");
    Action::Put(Destination::new(Status::Found, Some(Target::parse(&target).unwrap())).unwrap())
}

fn actions(thread: usize, number: u64) -> Vec<(LinkKey, Action)> {
    let (count, padding) = match kind(number) {
        Kind::Set => (1_300, PADDING),
        Kind::LargeBatch => (350, PADDING),
        Kind::Batch => (3, 0),
        Kind::Single => return vec![(key(thread, number % KEYS), put(number, 0))],
        Kind::Refused => (2, 0),
    };
    let mut actions: Vec<_> =
        (0..count).map(|more| (key(thread, (number + more) % KEYS), put(number, padding))).collect();
    actions.push((key(thread, number * 7 % KEYS), Action::Delete));
    actions
}

/// The name of a change that has one. The same in each process.
fn operation(thread: usize, number: u64) -> Option<OperationId> {
    let is_named = match kind(number) {
        Kind::Set => false,
        Kind::LargeBatch | Kind::Refused => true,
        Kind::Batch | Kind::Single => number.is_multiple_of(3) || number.is_multiple_of(4),
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(thread as u64 + 1).to_le_bytes());
    id[8..].copy_from_slice(&number.to_le_bytes());
    is_named.then_some(OperationId(id))
}

/// Whether a change has a name by which its outcome is remembered.
pub(crate) fn is_named(thread: usize, number: u64) -> bool {
    operation(thread, number).is_some()
}

/// Makes a change, and gives its outcome as one word.
pub(crate) fn make(engine: &Engine, thread: usize, number: u64) -> String {
    let actions = actions(thread, number);
    if kind(number) == Kind::Set {
        let mut set = engine.begin_set().unwrap();
        actions.into_iter().for_each(|(key, action)| set.add(key, action).unwrap());
        set.commit().unwrap();
        return "set".to_owned();
    }
    let mut commands: Vec<Command> =
        actions.into_iter().map(|(key, action)| Command { key, action, precondition: Precondition::None }).collect();
    if kind(number) == Kind::Refused {
        commands[1].precondition = Precondition::Version(u64::MAX);
    }
    let outcome = match engine.submit(operation(thread, number), commands) {
        Ok(acknowledged) => format!("{:?}", acknowledged.outcome),
        // It tells the version that there was, so that a verdict of today is told from the first one.
        Err(SubmitError::Refused(refusal, _)) if kind(number) == Kind::Refused => format!("{refusal:?}"),
        Err(error) => panic!("thread {thread}, change {number}: {error}"),
    };
    blake3::hash(outcome.as_bytes()).to_hex().to_string()
}

/// The links of a thread after all changes up to a number.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Links(BTreeMap<String, String>);

impl Links {
    /// Applies a change.
    pub(crate) fn apply(&mut self, thread: usize, number: u64) {
        if kind(number) == Kind::Refused {
            return;
        }
        for (key, action) in actions(thread, number) {
            match action {
                Action::Put(to) => self.0.insert(key.as_str().to_owned(), to.to_string()),
                Action::Delete => self.0.remove(key.as_str()),
                Action::Set(_) | Action::Patch(..) => unreachable!("no such change is made here"),
            };
        }
    }

    /// What an engine has of a thread.
    pub(crate) fn found(engine: &Engine, thread: usize) -> Self {
        let mut links = Links::default();
        for key in (0..KEYS).map(|index| key(thread, index)) {
            if let Some(link) = engine.stored_entry(key.as_str()).unwrap().link {
                links.0.insert(key.as_str().to_owned(), link.destination.to_string());
            }
        }
        links
    }

    /// Panics if others are not the same, naming some links that differ.
    #[track_caller]
    pub(crate) fn assert_are(&self, found: &Links, where_: &str) {
        let keys = self.0.keys().chain(found.0.keys());
        let different = keys.filter(|key| self.0.get(*key) != found.0.get(*key)).take(3);
        let different: Vec<_> = different.map(|key| (key, self.0.get(key), found.0.get(key))).collect();
        assert!(different.is_empty(), "{where_}: expected and found differ in {different:?}");
    }
}
