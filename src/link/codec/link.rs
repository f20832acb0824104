//! Links.

use std::num::NonZeroU64;

use prost::Message;

use super::command::{chains_from_number, chains_to_number};
use super::{DecodeError, decode_checked, encode_checked, optional, required, valid};
use crate::link::cache_control::CacheControl;
use crate::link::command::{Chains, SetLink};
use crate::link::destination::{Destination, Link, LinkId, Status};
use crate::link::key::LinkKey;
use crate::link::options::{Edit, LinkOptions, LinkPatch};
use crate::link::query_policy::QueryPolicy;
use crate::link::target::Target;
use crate::link::text::{Note, Tag, Tags, Title};

#[derive(Message)]
pub(super) struct DestinationMessage {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(string, tag = "2")]
    target: String,
}

#[derive(Message)]
struct OptionsMessage {
    /// The place of the policy in [`QueryPolicy::ALL`], from 1.
    #[prost(uint32, tag = "1")]
    query_policy: u32,
    #[prost(uint64, optional, tag = "2")]
    not_before_ms: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    expires_at_ms: Option<u64>,
    #[prost(uint64, tag = "4")]
    max_clicks: u64,
    #[prost(string, tag = "5")]
    expired_target: String,
    #[prost(string, tag = "6")]
    cache_control: String,
    #[prost(string, repeated, tag = "7")]
    tags: Vec<String>,
    #[prost(string, tag = "8")]
    title: String,
    #[prost(string, tag = "9")]
    note: String,
    #[prost(bool, tag = "10")]
    is_disabled: bool,
    #[prost(bool, tag = "11")]
    is_untracked: bool,
}

#[derive(Message)]
pub(super) struct SetLinkMessage {
    #[prost(message, optional, tag = "1")]
    destination: Option<DestinationMessage>,
    #[prost(message, optional, tag = "2")]
    options: Option<OptionsMessage>,
    #[prost(uint32, tag = "3")]
    chains: u32,
    #[prost(bool, tag = "4")]
    is_generated: bool,
}

#[derive(Message)]
pub(super) struct PatchMessage {
    /// What is set. Tags, `is_disabled` and `is_untracked` only count where the fields below say so.
    #[prost(message, optional, tag = "1")]
    set: Option<OptionsMessage>,
    /// The numbers of the options that are cleared.
    #[prost(uint32, repeated, tag = "2")]
    cleared: Vec<u32>,
    #[prost(uint32, tag = "3")]
    status: u32,
    #[prost(string, tag = "4")]
    target: String,
    #[prost(bool, tag = "5")]
    clears_target: bool,
    #[prost(bool, tag = "6")]
    sets_tags: bool,
    #[prost(bool, tag = "7")]
    sets_is_disabled: bool,
    #[prost(uint32, tag = "8")]
    chains: u32,
    #[prost(bool, tag = "9")]
    sets_is_untracked: bool,
}

#[derive(Message)]
struct EntryMessage {
    #[prost(message, optional, tag = "1")]
    link: Option<LinkMessage>,
    #[prost(uint64, tag = "2")]
    query_links: u64,
}

#[derive(Message)]
struct LinkMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    destination: Option<DestinationMessage>,
    #[prost(uint64, tag = "3")]
    created_at_ms: u64,
    #[prost(uint64, tag = "4")]
    updated_at_ms: u64,
    #[prost(uint64, tag = "5")]
    version: u64,
    #[prost(message, optional, tag = "6")]
    options: Option<OptionsMessage>,
    #[prost(bool, tag = "7")]
    is_generated: bool,
}

/// The fields of [`OptionsMessage`], as [`PatchMessage`] names them.
const QUERY_POLICY: u32 = 1;
const NOT_BEFORE: u32 = 2;
const EXPIRES_AT: u32 = 3;
const MAX_CLICKS: u32 = 4;
const EXPIRED_TARGET: u32 = 5;
const CACHE_CONTROL: u32 = 6;
const TITLE: u32 = 8;
const NOTE: u32 = 9;

fn read_status(number: u32) -> Result<Status, DecodeError> {
    let status = u16::try_from(number).ok().and_then(Status::from_code);
    status.ok_or_else(|| DecodeError::Invalid("status", number.to_string()))
}

fn read_target(field: &'static str, text: &str) -> Result<Option<Target>, DecodeError> {
    optional(field, text, |text| Target::from_stored(text).ok_or(()))
}

fn target_text(target: Option<&Target>) -> String {
    target.map_or(String::new(), |target| target.as_str().to_owned())
}

