//! Settings of hosts, tokens, and what they make of links.

use super::*;
use crate::engine::{ChangeResult, HostEntry};
use crate::link::{
    Host, HostCommand, HostSettings, Refusal, Scope, Subject, TokenCommand, TokenId, TokenRecord, UnknownHosts,
};

fn host_change(
    engine: &Engine,
    host: &str,
    settings: Option<HostSettings>,
    precondition: Precondition,
) -> ChangeResult {
    let (host, settings) = (Host::parse(host).unwrap(), settings.map(Box::new));
    let change = Change::Host(HostCommand { host, settings, precondition });
    engine.change(Submission { actor: Actor::local(), operation: None, change })
}

pub(super) fn set_host(engine: &Engine, host: &str, settings: HostSettings) -> Vec<Outcome> {
    host_change(engine, host, Some(settings), Precondition::None).unwrap().outcome
}

fn settings_of(engine: &Engine, host: &str) -> Option<Arc<HostEntry>> {
    engine.tables().host(host.as_bytes()).cloned()
}

pub(super) fn refusal(result: ChangeResult) -> Refusal {
    match result.unwrap_err() {
        SubmitError::Refused(refusal, _) => refusal,
        other => panic!("{other}"),
    }
}

pub(super) fn links(engine: &Engine, command: Command) -> ChangeResult {
    engine.change(Submission { actor: Actor::local(), operation: None, change: Change::Links(vec![command]) })
}

#[test]
fn settings_are_seen_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let mut held = engine.held_tables();
    assert!(held.get().has_no_hosts() && settings_of(engine, "h.example").is_none());
    let ignoring = HostSettings { ignore_case: true, ..HostSettings::default() };
    assert!(matches!(set_host(engine, "h.example", ignoring.clone())[..], [Outcome::Created(_)]));
    assert_eq!(set_host(engine, "h.example", ignoring.clone()), [Outcome::Unchanged]);
    assert_eq!(held.get().host(b"h.example").unwrap().record.settings, ignoring, "a holder sees it without being told");
    assert_eq!(set_host(engine, "h.example", HostSettings::default()), [Outcome::Replaced { version: 2 }]);
    let refused = refusal(host_change(engine, "h.example", None, Precondition::Version(1)));
    let subject = Subject::Host(Host::parse("h.example").unwrap());
    assert_eq!(refused, Refusal::VersionMismatch { subject: subject.clone(), expected: 1, found: 2 });
    assert_eq!(
        refusal(host_change(engine, "h.example", Some(ignoring), Precondition::Absent)),
        Refusal::Exists { subject, version: 2 }
    );
    owned.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("store")).unwrap();
    let (owned, _) = open(dir.path());
    assert_eq!(settings_of(owned.engine(), "h.example").unwrap().record.version, 2);
    assert_eq!(host_change(owned.engine(), "h.example", None, Precondition::None).unwrap().outcome, [Outcome::Deleted]);
    assert!(settings_of(owned.engine(), "h.example").is_none());
    owned.close().unwrap();
    assert_eq!(digest_of_log(dir.path()), open(dir.path()).0.engine().digest().unwrap());
}

#[test]
fn unknown_hosts_are_served_unless_any_host_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let is_served = |host: &str| engine.tables().view(host.as_bytes()).folding_of_any().is_some();
    assert!(is_served("unknown.example"));
    let strict = HostSettings { unknown_hosts: UnknownHosts::NotFound, ..HostSettings::default() };
    set_host(engine, "*", strict);
    set_host(engine, "known.example", HostSettings::default());
    assert!(!is_served("unknown.example") && is_served("known.example"));
}

