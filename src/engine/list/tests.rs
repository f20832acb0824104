//! Pages against a plain filter over a map.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;
use crate::engine::{EngineConfig, OwnedEngine};
use crate::link::{
    Action, Chains, Command, Destination, LinkOptions, Precondition, SetLink, Status, Tags, Target, Title,
};
use crate::store::{FjallStore, MemoryStore, Write};

const HOSTS: [&str; 4] = ["*", "a.example", "a.example.org", "b.example"];
const NOW_MS: u64 = 1_000;

fn open(data: &std::path::Path) -> OwnedEngine {
    let config = EngineConfig { cache_bytes: 1 << 20, ..EngineConfig::new(data.to_owned()) };
    OwnedEngine::open(&config).unwrap().0
}

fn set(key: &str, target: &str, options: LinkOptions) -> Command {
    let target = Target::parse(&format!("https://to.example/{target}")).unwrap();
    let destination = Destination::new(Status::Found, Some(target)).unwrap();
    let set = SetLink { destination, options, chains: Chains::Allow, is_generated: false };
    Command { key: LinkKey::parse(key).unwrap(), action: Action::Set(Box::new(set)), precondition: Precondition::None }
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn command() -> impl Strategy<Value = Command> {
    let options = (0..8u8, proptest::option::of("[aAbB]{1,3}"), 0..4u64, 0..4u64, any::<bool>()).prop_map(
        |(tags, title, clicks, expires, is_disabled)| LinkOptions {
            tags: Tags::new(
                ["t", "t x", "u"]
                    .into_iter()
                    .enumerate()
                    .filter(|(bit, _)| tags >> bit & 1 == 1)
                    .map(|(_, t)| tag(t))
                    .collect(),
            )
            .unwrap(),
            title: title.map(|title| Title::parse(&title).unwrap()),
            max_clicks: NonZeroU64::new(clicks),
            expires_at_ms: (expires > 1).then_some(expires * 400),
            is_disabled,
            ..LinkOptions::default()
        },
    );
    let key = (0..HOSTS.len(), "[ab]{0,2}(/x)?(\\?q=[12])?");
    (key, "[aAbB]{1,4}", options)
        .prop_map(|((host, path), target, options)| set(&format!("{}/{path}", HOSTS[host]), &target, options))
}

fn filter() -> impl Strategy<Value = (LinkFilter, Option<(usize, usize)>)> {
    let host = || (0..HOSTS.len()).prop_map(|index| Host::parse(HOSTS[index]).unwrap());
    let path = prop_oneof![Just("/"), Just("a"), Just("/%61"), Just("/a/"), Just("/b?q"), Just("/ab")];
    let tag = prop_oneof![Just("t"), Just("t x"), Just("u"), Just("v")];
    (
        proptest::option::of(host()),
        proptest::option::of(path),
        proptest::option::of(tag),
        proptest::option::of("[aAbB]{0,2}"),
        proptest::option::of(0..LinkState::ALL.len()),
        proptest::collection::vec(host(), 0..4),
        proptest::option::of((0..20usize, 0..20usize)),
    )
        .prop_map(|(host, path, tag, text, state, hosts, created)| {
            let filter = LinkFilter {
                host,
                path_prefix: path.map(str::to_owned),
                tag: tag.map(self::tag),
                text,
                state: state.map(|index| LinkState::ALL[index]),
                hosts,
                ..LinkFilter::default()
            };
            (filter, created)
        })
}

fn used(id: LinkId) -> u64 {
    id.0 % 4
}

fn passes(filter: &LinkFilter, link: &Link) -> bool {
    let key = link.key.as_str();
    let (host, path) = key.split_at(key.find('/').unwrap());
    let prefix = filter.path_prefix.as_deref().map(|prefix| match prefix {
        "a" | "/%61" => "/a",
        other => other,
    });
    let lower = |text: &str| text.to_ascii_lowercase();
    let text = lower(filter.text.as_deref().unwrap_or(""));
    let title = link.options.title.as_ref().map_or(String::new(), |title| lower(title.as_str()));
    filter.host.as_ref().is_none_or(|wanted| wanted.as_str() == host)
        && (filter.hosts.is_empty() || filter.hosts.iter().any(|wanted| wanted.as_str() == host))
        && prefix.is_none_or(|prefix| path.starts_with(prefix))
        && filter.tag.as_ref().is_none_or(|tag| link.options.tags.iter().any(|other| other == tag))
        && (lower(link.destination.target().unwrap().as_str()).contains(&text) || title.contains(&text))
        && filter.state.is_none_or(|state| link.options.state(NOW_MS, used(link.id)) == state)
        && filter.created_from_ms.is_none_or(|from| from <= link.created_at_ms)
        && filter.created_to_ms.is_none_or(|to| link.created_at_ms < to)
}

/// Walks all pages.
fn walk(store: &dyn Store, filter: &LinkFilter, limit: usize, effort: Effort) -> Vec<Link> {
    let (mut links, mut after) = (Vec::new(), None);
    loop {
        let moment = Moment { now_ms: NOW_MS, used: &used };
        let prefixes = prefixes(filter, |_| false);
        let page = list(store, filter, &prefixes, moment, after.as_ref(), limit, effort).unwrap();
        assert!(page.links.len() <= limit && page.examined <= effort.entries);
        links.extend(page.links);
        assert!(page.next.is_none() || page.next > after, "{after:?}");
        after = page.next;
        if after.is_none() {
            return links;
        }
    }
}

fn copy(from: &dyn Store, to: &dyn Store) {
    from.scan(&[], &mut |key, value| {
        to.load(&[Write { key: key.to_vec(), value: Some(value.to_vec()) }]).unwrap();
        ControlFlow::Continue(())
    })
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn pages_hold_what_a_plain_filter_lets_through(
        commands in proptest::collection::vec(command(), 0..60),
        filters in proptest::collection::vec(filter(), 40),
        limit in 1usize..9,
        entries in 1usize..12,
    ) {
        let dirs = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let owned = open(dirs.0.path());
        let mut model = BTreeMap::new();
        for command in &commands {
            owned.engine().submit(None, vec![command.clone()]).unwrap();
        }
        for command in &commands {
            let link = owned.engine().stored_entry(command.key.as_str()).unwrap().link.unwrap();
            model.insert(link.key.as_str().to_owned(), link);
        }
        let sled = owned.engine().store.get().unwrap();
        let (memory, fjall) = (MemoryStore::default(), FjallStore::open(dirs.1.path(), 1 << 20).unwrap());
        copy(sled.as_ref(), &memory);
        copy(sled.as_ref(), &fjall);
        let created = |index: usize| model.values().nth(index).map(|link| link.created_at_ms);
        for (mut filter, times) in filters {
            filter.created_from_ms = times.and_then(|(from, _)| created(from));
            filter.created_to_ms = times.and_then(|(_, to)| created(to)).map(|to| to + 1);
            let expected: Vec<Link> = model.values().filter(|link| passes(&filter, link)).cloned().collect();
            for store in [sled.as_ref(), &memory, &fjall] {
                let effort = Effort { entries, time_ms: 1_000 };
                prop_assert_eq!(&walk(store, &filter, limit, effort), &expected, "{:?}", filter);
            }
            // Without any time, each page still goes on by one entry.
            prop_assert_eq!(&walk(&memory, &filter, 100, Effort { entries: 100, time_ms: 0 }), &expected);
        }
        drop(sled);
        owned.close().unwrap();
    }
}

#[test]
fn a_prefix_is_in_any_case_where_the_host_ignores_that() {
    let filter = |host: Option<&str>, path: &str| LinkFilter {
        host: host.map(|host| Host::parse(host).unwrap()),
        path_prefix: Some(path.to_owned()),
        ..LinkFilter::default()
    };
    let found = |filter: &LinkFilter| prefixes(filter, |host| host.as_str() == "a.example");
    assert_eq!(found(&filter(Some("a.example"), "/Sa%C3%84")), ["a.example/Sa%C3%84", "a.example/sa%C3%84"]);
    assert_eq!(found(&filter(Some("a.example"), "/sale?Q")), ["a.example/sale?Q"]);
    assert_eq!(found(&filter(Some("b.example"), "/Sale")), ["b.example/Sale"]);
    assert_eq!(found(&filter(None, "/Sale")), [""]);
}

#[test]
fn a_text_is_found_as_a_url_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let owned = open(dir.path());
    owned.engine().submit(None, vec![set("/a", "Stra\u{df}e?m=\u{fc}", LinkOptions::default())]).unwrap();
    let mut idn = set("/b", "", LinkOptions::default());
    let target = Target::parse("https://www.m\u{fc}nchen.example/stra\u{df}e").unwrap();
    idn.action = Action::Put(Destination::new(Status::Found, Some(target)).unwrap());
    owned.engine().submit(None, vec![idn]).unwrap();
    let found = |text: &str| {
        let filter = LinkFilter { text: Some(text.to_owned()), ..LinkFilter::default() };
        let store = owned.engine().store.get().unwrap();
        walk(store.as_ref(), &filter, 10, Effort { entries: 100, time_ms: 1_000 }).len()
    };
    for (text, links) in [
        ("stra\u{df}e", 2),
        ("m=\u{fc}", 1),
        ("m\u{fc}nchen", 1),
        ("m\u{fc}nchen.example/stra\u{df}e", 1),
        ("https://www.M\u{dc}NCHEN.example/", 1),
        ("\u{fc}", 1),
        ("\u{f6}", 0),
    ] {
        assert_eq!(found(text), links, "{text}");
    }
    owned.close().unwrap();
}