impl From<&Destination> for DestinationMessage {
    fn from(destination: &Destination) -> Self {
        DestinationMessage { status: u32::from(destination.status().code()), target: target_text(destination.target()) }
    }
}

impl TryFrom<DestinationMessage> for Destination {
    type Error = DecodeError;

    fn try_from(message: DestinationMessage) -> Result<Self, DecodeError> {
        let target = read_target("target", &message.target)?;
        Destination::new(read_status(message.status)?, target)
            .map_err(|error| DecodeError::Invalid("destination", error.to_string()))
    }
}

impl From<&LinkOptions> for OptionsMessage {
    fn from(options: &LinkOptions) -> Self {
        let policy = |policy| QueryPolicy::ALL.iter().position(|choice| *choice == policy).expect("all are there");
        OptionsMessage {
            query_policy: options.query_policy.map_or(0, |choice| policy(choice) as u32 + 1),
            not_before_ms: options.not_before_ms,
            expires_at_ms: options.expires_at_ms,
            max_clicks: options.max_clicks.map_or(0, NonZeroU64::get),
            expired_target: target_text(options.expired_target.as_ref()),
            cache_control: options.cache_control.map_or(String::new(), |control| control.to_string()),
            tags: options.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            title: options.title.as_ref().map_or(String::new(), |title| title.as_str().to_owned()),
            note: options.note.as_ref().map_or(String::new(), |note| note.as_str().to_owned()),
            is_disabled: options.is_disabled,
            is_untracked: options.is_untracked,
        }
    }
}

impl TryFrom<OptionsMessage> for LinkOptions {
    type Error = DecodeError;

    fn try_from(message: OptionsMessage) -> Result<Self, DecodeError> {
        let tags = message.tags.iter().map(|tag| valid("tags", tag, Tag::parse(tag))).collect::<Result<_, _>>()?;
        Ok(LinkOptions {
            query_policy: match message.query_policy {
                0 => None,
                number => {
                    let policy = QueryPolicy::ALL.get(number as usize - 1).copied();
                    Some(valid("query_policy", number, policy.ok_or(()))?)
                }
            },
            not_before_ms: message.not_before_ms,
            expires_at_ms: message.expires_at_ms,
            max_clicks: NonZeroU64::new(message.max_clicks),
            expired_target: read_target("expired_target", &message.expired_target)?,
            cache_control: optional("cache_control", &message.cache_control, CacheControl::parse)?,
            tags: valid("tags", message.tags.len(), Tags::new(tags))?,
            title: optional("title", &message.title, Title::parse)?,
            note: optional("note", &message.note, Note::parse)?,
            is_disabled: message.is_disabled,
            is_untracked: message.is_untracked,
        })
    }
}

/// None where there is nothing to say: most links say nothing beside their destination.
fn options_message(options: &LinkOptions) -> Option<OptionsMessage> {
    (*options != LinkOptions::default()).then(|| options.into())
}

fn read_options(message: Option<OptionsMessage>) -> Result<LinkOptions, DecodeError> {
    message.map_or(Ok(LinkOptions::default()), LinkOptions::try_from)
}

impl From<&SetLink> for SetLinkMessage {
    fn from(set: &SetLink) -> Self {
        SetLinkMessage {
            destination: Some((&set.destination).into()),
            options: options_message(&set.options),
            chains: chains_to_number(set.chains),
            is_generated: set.is_generated,
        }
    }
}

impl TryFrom<SetLinkMessage> for SetLink {
    type Error = DecodeError;

    fn try_from(message: SetLinkMessage) -> Result<Self, DecodeError> {
        Ok(SetLink {
            destination: required(message.destination, "destination")?.try_into()?,
            options: read_options(message.options)?,
            chains: chains_from_number(message.chains)?,
            is_generated: message.is_generated,
        })
    }
}

