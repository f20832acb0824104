//! Targets that lead to other links, and back.

use super::hosts::{links, refusal, set_host};
use super::*;
use crate::link::{
    Chains, Destination, Edit, Host, HostSettings, LinkPatch, QueryPolicy, Refusal, Status, Target, TargetPatterns,
};

/// An action that leads to a URL.
fn leads_to(target: &str, chains: Chains) -> Action {
    let destination = Destination::new(Status::Found, Some(Target::parse(target).unwrap())).unwrap();
    Action::Set(Box::new(SetLink { destination, options: LinkOptions::default(), chains, is_generated: false }))
}

/// The same with where it leads once it is over.
fn ends(target: &str, expired_target: &str) -> Action {
    let Action::Set(set) = leads_to(target, Chains::Allow) else { unreachable!("that is what it makes") };
    let expired_target = Some(Target::parse(expired_target).unwrap());
    let options = LinkOptions { expires_at_ms: Some(1), expired_target, ..LinkOptions::default() };
    Action::Set(Box::new(SetLink { options, ..*set }))
}

fn command(text: &str, action: Action) -> Command {
    Command { key: key(text), action, precondition: Precondition::None }
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
            ("a.example/self", "http://a.example/self", "a.example/self"),
            ("a.example/self", "http://a.example/self?x=1", "a.example/self"),
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
    let refused = refusal(add("/own", "http://b.example/own", Chains::Allow));
    assert_eq!(refused, Refusal::Loop { key: key("/own"), through: key("/own") });
    let refused = refusal(add("b.example/folded", "http://b.example/FOLDED", Chains::Allow));
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

    let put = |to: &str| Action::Put(Destination::new(Status::Found, Some(Target::parse(to).unwrap())).unwrap());
    links(engine, command("r.example/a", put("https://r.example/b"))).unwrap();
    let refused = refusal(links(engine, command("r.example/b", put("https://r.example/a"))));
    assert!(matches!(refused, Refusal::Loop { .. }), "{refused}");
    // A file names the source, so that importers know whether it is the same server.
    links(engine, command("r.example/d", put("http://r.example/d"))).unwrap();
    // A set is accepted in any state.
    let mut set = engine.begin_set().unwrap();
    set.add(key("r.example/b"), put("https://r.example/a")).unwrap();
    set.commit().unwrap();
    let refused = refusal(links(engine, command("r.example/c", leads_to("https://r.example/a", Chains::Allow))));
    assert!(matches!(refused, Refusal::Loop { .. }), "{refused}");
}

#[test]
fn what_may_be_another_server_is_no_loop_but_has_to_be_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    for (number, to) in
        ["https://a.example/x0", "http://a.example:8443/x1?y", "https://A.example/x2#z"].iter().enumerate()
    {
        let from = format!("a.example/x{number}");
        for chains in [Chains::Refuse, Chains::Flatten] {
            let refused = refusal(links(engine, command(&from, leads_to(to, chains))));
            assert_eq!(refused, Refusal::Chain { key: key(&from), through: key(&from) }, "{to}");
        }
        links(engine, command(&from, leads_to(to, Chains::Allow))).unwrap();
    }
}

#[test]
fn a_target_that_stays_is_not_judged_again() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let add = |text: &str, target: &str, chains| links(engine, command(text, leads_to(target, chains)));
    add("a.example/end", "https://far.example/", Chains::Refuse).unwrap();
    add("a.example/one", "https://a.example/end", Chains::Allow).unwrap();
    assert_eq!(add("a.example/one", "https://a.example/end", Chains::Refuse).unwrap().outcome, [Outcome::Unchanged]);
    assert!(matches!(refusal(add("a.example/one", "https://a.example/end?x", Chains::Refuse)), Refusal::Chain { .. }));
}

#[test]
fn what_leads_back_once_a_link_is_over_is_a_loop() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let refused = |text: &str, action| refusal(links(engine, command(text, action)));
    let loops = |text: &str, through: &str| Refusal::Loop { key: key(text), through: key(through) };
    links(engine, command("a.example/b", leads_to("https://a.example/a", Chains::Allow))).unwrap();
    let over = ends("https://far.example/", "https://a.example/b");
    assert_eq!(refused("a.example/a", over), loops("a.example/a", "a.example/a"));

    links(engine, command("a.example/c", ends("https://far.example/", "https://a.example/d"))).unwrap();
    let over = ends("https://far.example/", "https://a.example/c");
    assert_eq!(refused("a.example/d", over), loops("a.example/d", "a.example/d"));
    let now = leads_to("https://a.example/c", Chains::Allow);
    assert_eq!(refused("a.example/d", now), loops("a.example/d", "a.example/c"));
    links(engine, command("a.example/e", leads_to("https://a.example/c", Chains::Allow))).unwrap();
}

