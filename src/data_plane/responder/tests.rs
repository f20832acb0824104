//! What a responder does with what was read.

use super::*;
use crate::engine::{EngineConfig, OwnedEngine};

/// A responder that knows `a.example/known`, and its engine.
struct World {
    responder: Responder,
    peer: Peer,
    output: Vec<u8>,
    engine: OwnedEngine,
    _data: tempfile::TempDir,
}

const KNOWN: &str = "GET /known HTTP/1.1\r\nHost: a.example\r\n\r\n";
const UNKNOWN: &str = "GET /unknown HTTP/1.1\r\nHost: a.example\r\n\r\n";

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = EngineConfig { cache_bytes: 1 << 20, ..EngineConfig::new(data.path().join("data")) };
        let (engine, _) = OwnedEngine::open(&config).unwrap();
        let responder = Responder::new(engine.engine());
        let peer = Peer::new(Guest::new([192, 0, 2, 7].into()));
        let mut world = World { responder, peer, output: Vec::new(), engine, _data: data };
        let (_, stop) = world.responder.answer_all(KNOWN.as_bytes(), false, &mut world.peer, &mut world.output);
        let Stop::Miss(missed) = stop else { panic!("{stop:?}") };
        let link = CachedLink::present(&missed.1.key, 1, 302, b"https://x.example/", false);
        world.responder.remember(&missed.1, link);
        world
    }

    /// What was consumed, how many answers there are, and why it stopped.
    fn answer(&mut self, input: &str, is_draining: bool) -> (usize, usize, String) {
        self.output.clear();
        let (consumed, stop) =
            self.responder.answer_all(input.as_bytes(), is_draining, &mut self.peer, &mut self.output);
        let answers = self.output.windows(9).filter(|bytes| bytes == b"HTTP/1.1 ").count();
        let stop = match stop {
            Stop::Miss(missed) => format!("Miss({})", String::from_utf8_lossy(missed.0.path)),
            stop => format!("{stop:?}"),
        };
        (consumed, answers, stop)
    }
}

#[test]
fn whole_requests_are_answered_and_the_rest_is_left() {
    let mut world = World::new();
    let length = KNOWN.len();
    assert_eq!(world.answer("", false), (0, 0, "Partial".to_owned()));
    assert_eq!(world.answer(&KNOWN[..length - 1], false), (0, 0, "Partial".to_owned()));
    assert_eq!(world.answer(&KNOWN.repeat(3), false), (3 * length, 3, "Partial".to_owned()));
    assert_eq!(world.answer(&(KNOWN.repeat(2) + "GET /"), false), (2 * length, 2, "Partial".to_owned()));
    assert_eq!(world.responder.counters().get(Counter::Redirects), 5);
}

#[test]
fn what_needs_the_store_is_given_back_once_it_is_its_turn() {
    let mut world = World::new();
    let input = [KNOWN, UNKNOWN, KNOWN].concat();
    let consumed = KNOWN.len() + UNKNOWN.len();
    assert_eq!(world.answer(&input, false), (consumed, 1, "Miss(/unknown)".to_owned()));
    assert_eq!(world.answer(&input[consumed..], false), (KNOWN.len(), 1, "Partial".to_owned()));
}

#[test]
fn a_connection_ends_with_the_last_answer_and_waits_if_more_may_come() {
    let mut world = World::new();
    let last = KNOWN.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let with_body = last.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n");
    let length = last.len();
    assert_eq!(world.answer(&last, false), (length, 1, "Ends(Close)".to_owned()));
    assert_eq!(world.answer(&(last.clone() + KNOWN), false), (length, 1, "Ends(Linger)".to_owned()));
    assert_eq!(world.answer(&with_body, false), (with_body.len(), 1, "Ends(Linger)".to_owned()));
    // While draining, the client does not know that it is the last.
    assert_eq!(world.answer(&KNOWN.repeat(2), true), (KNOWN.len(), 1, "Ends(Linger)".to_owned()));
    assert_eq!(world.answer("NO REQUEST\r\n\r\n", false), (0, 1, "Ends(Linger)".to_owned()));
    assert_eq!(world.responder.counters().get(Counter::Rejected), 1);
}

#[test]
fn answers_are_written_before_they_are_too_many() {
    let mut world = World::new();
    let input = KNOWN.repeat(2 * OUTPUT_BYTES / KNOWN.len());
    let (consumed, answers, stop) = world.answer(&input, false);
    assert_eq!((consumed, stop), (answers * KNOWN.len(), "Full".to_owned()));
    let length = world.output.len() / answers;
    assert!((OUTPUT_BYTES..OUTPUT_BYTES + length).contains(&world.output.len()));
}

#[test]
fn after_a_change_what_was_remembered_is_not_answered() {
    let mut world = World::new();
    let key = crate::link::LinkKey::parse("a.example/known").unwrap();
    let target = crate::link::Target::parse("https://y.example/").unwrap();
    let destination = crate::link::Destination::new(crate::link::Status::Found, Some(target)).unwrap();
    let action = crate::link::Action::Put(destination);
    let command = crate::link::Command { key, action, precondition: crate::link::Precondition::None };
    world.engine.engine().submit(None, vec![command]).unwrap();
    let (_, answers, stop) = world.answer(KNOWN, false);
    // Asked of the store, or answered from the shared cache.
    let output = String::from_utf8_lossy(&world.output);
    assert!(stop == "Miss(/known)" || (answers == 1 && output.contains("https://y.example/")), "{stop}: {output}");
}
