//! The clicks of links with a limit, from the start of an engine to its end.

use std::num::NonZeroU64;

use super::*;

fn limited(text: &str) -> Command {
    let Action::Put(destination) = to(1) else { unreachable!("it puts") };
    let options = LinkOptions { max_clicks: NonZeroU64::new(2), ..LinkOptions::default() };
    let set = SetLink { destination, options, chains: Chains::Allow, is_generated: false };
    Command { key: key(text), action: Action::Set(Box::new(set)), precondition: Precondition::None }
}

fn id(engine: &Engine, text: &str) -> u64 {
    engine.stored_entry(key(text).as_str()).unwrap().link.unwrap().id.0
}

#[test]
fn clicks_are_kept_over_restarts_and_forgotten_with_their_link() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    submit(owned.engine(), vec![limited("/a"), limited("/b")]).unwrap();
    let [a, b] = ["/a", "/b"].map(|text| id(owned.engine(), text));
    assert!(owned.engine().uses().take(a, 2) && owned.engine().uses().take(b, 2));
    owned.close().unwrap();

    let (owned, _) = open(dir.path());
    let uses = owned.engine().uses();
    assert_eq!((uses.used(a), uses.used(b)), (1, 1));
    submit(owned.engine(), vec![delete("/a")]).unwrap();
    assert_eq!((uses.used(a), uses.used(b)), (0, 1));
    // A link that comes after it is another one.
    submit(owned.engine(), vec![limited("/a"), put("/b", 2)]).unwrap();
    assert_ne!(id(owned.engine(), "/a"), a);
    assert_eq!((id(owned.engine(), "/b"), uses.used(b)), (b, 1));
    owned.close().unwrap();

    let (owned, _) = open(dir.path());
    let uses = owned.engine().uses();
    assert_eq!((uses.used(a), uses.used(b), uses.links()), (0, 1, 1));
}

#[test]
fn damage_of_the_file_is_found_without_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    assert!(owned.engine().uses().take(1_024, 3));
    owned.close().unwrap();
    let verify = || crate::engine::verify_directory(&config(dir.path()), false).unwrap().damages;
    assert_eq!(verify(), Vec::<String>::new());
    let path = dir.path().join("uses");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[16] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let damages = verify();
    assert!(damages.len() == 1 && damages[0].contains("uses"), "{damages:?}");
    assert!(std::fs::read(&path).unwrap() == bytes, "it only reads");
}