#[test]
fn a_flattened_chain_leads_where_a_browser_would_end() {
    let dir = tempfile::tempdir().unwrap();
    let (owned, _) = open(dir.path());
    let engine = owned.engine();
    let flatten = |text: &str, target: &str| links(engine, command(text, leads_to(target, Chains::Flatten)));
    let target = |text: &str| engine.find_link(&key(text)).unwrap().unwrap().destination.target().unwrap().to_string();
    flatten("a.example/end", "https://far.example/").unwrap();
    flatten("a.example/marked", "https://far.example/#own").unwrap();
    // The fragment is kept unless there is another one.
    flatten("a.example/one", "https://a.example/end#part").unwrap();
    flatten("a.example/two", "https://a.example/marked#part").unwrap();
    assert_eq!(target("a.example/one"), "https://far.example/#part");
    assert_eq!(target("a.example/two"), "https://far.example/#own");

    // What becomes of a query is decided by the host that is asked, or else by what is set for any host.
    let forward = HostSettings { query_policy: QueryPolicy::Forward, ..HostSettings::default() };
    set_host(engine, "*", forward);
    let refused = refusal(flatten("b.example/x", "https://a.example/end"));
    assert!(matches!(refused, Refusal::Chain { .. }), "{refused}");
    set_host(engine, "a.example", HostSettings { query_policy: QueryPolicy::Merge, ..HostSettings::default() });
    set_host(engine, "*", HostSettings::default());
    for end in ["https://a.example/end", "https://a.example./end"] {
        let refused = refusal(flatten("b.example/x", end));
        assert!(matches!(refused, Refusal::Chain { .. }), "{end}: {refused}");
    }
    set_host(engine, "a.example", HostSettings::default());
    flatten("b.example/x", "https://a.example/end").unwrap();
    flatten("/any", "https://far.example/").unwrap();
    flatten("b.example/y", "https://a.example/any").unwrap();
    assert_eq!(target("b.example/y"), "https://far.example/");
}

#[test]
fn records_of_the_formats_before_lead_to_what_they_led_to() {
    let dir = tempfile::tempdir().unwrap();
    let forward = HostSettings { query_policy: QueryPolicy::Forward, ..HostSettings::default() };
    let any = crate::link::HostCommand {
        host: Host::any(),
        settings: Some(Box::new(forward)),
        precondition: Precondition::None,
    };
    let set = |text: &str, target: &str, chains| Change::Links(vec![command(text, leads_to(target, chains))]);
    let put = |text: &str, target: &str| {
        let destination = Destination::new(Status::Found, Some(Target::parse(target).unwrap())).unwrap();
        Change::Links(vec![command(text, Action::Put(destination))])
    };
    let over = |text: &str, expired: &str| Change::Links(vec![command(text, ends("https://far.example/", expired))]);
    let changes = [
        Change::Host(any.clone()),
        Change::Host(crate::link::HostCommand { host: Host::parse("b.example").unwrap(), ..any }),
        set("a.example/end", "https://far.example/", Chains::Refuse),
        set("a.example/end", "https://far.example/2", Chains::Refuse),
        set("a.example/one", "https://a.example/end#part", Chains::Flatten),
        set("a.example/self", "https://a.example/self", Chains::Allow),
        put("r.example/a", "https://r.example/b"),
        put("r.example/b", "https://r.example/a"),
        set("r.example/a", "https://r.example/b", Chains::Allow),
        over("o.example/a", "https://o.example/b"),
        over("o.example/b", "https://o.example/a"),
    ];
    write_log(&dir.path().join("log"), 2, &changes);
    let (owned, recovery) = open(dir.path());
    assert_eq!(recovery.applied_records, changes.len() as u64);
    let engine = owned.engine();
    let link = |text: &str| engine.find_link(&key(text)).unwrap();
    assert_eq!(link("a.example/end").unwrap().version, 2);
    assert_eq!(engine.tables().host(b"b.example").unwrap().record.version, 1);
    assert_eq!(link("a.example/one").unwrap().destination.target().unwrap().as_str(), "https://far.example/2");
    assert!(link("a.example/self").is_none(), "it was a loop then");
    assert!(link("r.example/b").is_some(), "what is put was not judged");
    let same = link("r.example/a").unwrap();
    assert!(
        same.version == 1 && same.destination.status() == Status::Found,
        "it would be a loop, though it is the same"
    );
    assert!(link("o.example/b").is_some(), "only straight back was a loop");
    links(engine, command("a.example/self", leads_to("https://a.example/self", Chains::Allow))).unwrap();
    assert_eq!(link("a.example/self").unwrap().version, changes.len() as u64 + 1, "its record's sequence");
}

/// Writes a log by hand, in a version of the format.
fn write_log(dir: &std::path::Path, version: u8, changes: &[Change]) {
    use crate::log::record::{ChainHash, LogId, OperationId, Record};
    let log_id = LogId::random();
    let mut chain = ChainHash::genesis(log_id);
    let header = crate::log::segment::SegmentHeader { log_id, epoch: 1, first_sequence: 1, chain };
    let mut bytes = header.encode().to_vec();
    for (change, sequence) in changes.iter().zip(1..) {
        let payload = crate::link::encode_payload(&crate::link::Payload::Change(change.clone()), &Actor::local());
        let start = bytes.len();
        let record = Record {
            version,
            log_id,
            epoch: 1,
            sequence,
            durable: sequence - 1,
            time_ms: sequence,
            operation: OperationId::NONE,
            is_refused: false,
            chain,
            payload: &payload,
        };
        record.encode_into(&mut bytes);
        chain = chain.after(&bytes[start..]);
    }
    std::fs::create_dir_all(dir).unwrap();
    bytes.resize(1 << 20, 0);
    std::fs::write(dir.join(crate::log::segment::file_name(1)), bytes).unwrap();
}
