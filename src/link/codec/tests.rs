use std::num::NonZeroU64;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::link::{
    Action, CacheControl, Chains, CodeAlphabet, CodeLength, Destination, Edit, Host, HostCommand, HostRecord,
    HostSettings, Link, LinkId, LinkKey, LinkOptions, LinkPatch, Note, Percent, Precondition, QueryPolicy,
    ReferrerPolicy, RobotsTag, Scope, SetId, SetLink, Status, Tag, Tags, Target, TargetPatterns, Title, TokenCommand,
    TokenId, TokenRecord, UnknownHosts,
};

fn one_of<T: Copy + std::fmt::Debug, const N: usize>(all: [T; N]) -> impl Strategy<Value = T> {
    (0..N).prop_map(move |index| all[index])
}

fn target() -> impl Strategy<Value = Target> {
    "https://[a-z]{1,8}\\.example/[a-z?&=]{0,12}".prop_map(|text| Target::parse(&text).unwrap())
}

fn destination() -> impl Strategy<Value = Destination> {
    (one_of(Status::ALL), target())
        .prop_map(|(status, target)| Destination::new(status, (status != Status::Gone).then_some(target)).unwrap())
}

fn key() -> impl Strategy<Value = LinkKey> {
    "(/|[a-z]{1,5}/)[a-z]{0,8}(\\?[a-z]{1,3})?".prop_map(|text| LinkKey::parse(&text).unwrap())
}

fn cache_control() -> impl Strategy<Value = CacheControl> {
    prop_oneof![
        Just(CacheControl::NoStore),
        Just(CacheControl::NoCache),
        (any::<bool>(), 0..=CacheControl::MAX_AGE_S)
            .prop_map(|(public, max_age_s)| CacheControl::MaxAge { public, max_age_s }),
    ]
}

fn tags() -> impl Strategy<Value = Tags> {
    vec("[a-z]{1,5}", 0..4)
        .prop_map(|texts| Tags::new(texts.iter().map(|text| Tag::parse(text).unwrap()).collect()).unwrap())
}

fn title() -> impl Strategy<Value = Title> {
    "[a-z]{1,5}".prop_map(|text| Title::parse(&text).unwrap())
}

fn note() -> impl Strategy<Value = Note> {
    "[a-z]{1,3}\n[a-z]{1,3}".prop_map(|text| Note::parse(&text).unwrap())
}

fn clicks() -> impl Strategy<Value = NonZeroU64> {
    (1..=u64::MAX).prop_map(|number| NonZeroU64::new(number).unwrap())
}

prop_compose! {
    fn options()(
        query_policy in of(one_of(QueryPolicy::ALL)),
        not_before_ms: Option<u64>,
        expires_at_ms: Option<u64>,
        max_clicks in of(clicks()),
        expired_target in of(target()),
        cache_control in of(cache_control()),
        tags in tags(),
        title in of(title()),
        note in of(note()),
        is_disabled: bool,
        is_untracked: bool,
    ) -> LinkOptions {
        LinkOptions {
            query_policy, not_before_ms, expires_at_ms, max_clicks, expired_target, cache_control, tags, title, note,
            is_disabled, is_untracked,
        }
    }
}

fn edit<T: Clone + std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Edit<T>> {
    prop_oneof![Just(Edit::Keep), Just(Edit::Clear), value.prop_map(Edit::Set)]
}

prop_compose! {
    fn patch()(
        status in of(one_of(Status::ALL)),
        target in edit(target()),
        query_policy in edit(one_of(QueryPolicy::ALL)),
        not_before_ms in edit(any::<u64>()),
        expires_at_ms in edit(any::<u64>()),
        max_clicks in edit(clicks()),
        expired_target in edit(target()),
        cache_control in edit(cache_control()),
        tags in of(tags()),
        title in edit(title()),
        note in edit(note()),
        is_disabled: Option<bool>,
        is_untracked: Option<bool>,
    ) -> LinkPatch {
        LinkPatch {
            status, target, query_policy, not_before_ms, expires_at_ms, max_clicks, expired_target, cache_control,
            tags, title, note, is_disabled, is_untracked,
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        destination().prop_map(Action::Put),
        (destination(), options(), one_of(Chains::ALL), any::<bool>()).prop_map(
            |(destination, options, chains, is_generated)| {
                Action::Set(Box::new(SetLink { destination, options, chains, is_generated }))
            }
        ),
        (patch(), one_of(Chains::ALL)).prop_map(|(patch, chains)| Action::Patch(Box::new(patch), chains)),
        Just(Action::Delete),
    ]
}

fn precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        Just(Precondition::None),
        Just(Precondition::Absent),
        Just(Precondition::Present),
        any::<u64>().prop_map(Precondition::Version)
    ]
}

