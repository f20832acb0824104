//! What a link says that decides its answer, in few bytes: caches keep it beside the target.
//!
//! | bytes  | what, each only if its bit is set                                                        |
//! |--------|------------------------------------------------------------------------------------------|
//! | varint | bits: the query policy (two: 0 none, 1 drop, 2 forward, 3 merge), disabled, not before,   |
//! |        | expires, limit of clicks, cache control, no details of clicks, expired target            |
//! | varint | from when on it is answered                                                              |
//! | varint | from when on it is not answered any more                                                 |
//! | varint | how many clicks it is answered                                                           |
//! | varint | 0 `no-store`, 1 `no-cache`, else 2 more than twice the `max-age`, and 1 more if public   |
//! |        | to the end: the expired target                                                           |
//!
//! Varints have seven bits a byte, the low ones first, and the top bit set on all bytes but the last.

use std::num::NonZeroU64;

use super::cache_control::CacheControl;
use super::options::LinkOptions;
use super::query_policy::QueryPolicy;
use crate::limits::{LINK_TERMS_BYTES, TARGET_BYTES};

const POLICY: u64 = 0b11;
const DISABLED: u64 = 1 << 2;
const NOT_BEFORE: u64 = 1 << 3;
const EXPIRES: u64 = 1 << 4;
const MAX_CLICKS: u64 = 1 << 5;
const CACHE_CONTROL: u64 = 1 << 6;
const NO_CLICK_DETAILS: u64 = 1 << 7;
const EXPIRED_TARGET: u64 = 1 << 8;

/// A varint of 64 bits has at most so many bytes.
const VARINT_BYTES: usize = 10;
const _: () = assert!(2 + 4 * VARINT_BYTES + TARGET_BYTES <= LINK_TERMS_BYTES);

/// What of [`LinkOptions`] decides the answer of a link; by default, nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// See [`LinkOptions`].
    pub query_policy: Option<QueryPolicy>,
    /// See [`LinkOptions`].
    pub not_before_ms: Option<u64>,
    /// See [`LinkOptions`].
    pub expires_at_ms: Option<u64>,
    /// See [`LinkOptions`].
    pub max_clicks: Option<NonZeroU64>,
    /// See [`LinkOptions`].
    pub cache_control: Option<CacheControl>,
    /// See [`LinkOptions`].
    pub is_disabled: bool,
    /// See [`LinkOptions`].
    pub is_untracked: bool,
    /// See [`LinkOptions`].
    pub expired_target: Option<&'a [u8]>,
}

impl<'a> Terms<'a> {
    /// Those of a link, as bytes; none at all if it says nothing of this.
    pub fn encode(options: &LinkOptions) -> Vec<u8> {
        let LinkOptions { query_policy, not_before_ms, expires_at_ms, max_clicks, expired_target, .. } = options;
        let LinkOptions { cache_control, is_disabled, is_untracked, .. } = options;
        let bit = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        let bits = query_policy.map_or(0, |policy| policy as u64 + 1)
            | bit(*is_disabled, DISABLED)
            | bit(not_before_ms.is_some(), NOT_BEFORE)
            | bit(expires_at_ms.is_some(), EXPIRES)
            | bit(max_clicks.is_some(), MAX_CLICKS)
            | bit(cache_control.is_some(), CACHE_CONTROL)
            | bit(*is_untracked, NO_CLICK_DETAILS)
            | bit(expired_target.is_some(), EXPIRED_TARGET);
        if bits == 0 {
            return Vec::new();
        }
        let mut out = Vec::new();
        put_varint(bits, &mut out);
        let numbers =
            [*not_before_ms, *expires_at_ms, max_clicks.map(NonZeroU64::get), cache_control.map(caching_number)];
        numbers.into_iter().flatten().for_each(|number| put_varint(number, &mut out));
        out.extend_from_slice(expired_target.as_ref().map_or("", |target| target.as_str()).as_bytes());
        out
    }

