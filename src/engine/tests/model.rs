//! Outcomes and states against a map.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::link::{Edit, LinkPatch, Refusal, Subject};

const KEYS: [&str; 6] = ["/a", "/b", "/a?x=1", "/a?x=2", "h.example/a", "h.example/a?x=1"];

/// Version of each link, and what it says.
type Model = BTreeMap<LinkKey, (u64, (Destination, LinkOptions))>;

/// What an engine must answer, link numbers aside.
#[derive(Debug, PartialEq)]
enum Expected {
    Created,
    Replaced(u64),
    Unchanged,
    Deleted,
}

impl From<Outcome> for Expected {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Created(_) => Expected::Created,
            Outcome::Replaced { version } => Expected::Replaced(version),
            Outcome::Unchanged => Expected::Unchanged,
            Outcome::Deleted => Expected::Deleted,
        }
    }
}

/// Runs commands that the record of this sequence is to hold.
fn run(model: &mut Model, commands: &[Command], sequence: u64) -> Result<Vec<Expected>, LinkKey> {
    let mut after = model.clone();
    let mut outcomes = Vec::new();
    for Command { key, action, precondition } in commands {
        let link = after.get(key).cloned();
        let met = match precondition {
            Precondition::None => true,
            Precondition::Absent => link.is_none(),
            Precondition::Present => link.is_some(),
            Precondition::Version(version) => link.as_ref().is_some_and(|link| link.0 == *version),
        };
        if !met {
            return Err(key.clone());
        }
        let said = match (action, &link) {
            (Action::Put(to), None) => Some((to.clone(), LinkOptions::default())),
            (Action::Put(to), Some((_, (_, options)))) => Some((to.clone(), options.clone())),
            (Action::Set(set), _) => Some((set.destination.clone(), set.options.clone())),
            (Action::Patch(..), None) => return Err(key.clone()),
            (Action::Patch(patch, _), Some((_, (to, options)))) => {
                let LinkPatch { title: Edit::Set(title), tags: Some(tags), .. } = &**patch else {
                    unreachable!("that is what is patched here")
                };
                let options = LinkOptions { title: Some(title.clone()), tags: tags.clone(), ..options.clone() };
                Some((to.clone(), options))
            }
            (Action::Delete, _) => None,
        };
        outcomes.push(match (said, link) {
            (Some(said), None) => {
                after.insert(key.clone(), (sequence, said));
                Expected::Created
            }
            (Some(said), Some((_, before))) if said == before => Expected::Unchanged,
            (Some(said), Some(_)) => {
                after.insert(key.clone(), (sequence, said));
                Expected::Replaced(sequence)
            }
            (None, None) => Expected::Unchanged,
            (None, Some(_)) => {
                after.remove(key);
                Expected::Deleted
            }
        });
    }
    *model = after;
    Ok(outcomes)
}

fn command() -> impl Strategy<Value = Command> {
    let precondition = prop_oneof![
        6 => Just(Precondition::None),
        1 => Just(Precondition::Absent),
        1 => Just(Precondition::Present),
        2 => (0..3u64).prop_map(Precondition::Version),
    ];
    (0..KEYS.len(), 0..4u64, 0..8u64, precondition).prop_map(|(index, target, kind, precondition)| {
        let tags = &["a", "b"][..kind as usize % 3];
        let action = match (target, kind) {
            (0, _) => Action::Delete,
            (_, 0..4) => to(target),
            (_, 4..7) => set(target, tags),
            _ => patch(target, tags),
        };
        Command { key: key(KEYS[index]), action, precondition }
    })
}

