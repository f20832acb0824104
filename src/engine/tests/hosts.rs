//! Settings of hosts, tokens, and what they make of links.

use super::*;
use crate::engine::{ChangeResult, HostEntry};
use crate::link::{
    Host, HostCommand, HostSettings, QueryPolicy, Refusal, Scope, Subject, TargetPatterns, TokenCommand, TokenId,
    TokenRecord, UnknownHosts,
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

fn set_host(engine: &Engine, host: &str, settings: HostSettings) -> Vec<Outcome> {
    host_change(engine, host, Some(settings), Precondition::None).unwrap().outcome
}

fn settings_of(engine: &Engine, host: &str) -> Option<Arc<HostEntry>> {
    engine.tables().host(host.as_bytes()).cloned()
}

fn refusal(result: ChangeResult) -> Refusal {
    match result.unwrap_err() {
        SubmitError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

fn links(engine: &Engine, command: Command) -> ChangeResult {
    engine.change(Submission { actor: Actor::local(), operation: None, change: Change::Links(vec![command]) })
}

/// An action that leads to a URL.
fn leads_to(target: &str, chains: Chains) -> Action {
    let destination = Destination::new(Status::Found, Some(Target::parse(target).unwrap())).unwrap();
    Action::Set(Box::new(SetLink { destination, options: LinkOptions::default(), chains, is_generated: false }))
}

fn command(text: &str, action: Action) -> Command {
    Command { key: key(text), action, precondition: Precondition::None }
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
fn links_of_a_host_that_ignores_case_and_slashes_are_kept_without_them() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let version = |text: &str| engine.find_link(&key(text)).unwrap().map(|link| (link.key.to_string(), link.version));
    submit(engine, vec![put("h.example/Old/", 1), put("h.example/plain", 1)]).unwrap();
    let settings = HostSettings { ignore_case: true, ignore_trailing_slash: true, ..HostSettings::default() };
    set_host(engine, "h.example", settings);

    submit(engine, vec![put("h.example/New/%c3%89/?Q=A", 1), put("other.example/New/", 1)]).unwrap();
    assert_eq!(version("h.example/NEW/%C3%89?Q=A"), Some(("h.example/new/%C3%89?Q=A".to_owned(), 1)));
    assert_eq!(version("h.example/new/%C3%89?q=a"), None, "the query is compared as it is");
    assert_eq!(version("other.example/new"), None, "other hosts ignore nothing");

    // Those that were there before keep their spelling, and are still changed by it.
    assert_eq!(submit(engine, vec![put("h.example/Old/", 2)]).unwrap(), [Outcome::Replaced { version: 2 }]);
    assert!(matches!(submit(engine, vec![put("h.example/OLD", 3)]).unwrap()[..], [Outcome::Created(_)]));
    assert_eq!(version("h.example/Old/"), Some(("h.example/Old/".to_owned(), 2)));
    assert_eq!(version("h.example/oLD//"), Some(("h.example/old".to_owned(), 1)));
    assert_eq!(submit(engine, vec![delete("h.example/PLAIN/")]).unwrap(), [Outcome::Deleted]);

    let mut set = engine.begin_set().unwrap();
    set.add(key("h.example/IMPORTED"), to(1)).unwrap();
    set.commit().unwrap();
    assert_eq!(version("h.example/imported"), Some(("h.example/imported".to_owned(), 1)));
    let digest = engine.digest().unwrap();
    owned.close().unwrap();
    assert_eq!(digest_of_log(dir.path()), digest);
}

#[test]
fn targets_that_lead_to_links_are_refused_flattened_or_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let target = |text: &str| {
        let link = engine.find_link(&key(text)).unwrap().unwrap();
        link.destination.target().unwrap().to_string()
    };
    let add = |text: &str, target: &str, chains| links(engine, command(text, leads_to(target, chains)));
    add("a.example/end", "https://far.example/", Chains::Refuse).unwrap();
    add("a.example/gone", "https://far.example/", Chains::Refuse).unwrap();
    let gone = Action::Put(Destination::new(Status::Gone, None).unwrap());
    links(engine, command("a.example/gone", gone)).unwrap();

    let refused = refusal(add("a.example/one", "http://A.example:8080/end?utm=1#x", Chains::Refuse));
    assert_eq!(refused, Refusal::Chain { key: key("a.example/one"), through: key("a.example/end") });
    add("a.example/one", "http://a.example/end", Chains::Allow).unwrap();
    add("a.example/two", "http://a.example/one", Chains::Flatten).unwrap();
    assert_eq!(
        (target("a.example/one"), target("a.example/two")),
        ("http://a.example/end".into(), "https://far.example/".into())
    );
    let refused = refusal(add("a.example/three", "http://a.example/gone", Chains::Flatten));
    assert_eq!(refused, Refusal::Chain { key: key("a.example/three"), through: key("a.example/gone") });

    for chains in Chains::ALL {
        // To itself, with another query, and through another link.
        for (from, to, through) in [
            ("a.example/self", "https://a.example/self", "a.example/self"),
            ("a.example/self", "https://a.example/self?x=1", "a.example/self"),
            ("a.example/end", "https://a.example/one", "a.example/one"),
        ] {
            let refused = refusal(add(from, to, chains));
            assert_eq!(refused, Refusal::Loop { key: key(from), through: key(through) }, "{from} {chains:?}");
        }
    }
    assert_eq!(target("a.example/end"), "https://far.example/", "what is refused changes nothing");

    // The links of any host count where the target's host is known to be served here.
    add("/any", "https://far.example/", Chains::Refuse).unwrap();
    add("a.example/four", "https://b.example/any", Chains::Refuse).unwrap();
    set_host(engine, "b.example", HostSettings { ignore_case: true, ..HostSettings::default() });
    let refused = refusal(add("a.example/five", "https://b.example/any", Chains::Refuse));
    assert_eq!(refused, Refusal::Chain { key: key("a.example/five"), through: key("/any") });
    let refused = refusal(add("/own", "https://b.example/own", Chains::Allow));
    assert_eq!(refused, Refusal::Loop { key: key("/own"), through: key("/own") });
    let refused = refusal(add("b.example/folded", "https://b.example/FOLDED", Chains::Allow));
    assert_eq!(refused, Refusal::Loop { key: key("b.example/folded"), through: key("b.example/folded") });

    // What leads there only for a while, or takes the query along, can't be left out.
    let limited = LinkPatch { max_clicks: Edit::Set(1.try_into().unwrap()), ..LinkPatch::default() };
    links(engine, command("a.example/end", Action::Patch(Box::new(limited), Chains::Refuse))).unwrap();
    assert!(matches!(refusal(add("a.example/six", "https://a.example/end", Chains::Flatten)), Refusal::Chain { .. }));
    let unlimited =
        LinkPatch { max_clicks: Edit::Clear, query_policy: Edit::Set(QueryPolicy::Forward), ..LinkPatch::default() };
    links(engine, command("a.example/end", Action::Patch(Box::new(unlimited), Chains::Refuse))).unwrap();
    assert!(matches!(refusal(add("a.example/six", "https://a.example/end", Chains::Flatten)), Refusal::Chain { .. }));
    let itself = Edit::Set(Target::parse("https://a.example/end?x").unwrap());
    let ended = LinkPatch { expired_target: itself, expires_at_ms: Edit::Set(1), ..LinkPatch::default() };
    let refused = refusal(links(engine, command("a.example/end", Action::Patch(Box::new(ended), Chains::Allow))));
    assert_eq!(refused, Refusal::Loop { key: key("a.example/end"), through: key("a.example/end") });

    // A patch is judged only if it changes the target.
    let patched = |patch| links(engine, command("a.example/one", Action::Patch(Box::new(patch), Chains::Refuse)));
    patched(LinkPatch { is_disabled: Some(true), ..LinkPatch::default() }).unwrap();
    let to = Edit::Set(Target::parse("https://a.example/two").unwrap());
    let refused = refusal(patched(LinkPatch { target: to, ..LinkPatch::default() }));
    assert_eq!(refused, Refusal::Chain { key: key("a.example/one"), through: key("a.example/two") });
}

#[test]
fn the_end_of_a_chain_is_judged_by_the_rules_of_the_link_that_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let patterns = |pattern: &str| TargetPatterns::parse([pattern]).unwrap();
    let add = |text: &str, target: &str| links(engine, command(text, leads_to(target, Chains::Flatten)));
    add("a.example/end", "https://far.example/").unwrap();
    let chain = |text: &str| Refusal::Chain { key: key(text), through: key("a.example/end") };

    let settings = HostSettings { allowed_targets: patterns("a.example"), ..HostSettings::default() };
    set_host(engine, "b.example", settings);
    assert_eq!(refusal(add("b.example/x", "https://a.example/end")), chain("b.example/x"), "its own host");
    add("c.example/x", "https://a.example/end").unwrap();
    let settings = HostSettings { denied_targets: patterns("far.example"), ..HostSettings::default() };
    set_host(engine, "*", settings);
    assert_eq!(refusal(add("c.example/y", "https://a.example/end")), chain("c.example/y"), "any host");
    set_host(engine, "b.example", HostSettings::default());
    assert_eq!(refusal(add("b.example/x", "https://a.example/end")), chain("b.example/x"), "any host, for all");
}

#[test]
fn a_chain_is_followed_only_so_far_and_a_ring_ahead_is_a_loop() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let url = |number: u64| format!("https://a.example/{number}");
    for number in 0..=crate::limits::CHAIN_LINKS as u64 {
        links(engine, command(&url(number), leads_to(&url(number + 1), Chains::Allow))).unwrap();
    }
    let long = |chains| links(engine, command("a.example/start", leads_to(&url(0), chains)));
    for chains in Chains::ALL {
        assert!(matches!(refusal(long(chains)), Refusal::Chain { .. }), "its end is not known");
    }

    let Action::Put(there) = to(1) else { unreachable!() };
    let ring = |to: &str| Destination::new(there.status(), Some(Target::parse(to).unwrap())).unwrap();
    submit(engine, vec![command("r.example/a", Action::Put(ring("https://r.example/b")))]).unwrap();
    submit(engine, vec![command("r.example/b", Action::Put(ring("https://r.example/a")))]).unwrap();
    let refused = refusal(links(engine, command("r.example/c", leads_to("https://r.example/a", Chains::Allow))));
    assert!(matches!(refused, Refusal::Loop { .. }), "{refused}");
}

#[test]
fn patches_that_do_not_fit_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let patched = |text: &str, patch| links(engine, command(text, Action::Patch(Box::new(patch), Chains::Refuse)));
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