fn command() -> impl Strategy<Value = Command> {
    (key(), action(), precondition()).prop_map(|(key, action, precondition)| Command { key, action, precondition })
}

fn certain_command() -> impl Strategy<Value = Command> {
    let action = prop_oneof![destination().prop_map(Action::Put), Just(Action::Delete)];
    (key(), action).prop_map(|(key, action)| Command { key, action, precondition: Precondition::None })
}

fn host() -> impl Strategy<Value = Host> {
    "([a-z]{1,5}\\.example|\\*)".prop_map(|text| Host::parse(&text).unwrap())
}

fn patterns() -> impl Strategy<Value = TargetPatterns> {
    vec("(\\*\\.)?[a-z]{1,5}\\.example", 0..3)
        .prop_map(|texts| TargetPatterns::parse(texts.iter().map(String::as_str)).unwrap())
}

prop_compose! {
    fn settings()(
        (default_status, query_policy) in (one_of(Status::ALL), one_of(QueryPolicy::ALL)),
        [ignore_case, ignore_trailing_slash, allow_userinfo] in any::<[bool; 3]>(),
        permanent_cache_control in of(cache_control()),
        temporary_cache_control in of(cache_control()),
        cache_jitter in (0..=90u64).prop_map(|percent| Percent::new(percent).unwrap()),
        (fallback, not_found_target) in (of(target()), of(target())),
        code_length in (4..=32u64).prop_map(|length| CodeLength::new(length).unwrap()),
        code_alphabet in one_of([CodeAlphabet::USUAL, "0123456789"]).prop_map(|text| CodeAlphabet::parse(text).unwrap()),
        referrer_policy in of(one_of(["origin", "no-referrer"]).prop_map(|text| ReferrerPolicy::parse(text).unwrap())),
        robots_tag in of("[a-z]{1,5}, [a-z]{1,5}".prop_map(|text| RobotsTag::parse(&text).unwrap())),
        (allowed_targets, denied_targets) in (patterns(), patterns()),
        unknown_hosts in one_of(UnknownHosts::ALL),
    ) -> HostSettings {
        HostSettings {
            default_status, query_policy, ignore_case, ignore_trailing_slash, permanent_cache_control,
            temporary_cache_control, cache_jitter, fallback, not_found_target, code_length, code_alphabet,
            referrer_policy, robots_tag, allow_userinfo, allowed_targets, denied_targets, unknown_hosts,
        }
    }
}