impl PatchMessage {
    pub(super) fn new(patch: &LinkPatch, chains: Chains) -> Self {
        let mut cleared = Vec::new();
        let mut set = LinkOptions::default();
        split(&patch.query_policy, QUERY_POLICY, &mut set.query_policy, &mut cleared);
        split(&patch.not_before_ms, NOT_BEFORE, &mut set.not_before_ms, &mut cleared);
        split(&patch.expires_at_ms, EXPIRES_AT, &mut set.expires_at_ms, &mut cleared);
        split(&patch.max_clicks, MAX_CLICKS, &mut set.max_clicks, &mut cleared);
        split(&patch.expired_target, EXPIRED_TARGET, &mut set.expired_target, &mut cleared);
        split(&patch.cache_control, CACHE_CONTROL, &mut set.cache_control, &mut cleared);
        split(&patch.title, TITLE, &mut set.title, &mut cleared);
        split(&patch.note, NOTE, &mut set.note, &mut cleared);
        set.tags = patch.tags.clone().unwrap_or_default();
        set.is_disabled = patch.is_disabled.unwrap_or_default();
        set.is_untracked = patch.is_untracked.unwrap_or_default();
        let mut target = None;
        patch.target.apply(&mut target);
        PatchMessage {
            set: options_message(&set),
            cleared,
            status: patch.status.map_or(0, |status| u32::from(status.code())),
            target: target_text(target.as_ref()),
            clears_target: patch.target == Edit::Clear,
            sets_tags: patch.tags.is_some(),
            sets_is_disabled: patch.is_disabled.is_some(),
            chains: chains_to_number(chains),
            sets_is_untracked: patch.is_untracked.is_some(),
        }
    }

    pub(super) fn read(self) -> Result<(LinkPatch, Chains), DecodeError> {
        let set = read_options(self.set)?;
        let cleared = self.cleared;
        let target = match read_target("target", &self.target)? {
            Some(target) => Edit::Set(target),
            None if self.clears_target => Edit::Clear,
            None => Edit::Keep,
        };
        let patch = LinkPatch {
            status: if self.status == 0 { None } else { Some(read_status(self.status)?) },
            target,
            query_policy: join(set.query_policy, QUERY_POLICY, &cleared),
            not_before_ms: join(set.not_before_ms, NOT_BEFORE, &cleared),
            expires_at_ms: join(set.expires_at_ms, EXPIRES_AT, &cleared),
            max_clicks: join(set.max_clicks, MAX_CLICKS, &cleared),
            expired_target: join(set.expired_target, EXPIRED_TARGET, &cleared),
            cache_control: join(set.cache_control, CACHE_CONTROL, &cleared),
            tags: self.sets_tags.then_some(set.tags),
            title: join(set.title, TITLE, &cleared),
            note: join(set.note, NOTE, &cleared),
            is_disabled: self.sets_is_disabled.then_some(set.is_disabled),
            is_untracked: self.sets_is_untracked.then_some(set.is_untracked),
        };
        Ok((patch, chains_from_number(self.chains)?))
    }
}

fn split<T: Clone + PartialEq>(edit: &Edit<T>, number: u32, set: &mut Option<T>, cleared: &mut Vec<u32>) {
    edit.apply(set);
    if *edit == Edit::Clear {
        cleared.push(number);
    }
}

fn join<T>(set: Option<T>, number: u32, cleared: &[u32]) -> Edit<T> {
    match set {
        Some(value) => Edit::Set(value),
        None if cleared.contains(&number) => Edit::Clear,
        None => Edit::Keep,
    }
}

/// What the store holds under a key: the link, if there is one, and, under a key without query, how many links
/// there are of the same host and path that are keyed with a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredEntry {
    /// The link of exactly this key.
    pub link: Option<Link>,
    /// How many links share host and path and have a query.
    pub query_links: u64,
}

impl StoredEntry {
    /// Encodes the entry under a checksum (I8) that covers its key, so that a value in a wrong place is found.
    pub fn encode(&self, key: &[u8]) -> Vec<u8> {
        let message = EntryMessage {
            link: self.link.as_ref().map(|link| LinkMessage {
                id: link.id.0,
                destination: Some((&link.destination).into()),
                created_at_ms: link.created_at_ms,
                updated_at_ms: link.updated_at_ms,
                version: link.version,
                options: options_message(&link.options),
                is_generated: link.is_generated,
            }),
            query_links: self.query_links,
        };
        encode_checked(key, &message)
    }

    /// Decodes what [`encode`](Self::encode) wrote under `key`.
    ///
    /// # Errors
    /// If the bytes are damaged, or of another key.
    pub fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: EntryMessage = decode_checked(key, bytes)?;
        let link = match message.link {
            None => None,
            Some(link) => Some(Link {
                id: LinkId(link.id),
                key: std::str::from_utf8(key)
                    .ok()
                    .and_then(LinkKey::from_canonical)
                    .ok_or_else(|| DecodeError::Invalid("key", String::from_utf8_lossy(key).into_owned()))?,
                destination: required(link.destination, "destination")?.try_into()?,
                options: read_options(link.options)?,
                is_generated: link.is_generated,
                created_at_ms: link.created_at_ms,
                updated_at_ms: link.updated_at_ms,
                version: link.version,
            }),
        };
        Ok(StoredEntry { link, query_links: message.query_links })
    }
}