#[test]
pub(super) fn links_of_a_host_that_ignores_case_and_slashes_are_kept_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let found = |text: &str| {
        let to =
            |link: crate::link::Link| link.destination.target().unwrap().as_str().rsplit('/').next().unwrap().parse();
        engine.find_link(&key(text)).unwrap().map(|link| (link.key.to_string(), to(link).unwrap()))
    };
    let link = |key: &str, to: u64| Some((key.to_owned(), to));
    submit(engine, vec![put("h.example/Old/", 1), put("h.example/plain", 1)]).unwrap();
    let settings = HostSettings { ignore_case: true, ignore_trailing_slash: true, ..HostSettings::default() };
    set_host(engine, "h.example", settings);

    submit(engine, vec![put("h.example/New/%c3%89/?Q=A", 1), put("other.example/New/", 1)]).unwrap();
    assert_eq!(found("h.example/NEW/%C3%89?Q=A"), link("h.example/new/%C3%89?Q=A", 1));
    assert_eq!(found("h.example/new/%C3%89?q=a"), None, "the query is compared as it is");
    assert_eq!(found("other.example/new"), None, "other hosts ignore nothing");

    // Those that were there before keep their spelling, and are still changed by it.
    assert!(matches!(submit(engine, vec![put("h.example/Old/", 2)]).unwrap()[..], [Outcome::Replaced { .. }]));
    assert!(matches!(submit(engine, vec![put("h.example/OLD", 3)]).unwrap()[..], [Outcome::Created(_)]));
    assert_eq!(found("h.example/Old/"), link("h.example/Old/", 2));
    assert_eq!(found("h.example/oLD//"), link("h.example/old", 3));
    assert_eq!(submit(engine, vec![delete("h.example/PLAIN/")]).unwrap(), [Outcome::Deleted]);

    let mut set = engine.begin_set().unwrap();
    set.add(key("h.example/IMPORTED"), to(1)).unwrap();
    set.commit().unwrap();
    assert_eq!(found("h.example/imported"), link("h.example/imported", 1));
    let digest = engine.digest().unwrap();
    owned.close().unwrap();
    assert_eq!(digest_of_log(dir.path()), digest);
}

#[test]
fn patches_that_do_not_fit_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let patched = |text: &str, patch| {
        let action = Action::Patch(Box::new(patch), Chains::Refuse);
        links(engine, Command { key: key(text), action, precondition: Precondition::None })
    };
    let gone = LinkPatch { status: Some(Status::Gone), ..LinkPatch::default() };
    assert_eq!(refusal(patched("/a", gone.clone())), Refusal::NotFound(Subject::Link(key("/a"))));
    submit(engine, vec![put("/a", 1)]).unwrap();
    assert_eq!(patched("/a", gone).unwrap().outcome, [Outcome::Replaced { version: 2 }]);
    let found = LinkPatch { status: Some(Status::Found), ..LinkPatch::default() };
    assert!(
        matches!(refusal(patched("/a", found)), Refusal::Invalid { reason, .. } if reason.contains("302 needs a target"))
    );
}

#[test]
fn tokens_are_there_until_they_are_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let token = TokenRecord {
        id: TokenId([7; 8]),
        name: Title::parse("first").unwrap(),
        secret_hash: [1; 32],
        scope: Scope::Write,
        hosts: vec![Host::any()],
        created_at_ms: 0,
        expires_at_ms: Some(9),
    };
    let change = |engine: &Engine, command| {
        engine.change(Submission { actor: Actor::local(), operation: None, change: Change::Token(command) })
    };
    let create = || TokenCommand::Create(Box::new(token.clone()));
    change(owned.engine(), create()).unwrap();
    let exists = refusal(change(owned.engine(), create()));
    assert_eq!(exists, Refusal::Exists { subject: Subject::Token(token.id), version: 1 });
    owned.close().unwrap();

    let (owned, _) = open(dir.path());
    let kept = owned.engine().tables().token(token.id).cloned().unwrap();
    assert!(kept.created_at_ms > 0, "the record's time");
    assert_eq!(*kept, TokenRecord { created_at_ms: kept.created_at_ms, ..token.clone() });
    change(owned.engine(), TokenCommand::Revoke(token.id)).unwrap();
    assert!(owned.engine().tables().token(token.id).is_none());
    let gone = refusal(change(owned.engine(), TokenCommand::Revoke(token.id)));
    assert_eq!(gone, Refusal::NotFound(Subject::Token(token.id)));
}

#[test]
fn what_a_group_changed_of_a_host_holds_for_the_rest_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut writer = writer(ground(log_directory(Arc::new(RealDisk), dir.path())), log, Arc::clone(&store));
    let (requests, queue) = super::super::requests::requests();
    let settings = HostSettings { ignore_case: true, ..HostSettings::default() };
    let host = HostCommand {
        host: Host::parse("h.example").unwrap(),
        settings: Some(Box::new(settings)),
        precondition: Precondition::None,
    };
    let send = |change| {
        let (reply, answer) = crossbeam_channel::bounded(1);
        let submission = Submission { actor: Actor::local(), operation: None, change };
        requests.send(Request::Change(Box::new(submission), reply.into())).unwrap();
        answer
    };
    let answers = [send(Change::Host(host)), send(Change::Links(vec![put("h.example/UPPER", 1)]))];
    assert!(writer.run_group(queue.next(), &queue.queue));
    answers.iter().for_each(|answer| drop(answer.try_recv().unwrap().unwrap()));
    let stored = |text: &str| super::super::read::stored_entry(store.as_ref(), text.as_bytes()).unwrap().link;
    assert!(stored("h.example/upper").is_some() && stored("h.example/UPPER").is_none());
}