prop_compose! {
    fn token()(
        id: [u8; 8],
        name in title(),
        secret_hash: [u8; 32],
        scope in one_of(Scope::ALL),
        hosts in vec(host(), 0..3),
        created_at_ms: u64,
        expires_at_ms: Option<u64>,
    ) -> TokenRecord {
        TokenRecord { id: TokenId(id), name, secret_hash, scope, hosts, created_at_ms, expires_at_ms }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let host = (host(), of(settings()), precondition()).prop_map(|(host, settings, precondition)| HostCommand {
        host,
        settings: settings.map(Box::new),
        precondition,
    });
    prop_oneof![
        vec(command(), 0..5).prop_map(Change::Links),
        host.prop_map(Change::Host),
        token().prop_map(|token| Change::Token(TokenCommand::Create(Box::new(token)))),
        any::<[u8; 8]>().prop_map(|id| Change::Token(TokenCommand::Revoke(TokenId(id)))),
    ]
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        change().prop_map(Payload::Change),
        Just(Payload::SetBegin),
        (any::<u64>(), vec(certain_command(), 0..5)).prop_map(|(set, commands)| Payload::SetPart(SetId(set), commands)),
        any::<u64>().prop_map(|set| Payload::SetCommit(SetId(set))),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![Just(Actor::default()), Just(Actor::local()), any::<[u8; 8]>().prop_map(|id| Actor::token(TokenId(id)))]
}

proptest! {
    #[test]
    fn payloads_decode_to_what_was_encoded(payload in payload(), actor in actor()) {
        let bytes = encode_payload(&payload, &actor);
        prop_assert_eq!(bytes.last(), Some(&END));
        prop_assert_eq!(decode_authored(&bytes), Ok(Authored { actor, payload }));
    }

    #[test]
    fn entries_decode_to_what_was_encoded(
        key in key(), said in of((destination(), options())), is_generated: bool, numbers: [u64; 5],
    ) {
        let [id, created_at_ms, updated_at_ms, version, query_links] = numbers;
        let link = said.map(|(destination, options)| Link {
            id: LinkId(id), key: key.clone(), destination, options, is_generated, created_at_ms, updated_at_ms, version,
        });
        let entry = StoredEntry { link, query_links };
        let bytes = entry.encode(key.as_str().as_bytes());
        let plain = entry.link.as_ref().filter(|link| link.options == LinkOptions::default()).map(|link| PlainEntry {
            id: link.id,
            status: link.destination.status(),
            target: link.destination.target().map_or("", |target| target.as_str()).as_bytes(),
            query_links: entry.query_links,
        });
        prop_assert_eq!(PlainEntry::read(key.as_str().as_bytes(), &bytes), plain);
        prop_assert_eq!(PlainEntry::read(b"another/key", &bytes), None);
        prop_assert_eq!(StoredEntry::decode(key.as_str().as_bytes(), &bytes), Ok(entry));
        prop_assert!(StoredEntry::decode(b"another/key", &bytes).is_err());
    }

    #[test]
    fn hosts_tokens_and_counts_decode_to_what_was_encoded(
        host in host(), settings in settings(), numbers: [u64; 3], token in token(), flip: usize,
    ) {
        let [created_at_ms, updated_at_ms, version] = numbers;
        let record = HostRecord { host, settings, created_at_ms, updated_at_ms, version };
        let name = record.host.as_str().as_bytes();
        let mut bytes = encode_host(&record);
        prop_assert_eq!(&decode_host(name, &bytes).unwrap(), &record);
        let bit = flip % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_host(name, &bytes).is_err());
        prop_assert!(decode_host(b"other.example", &encode_host(&record)).is_err());

        prop_assert_eq!(decode_token(&token.id.0, &encode_token(&token)).unwrap(), token.clone());
        prop_assert!(decode_token(&token.id.0.map(|byte| !byte), &encode_token(&token)).is_err());

        prop_assert_eq!(decode_count(b"key", &encode_count(b"key", version)), Ok(version));
        prop_assert!(decode_count(b"kez", &encode_count(b"key", version)).is_err());
    }

    #[test]
    fn a_flipped_bit_is_found(flip in 0usize..8 * 40) {
        let entry = StoredEntry { link: None, query_links: u64::MAX };
        let mut bytes = entry.encode(b"a/b");
        let flip = flip % (bytes.len() * 8);
        bytes[flip / 8] ^= 1 << (flip % 8);
        prop_assert!(StoredEntry::decode(b"a/b", &bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        let _ = decode_payload(&bytes);
        let _ = StoredEntry::decode(b"a/b", &bytes);
        let _ = PlainEntry::read(b"a/b", &bytes);
    }
}

#[test]
fn more_commands_than_a_record_takes_are_refused() {
    let command =
        Command { key: LinkKey::parse("/a").unwrap(), action: Action::Delete, precondition: Precondition::None };
    let payloads = |count| {
        let commands = vec![command.clone(); count];
        [Payload::Change(Change::Links(commands.clone())), Payload::SetPart(SetId(7), commands)]
    };
    for payload in payloads(BATCH_COMMANDS) {
        assert!(decode_payload(&encode_payload(&payload, &Actor::default())).is_ok());
    }
    for payload in payloads(BATCH_COMMANDS + 1) {
        let decoded = decode_payload(&encode_payload(&payload, &Actor::default()));
        assert!(matches!(decoded, Err(DecodeError::Invalid("commands", _))));
    }
}

#[test]
fn what_may_be_refused_has_no_place_in_a_set() {
    let command = |action, precondition| Command { key: LinkKey::parse("/a").unwrap(), action, precondition };
    for command in [
        command(Action::Delete, Precondition::Absent),
        command(Action::Patch(Box::default(), Chains::Allow), Precondition::None),
    ] {
        let bytes = encode_payload(&Payload::SetPart(SetId(7), vec![command]), &Actor::default());
        assert!(matches!(decode_payload(&bytes), Err(DecodeError::Invalid("commands", _))));
    }
}
