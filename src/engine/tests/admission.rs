//! Who may still change anything, and how many codes there may be: looked at where changes are judged, one after the other.

use super::hosts::set_host;
use super::*;
use crate::link::{CodeAlphabet, CodeLength, HostSettings, Scope, TokenCommand, TokenId, TokenRecord};

fn token(id: TokenId, expires_at_ms: Option<u64>) -> Change {
    let record = TokenRecord {
        id,
        name: Title::parse("a token").unwrap(),
        secret_hash: [0; 32],
        scope: Scope::Admin,
        hosts: Vec::new(),
        created_at_ms: 0,
        expires_at_ms,
    };
    Change::Token(TokenCommand::Create(Box::new(record)))
}

#[test]
fn a_token_that_is_revoked_changes_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let local = |change| engine.change(Submission { actor: Actor::local(), operation: None, change }).unwrap();
    let change = |id, number| {
        let (change, operation) = (Change::Links(vec![put("/a", number)]), Some(OperationId([7; 16])));
        engine.change(Submission { actor: Actor::token(id), operation, change })
    };
    let (id, over) = (TokenId([1; 8]), TokenId([2; 8]));
    assert!(matches!(change(id, 1), Err(SubmitError::TokenEnded(ended)) if ended == id), "there is none yet");
    local(token(id, None));
    local(token(over, Some(1)));
    change(id, 1).unwrap();
    assert!(matches!(change(over, 2), Err(SubmitError::TokenEnded(_))), "it has expired");
    let sequence = engine.changes(crate::engine::ChangesRange::Before(None), 1).unwrap().newest;
    local(Change::Token(TokenCommand::Revoke(id)));
    assert!(
        matches!(change(id, 1), Err(SubmitError::TokenEnded(_))),
        "it isn't told what became of what it did, either"
    );
    let page = engine.changes(crate::engine::ChangesRange::After(sequence), 10).unwrap();
    assert_eq!(page.records.len(), 1, "what is not admitted is not logged: {:?}", page.records);
}

#[test]
fn a_token_that_is_revoked_in_the_same_group_changes_nothing_behind_that() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let id = TokenId([1; 8]);
    let (sender, answers) = crossbeam_channel::unbounded();
    let submit = |actor: &Actor, change| {
        let (sender, submission) = (sender.clone(), Submission { actor: actor.clone(), operation: None, change });
        engine.change_then(submission, move |result| sender.send(result.map(drop)).unwrap()).unwrap();
    };
    let put = |number| Change::Links(vec![put("/a", number)]);
    for round in 0..50 {
        submit(&Actor::local(), token(id, None));
        submit(&Actor::token(id), put(2 * round));
        submit(&Actor::local(), Change::Token(TokenCommand::Revoke(id)));
        submit(&Actor::token(id), put(2 * round + 1));
    }
    for _ in 0..50 {
        let round: Vec<_> = (0..4).map(|_| answers.recv().unwrap()).collect();
        assert!(matches!(&round[..], [Ok(()), Ok(()), Ok(()), Err(SubmitError::TokenEnded(_))]), "{round:?}");
    }
}

#[test]
fn no_more_codes_are_taken_than_their_odds_allow_however_many_ask_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    // 10 ^ 4 codes, of which one may be there.
    let settings = HostSettings {
        code_length: CodeLength::new(4).unwrap(),
        code_alphabet: CodeAlphabet::parse("0123456789").unwrap(),
        ..HostSettings::default()
    };
    set_host(engine, "a.example", settings.clone());
    set_host(engine, "b.example", settings);
    let create = |text: String| {
        let command = Command { key: key(&text), action: set(1, &[]), precondition: Precondition::Absent };
        engine.change(Submission { actor: Actor::local(), operation: None, change: Change::Links(vec![command]) })
    };
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (create, done) = (&create, &done);
            scope.spawn(move || match create(format!("a.example/000{thread}")) {
                Ok(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                Err(SubmitError::CodesExhausted { found: 1, length: 4, .. }) => {}
                other => panic!("{other:?}"),
            });
        }
    });
    assert_eq!(done.into_inner(), 1);
    submit(engine, vec![put("a.example/0009", 1)]).unwrap();
    // Those of any host are found on each.
    create("/0001".to_owned()).unwrap();
    assert!(matches!(create("b.example/0002".to_owned()), Err(SubmitError::CodesExhausted { .. })));
}