#[test]
fn what_nobody_touches_stands_on_one_page_whatever_changes_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let owned = open(dir.path());
    let engine = owned.engine();
    let tags = || LinkOptions { tags: Tags::new(vec![tag("t")]).unwrap(), ..LinkOptions::default() };
    let commands = |keys: Vec<String>| keys.iter().map(|key| set(key, "x", tags())).collect::<Vec<_>>();
    engine.submit(None, commands((0..300).map(|index| format!("/kept/{index:03}")).collect())).unwrap();
    for filter in [LinkFilter::default(), LinkFilter { tag: Some(tag("t")), ..LinkFilter::default() }] {
        let (mut kept, mut after, mut turn) = (Vec::new(), None, 0);
        loop {
            let moment = Moment { now_ms: NOW_MS, used: &used };
            let effort = Effort { entries: 17, time_ms: 1_000 };
            let page = engine.list(&filter, moment, after.as_ref(), 7, effort).unwrap();
            kept.extend(page.links.iter().map(|link| link.key.as_str().to_owned()).filter(|key| key.contains("kept")));
            // Before, at and behind where the page ended; the last key of a page is deleted, too.
            let other: Vec<String> = (0..6).map(|index| format!("/kept/{:03}/{turn}", index * 50)).collect();
            let mut changes = commands(other.iter().map(|key| key.replace("kept", "kepu")).collect());
            changes.extend(commands((0..6).map(|index| format!("/kepa/{turn}/{index}")).collect()));
            changes.extend(page.links.iter().filter(|link| !link.key.as_str().contains("kept")).map(|link| Command {
                key: link.key.clone(),
                action: Action::Delete,
                precondition: Precondition::None,
            }));
            engine.submit(None, changes).unwrap();
            turn += 1;
            after = page.next;
            if after.is_none() || turn > 200 {
                break;
            }
        }
        let expected: Vec<String> = (0..300).map(|index| format!("*/kept/{index:03}")).collect();
        assert_eq!(kept, expected);
    }
    owned.close().unwrap();
}