    /// Reads what [`encode`](Self::encode) wrote. The bytes must be from this process: they are not checked.
    pub fn decode(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() {
            return Terms::default();
        }
        let mut rest = bytes;
        let bits = take_varint(&mut rest);
        let mut number = |bit: u64| (bits & bit != 0).then(|| take_varint(&mut rest));
        Terms {
            query_policy: QueryPolicy::ALL.get(((bits & POLICY) as usize).wrapping_sub(1)).copied(),
            is_disabled: bits & DISABLED != 0,
            is_untracked: bits & NO_CLICK_DETAILS != 0,
            not_before_ms: number(NOT_BEFORE),
            expires_at_ms: number(EXPIRES),
            max_clicks: number(MAX_CLICKS).and_then(NonZeroU64::new),
            cache_control: number(CACHE_CONTROL).map(caching),
            expired_target: (bits & EXPIRED_TARGET != 0).then_some(rest),
        }
    }
}

fn caching_number(caching: CacheControl) -> u64 {
    match caching {
        CacheControl::NoStore => 0,
        CacheControl::NoCache => 1,
        CacheControl::MaxAge { public, max_age_s } => 2 + (u64::from(max_age_s) << 1 | u64::from(public)),
    }
}

fn caching(number: u64) -> CacheControl {
    match number {
        0 => CacheControl::NoStore,
        1 => CacheControl::NoCache,
        more => {
            let max_age_s = u32::try_from((more - 2) >> 1);
            debug_assert!(max_age_s.is_ok(), "a max-age of {more}");
            CacheControl::MaxAge { public: more & 1 == 1, max_age_s: max_age_s.unwrap_or(0) }
        }
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        debug_assert!(!bytes.is_empty(), "terms that end within a number");
        let Some((&byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Note, Tag, Tags, Target, Title};
    use proptest::option::of;
    use proptest::prelude::*;

    fn options() -> impl Strategy<Value = LinkOptions> {
        let caching = prop_oneof![
            Just(CacheControl::NoStore),
            Just(CacheControl::NoCache),
            (any::<bool>(), 0..=CacheControl::MAX_AGE_S)
                .prop_map(|(public, max_age_s)| CacheControl::MaxAge { public, max_age_s }),
        ];
        let policy = (0..QueryPolicy::ALL.len()).prop_map(|at| QueryPolicy::ALL[at]);
        let target = "[a-z0-9]{0,40}".prop_map(|path| Target::parse(&format!("https://to.example/{path}")).unwrap());
        let numbers = (of(any::<u64>()), of(any::<u64>()), of(1u64..));
        let flags = (any::<bool>(), any::<bool>());
        (of(policy), numbers, of(caching), of(target), flags).prop_map(
            |(query_policy, numbers, cache_control, expired_target, (is_disabled, is_untracked))| {
                let (not_before_ms, expires_at_ms, max_clicks) = numbers;
                LinkOptions {
                    query_policy,
                    not_before_ms,
                    expires_at_ms,
                    max_clicks: max_clicks.and_then(NonZeroU64::new),
                    expired_target,
                    cache_control,
                    is_disabled,
                    is_untracked,
                    ..LinkOptions::default()
                }
            },
        )
    }

    proptest! {
        #[test]
        fn terms_are_read_as_they_were_written(options in options()) {
            let bytes = Terms::encode(&options);
            prop_assert_eq!(bytes.is_empty(), options == LinkOptions::default());
            prop_assert!(bytes.len() <= LINK_TERMS_BYTES);
            let terms = Terms {
                query_policy: options.query_policy,
                not_before_ms: options.not_before_ms,
                expires_at_ms: options.expires_at_ms,
                max_clicks: options.max_clicks,
                cache_control: options.cache_control,
                is_disabled: options.is_disabled,
                is_untracked: options.is_untracked,
                expired_target: options.expired_target.as_ref().map(|target| target.as_str().as_bytes()),
            };
            prop_assert_eq!(Terms::decode(&bytes), terms);
        }
    }

    #[test]
    fn what_does_not_decide_the_answer_takes_no_bytes() {
        let options = LinkOptions {
            tags: Tags::new(vec![Tag::parse("spring").unwrap()]).unwrap(),
            title: Some(Title::parse("Sale").unwrap()),
            note: Some(Note::parse("until May").unwrap()),
            ..LinkOptions::default()
        };
        assert_eq!(Terms::encode(&options), b"");
        assert_eq!(Terms::decode(b""), Terms::default());
        // A usual campaign: its end, and where to go then.
        let options = LinkOptions {
            expires_at_ms: Some(1_800_000_000_000),
            expired_target: Some(Target::parse("https://a.example/over").unwrap()),
            ..LinkOptions::default()
        };
        assert_eq!(Terms::encode(&options).len(), 2 + 6 + 22);
    }
}
