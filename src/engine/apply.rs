//! What a record does to the state: a pure function of both (I3). No clock, no random numbers, no I/O
//! decisions; the state comes through [`State`].

use crate::limits::BATCH_COMMANDS;
use crate::link::{Action, Command, Link, LinkId, LinkKey, Outcome, Precondition, Refusal, StoredEntry};
use crate::store::StoreError;

/// The state that commands are applied to.
pub trait State {
    /// The entry of a canonical key; the empty entry if there is none.
    ///
    /// # Errors
    /// If the state can't be read.
    fn entry(&self, key: &str) -> Result<StoredEntry, StoreError>;

    /// Replaces the entry of a canonical key.
    fn set_entry(&mut self, key: &str, entry: StoredEntry);
}

/// From where in the log a command comes.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// The sequence of the record that holds the command.
    pub sequence: u64,
    /// Its place within the record, from 0.
    pub index: usize,
    /// The time at which it takes effect: that of the record that applies it, in milliseconds since the Unix
    /// epoch.
    pub time_ms: u64,
}

impl Origin {
    /// The number of a link that is created here: unique, since no other command has this place.
    fn link_id(self) -> LinkId {
        assert!(self.index < BATCH_COMMANDS, "command {} of a record", self.index);
        LinkId(self.sequence << 10 | self.index as u64)
    }
}

/// Applies one command, or tells why it is refused; then nothing changed.
///
/// # Errors
/// If the state can't be read.
pub fn apply(
    state: &mut impl State,
    command: &Command,
    origin: Origin,
) -> Result<Result<Outcome, Refusal>, StoreError> {
    let key = &command.key;
    let entry = state.entry(key.as_str())?;
    if let Err(refusal) = judge(command, entry.link.as_ref()) {
        return Ok(Err(refusal));
    }
    Ok(Ok(match (&command.action, entry.link) {
        (Action::Put(destination), None) => {
            let id = origin.link_id();
            let link = Link {
                id,
                key: key.clone(),
                destination: destination.clone(),
                created_at_ms: origin.time_ms,
                updated_at_ms: origin.time_ms,
                version: 1,
            };
            state.set_entry(key.as_str(), StoredEntry { link: Some(link), ..entry });
            count_query_link(state, key, 1)?;
            Outcome::Created(id)
        }
        (Action::Put(destination), Some(link)) if link.destination == *destination => Outcome::Unchanged,
        (Action::Put(destination), Some(mut link)) => {
            link.destination = destination.clone();
            link.updated_at_ms = origin.time_ms;
            link.version += 1;
            let version = link.version;
            state.set_entry(key.as_str(), StoredEntry { link: Some(link), ..entry });
            Outcome::Replaced { version }
        }
        (Action::Delete, None) => Outcome::Unchanged,
        (Action::Delete, Some(_)) => {
            state.set_entry(key.as_str(), StoredEntry { link: None, ..entry });
            count_query_link(state, key, -1)?;
            Outcome::Deleted
        }
    }))
}

fn judge(command: &Command, link: Option<&Link>) -> Result<(), Refusal> {
    let key = || command.key.clone();
    match (command.precondition, link) {
        (Precondition::None, _) | (Precondition::Absent, None) => Ok(()),
        (Precondition::Absent, Some(link)) => Err(Refusal::Exists { key: key(), version: link.version }),
        (Precondition::Version(_), None) => Err(Refusal::NotFound(key())),
        (Precondition::Version(expected), Some(link)) if expected == link.version => Ok(()),
        (Precondition::Version(expected), Some(link)) => {
            Err(Refusal::VersionMismatch { key: key(), expected, found: link.version })
        }
    }
}