fn assert_state(engine: &Engine, model: &Model) {
    for text in KEYS {
        let key = key(text);
        let entry = engine.stored_entry(key.as_str()).unwrap();
        let found = entry.link.map(|link| (link.version, (link.destination, link.options)));
        assert_eq!(found.as_ref(), model.get(&key), "{text}");
        let with_query = |other: &&LinkKey| other.has_query() && other.path_key() == key.as_str();
        assert_eq!(entry.query_links as usize, model.keys().filter(with_query).count(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_engine_answers_and_ends_like_a_map(
        batches in proptest::collection::vec(proptest::collection::vec(command(), 1..6), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (owned, _) = open(dir.path());
        let (mut model, mut sequence) = (Model::new(), 0);
        for mut batch in batches {
            for Command { key, precondition, .. } in &mut batch {
                // Counted from the one that the link has, which is 0.
                if let Precondition::Version(version) = precondition {
                    *version += model.get(key).map_or(0, |link| link.0);
                }
            }
            let expected = run(&mut model, &batch, sequence + 1);
            match submit(owned.engine(), batch) {
                Ok(outcomes) => {
                    sequence += u64::from(outcomes.iter().any(|outcome| *outcome != Outcome::Unchanged));
                    let outcomes: Vec<Expected> = outcomes.into_iter().map(Expected::from).collect();
                    prop_assert_eq!(Ok(outcomes), expected);
                }
                Err(SubmitError::Refused(refusal, _)) => {
                    let (Refusal::Exists { subject, .. } | Refusal::VersionMismatch { subject, .. } | Refusal::NotFound(subject)) =
                        refusal
                    else {
                        panic!("{refusal}");
                    };
                    let expected = expected.map_err(Subject::Link);
                    prop_assert_eq!(Err(subject), expected);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_state(owned.engine(), &model);
        let digest = owned.engine().digest().unwrap();
        owned.close().unwrap();
        prop_assert_eq!(digest_of_log(dir.path()), digest);
        let (owned, recovery) = open(dir.path());
        prop_assert_eq!(recovery.applied_records, 0);
        assert_state(owned.engine(), &model);
        prop_assert_eq!(owned.engine().digest().unwrap(), digest);
    }
}

/// A batch, or a set.
type Batch = (bool, Vec<Command>);

fn changes() -> impl Strategy<Value = Vec<Batch>> {
    let batch = proptest::collection::vec(command(), 1..6).prop_map(|commands| (false, commands));
    // Many links, so that a change is applied in several chunks, of which sled and fjall have different ones.
    let put_many = (1..1_500u64, 1..4u64).prop_map(|(links, target)| {
        (0..links).map(|link| put(&format!("/m{}{}", link / 2, ["", "?q"][link as usize % 2]), target)).collect()
    });
    let delete_some = (1..300u64)
        .prop_map(|step| (0..1_500).step_by(step as usize).map(|link| delete(&format!("/m{}", link / 2))).collect());
    let set = prop_oneof![put_many, delete_some].prop_map(|commands| (true, commands));
    proptest::collection::vec(prop_oneof![4 => batch, 1 => set], 1..12)
}

fn make(engine: &Engine, (is_set, commands): &Batch) {
    if *is_set {
        let mut set = engine.begin_set().unwrap();
        commands.iter().for_each(|command| set.add(command.key.clone(), command.action.clone()).unwrap());
        set.commit().unwrap();
    } else {
        match submit(engine, commands.clone()) {
            Ok(_) | Err(SubmitError::Refused(..)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Changes made through an engine on one store, and its log replayed into the others.
    #[test]
    fn every_store_comes_to_the_same_state(changes in changes(), live in 0..StoreKind::ALL.len()) {
        let dir = tempfile::tempdir().unwrap();
        let live = StoreKind::ALL[live];
        let (owned, _) = OwnedEngine::open(&config_of(live, dir.path())).unwrap();
        changes.iter().for_each(|change| make(owned.engine(), change));
        let digest = owned.engine().digest().unwrap();
        owned.close().unwrap();
        prop_assert_eq!(digest_of_log(dir.path()), digest);
        let log = open_log(&dir.path().join("log"));
        for kind in StoreKind::ALL {
            let other = tempfile::tempdir().unwrap();
            let store = crate::store::open(Some(kind), other.path(), 1 << 20).unwrap();
            resume(&log, &store).unwrap();
            prop_assert_eq!(StateDigest::of(store.as_ref()).unwrap(), digest, "{}", kind);
            // Nor is anything missing after it was closed.
            let position = store.position().unwrap();
            drop(store);
            let store = crate::store::open(Some(kind), other.path(), 1 << 20).unwrap();
            prop_assert_eq!(StateDigest::of(store.as_ref()).unwrap(), digest, "{}", kind);
            prop_assert_eq!(store.position().unwrap(), position);
        }
    }
}

#[test]
fn of_many_that_create_one_link_at_once_one_does() {
    const KEYS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let created: Vec<AtomicUsize> = std::iter::repeat_with(|| AtomicUsize::new(0)).take(KEYS).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (engine, created) = (owned.engine(), &created);
            scope.spawn(move || {
                for (index, created) in created.iter().enumerate() {
                    match submit(engine, vec![create(&format!("/{index}"), thread), put("/all", thread)]) {
                        Ok(outcomes) => {
                            assert!(matches!(outcomes[0], Outcome::Created(_)));
                            created.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert!(matches!(error, SubmitError::Refused(Refusal::Exists { .. }, _)), "{error}")
                        }
                    }
                }
            });
        }
    });
    assert!(created.iter().all(|created| created.load(Ordering::Relaxed) == 1));
    let digest = owned.engine().digest().unwrap();
    assert_eq!(digest.entries, KEYS as u64 + 1);
    owned.close().unwrap();
    assert_eq!(digest_of_log(dir.path()), digest);
}

#[test]
fn of_many_that_replace_one_version_at_once_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![create("/n", 0)]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let engine = owned.engine();
            scope.spawn(move || {
                let mut done = 0;
                while done < 30 {
                    let version = engine.stored_entry("*/n").unwrap().link.unwrap().version;
                    let action = to(version * 10 + thread);
                    let command = Command { key: key("/n"), action, precondition: Precondition::Version(version) };
                    match submit(engine, vec![command]) {
                        Ok(outcomes) => {
                            assert_eq!(outcomes, [Outcome::Replaced { version: version + 1 }]);
                            done += 1;
                        }
                        Err(SubmitError::Refused(Refusal::VersionMismatch { expected, found, .. }, _)) => {
                            assert!(expected == version && found > version);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(owned.engine().stored_entry("*/n").unwrap().link.unwrap().version, 1 + 6 * 30);
}