/// Keeps count of the links of one path that are keyed with a query, so that a request with a query need not
/// look for one where there is none.
fn count_query_link(state: &mut impl State, key: &LinkKey, change: i64) -> Result<(), StoreError> {
    if !key.has_query() {
        return Ok(());
    }
    let mut entry = state.entry(key.path_key())?;
    entry.query_links = entry.query_links.checked_add_signed(change).expect("as many are deleted as were created");
    state.set_entry(key.path_key(), entry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::link::{Destination, Status, Target};
    use proptest::prelude::*;

    #[derive(Debug, Default, Clone, PartialEq)]
    struct Model(BTreeMap<String, StoredEntry>);

    impl State for Model {
        fn entry(&self, key: &str) -> Result<StoredEntry, StoreError> {
            Ok(self.0.get(key).cloned().unwrap_or_default())
        }

        fn set_entry(&mut self, key: &str, entry: StoredEntry) {
            if entry == StoredEntry::default() {
                self.0.remove(key)
            } else {
                self.0.insert(key.to_owned(), entry)
            };
        }
    }

    fn put(key: &str, target: &str, precondition: Precondition) -> Command {
        let target = Target::parse(target).unwrap();
        let destination = Destination::new(Status::Found, Some(target)).unwrap();
        Command { key: LinkKey::parse(key).unwrap(), action: Action::Put(destination), precondition }
    }

    fn delete(key: &str, precondition: Precondition) -> Command {
        Command { key: LinkKey::parse(key).unwrap(), action: Action::Delete, precondition }
    }

    #[test]
    fn commands_have_the_outcomes_that_their_preconditions_call_for() {
        let mut model = Model::default();
        let mut sequence = 0;
        let mut run = |command: Command| {
            sequence += 1;
            apply(&mut model, &command, Origin { sequence, index: 3, time_ms: 1_000 + sequence }).unwrap()
        };
        let key = || LinkKey::parse("/a").unwrap();
        assert_eq!(run(put("/a", "https://x.example/", Precondition::Version(1))), Err(Refusal::NotFound(key())));
        assert_eq!(
            run(put("/a", "https://x.example/", Precondition::Absent)),
            Ok(Outcome::Created(LinkId(2 << 10 | 3)))
        );
        assert_eq!(
            run(put("/a", "https://y.example/", Precondition::Absent)),
            Err(Refusal::Exists { key: key(), version: 1 })
        );
        assert_eq!(run(put("/a", "https://x.example/", Precondition::None)), Ok(Outcome::Unchanged));
        assert_eq!(
            run(put("/a", "https://y.example/", Precondition::Version(1))),
            Ok(Outcome::Replaced { version: 2 })
        );
        assert_eq!(
            run(delete("/a", Precondition::Version(1))),
            Err(Refusal::VersionMismatch { key: key(), expected: 1, found: 2 })
        );
        assert_eq!(run(delete("/a", Precondition::Version(2))), Ok(Outcome::Deleted));
        assert_eq!(run(delete("/a", Precondition::None)), Ok(Outcome::Unchanged));
        assert_eq!(model, Model::default());
    }

    #[test]
    fn a_path_knows_how_many_links_of_it_have_a_query() {
        let mut model = Model::default();
        for (index, key) in ["/p?a=1", "/p?a=2", "/p", "/p?a=1"].into_iter().enumerate() {
            let origin = Origin { sequence: 1, index, time_ms: 0 };
            apply(&mut model, &put(key, "https://x.example/", Precondition::None), origin).unwrap().unwrap();
        }
        assert_eq!(model.0["*/p"].query_links, 2);
        for (key, left) in [("/p?a=1", 1), ("/p", 1), ("/p?a=1", 1)] {
            let origin = Origin { sequence: 2, index: 0, time_ms: 0 };
            apply(&mut model, &delete(key, Precondition::None), origin).unwrap().unwrap();
            assert_eq!(model.0["*/p"].query_links, left, "{key}");
        }
        apply(&mut model, &delete("/p?a=2", Precondition::None), Origin { sequence: 3, index: 0, time_ms: 0 })
            .unwrap()
            .unwrap();
        assert_eq!(model, Model::default());
    }

    proptest! {
        /// Versions count the changes of a link, ids are never given twice, and the counts of query links are
        /// those that one finds by looking.
        #[test]
        fn the_state_stays_sound(
            commands in proptest::collection::vec(
                ("/[ab](\\?[xy])?", 0..3u8, proptest::option::of(0..3u64)), 0..60,
            ),
        ) {
            let mut model = Model::default();
            let mut ids = std::collections::HashSet::new();
            for (sequence, (key, action, precondition)) in commands.into_iter().enumerate() {
                let precondition = match precondition {
                    None => Precondition::None,
                    Some(0) => Precondition::Absent,
                    Some(version) => Precondition::Version(version),
                };
                let command = match action {
                    0 => delete(&key, precondition),
                    target => put(&key, &format!("https://t{target}.example/"), precondition),
                };
                let before = model.clone();
                let origin = Origin { sequence: sequence as u64, index: 0, time_ms: 0 };
                match apply(&mut model, &command, origin).unwrap() {
                    Ok(Outcome::Created(id)) => prop_assert!(ids.insert(id)),
                    Ok(Outcome::Replaced { version }) => {
                        let old = before.0[command.key.as_str()].link.as_ref().unwrap().version;
                        prop_assert_eq!(version, old + 1);
                    }
                    Ok(Outcome::Deleted) => {
                        prop_assert!(model.entry(command.key.as_str()).unwrap().link.is_none());
                    }
                    Ok(Outcome::Unchanged) | Err(_) => prop_assert_eq!(&model, &before),
                }
                for path in ["*/a", "*/b"] {
                    let prefix = format!("{path}?");
                    let found = model.0.iter().filter(|(key, entry)| {
                        key.starts_with(&prefix) && entry.link.is_some()
                    });
                    prop_assert_eq!(model.entry(path).unwrap().query_links, found.count() as u64);
                }
            }
        }
    }
}
