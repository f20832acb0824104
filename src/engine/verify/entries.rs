//! Whether what a store holds is whole and of one piece.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::engine::StateDigest;
use crate::engine::apply::decode_codes;
use crate::engine::digest::Digester;
use crate::engine::read::{decode_entry, stored_entry};
use crate::link::{Link, Operation, Tag, decode_host, decode_token};
use crate::store::{Store, StoreError, keyspace};

/// What was found in a store.
#[derive(Default)]
pub(super) struct Entries {
    /// Links, and the digest of all; None if the store can't be read to its end.
    pub(super) state: Option<StateDigest>,
    /// Remembered operations.
    pub(super) operations: u64,
    /// Hosts that have settings.
    pub(super) hosts: u64,
    /// Tokens.
    pub(super) tokens: u64,
    /// What is wrong.
    pub(super) damages: Vec<String>,
    /// Places of operations in time.
    times: u64,
    /// Links that are keyed with a query.
    query_links: u64,
    /// How many of them the entries of their paths know of.
    query_links_known: u64,
    /// Tags of links.
    tags: u64,
    /// Links in the index of tags.
    tags_indexed: u64,
    /// How many links with generated codes there are that no count was found for yet, each by the key of its count.
    codes: BTreeMap<Vec<u8>, u64>,
}

/// Most damages that are told one by one.
const TOLD: usize = 1_000;

impl Entries {
    /// Reads a whole store.
    pub(super) fn read(store: &dyn Store) -> Self {
        let (mut entries, mut digester) = (Entries::default(), Digester::default());
        let (mut untold, mut failed) = (0u64, None);
        let read = store.scan(&[], &mut |key, value| {
            digester.add(key, value);
            match entries.look_at(store, key, value) {
                Ok(None) => {}
                Ok(Some(damage)) if entries.damages.len() < TOLD => entries.damages.push(damage),
                Ok(Some(_)) => untold += 1,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        match (read, failed) {
            (Err(error), _) | (_, Some(error)) => entries.damages.push(error.to_string()),
            (Ok(()), None) => {
                entries.state = Some(digester.finish());
                entries.compare_counts();
            }
        }
        if untold > 0 {
            entries.damages.push(format!("{untold} more entries of the store are damaged"));
        }
        entries
    }

    /// What is wrong with an entry, if something is.
    fn look_at(&mut self, store: &dyn Store, typed: &[u8], value: &[u8]) -> Result<Option<String>, StoreError> {
        match keyspace::split(typed) {
            Some((keyspace::ENTRY, key)) => self.look_at_link(store, key, value),
            Some((keyspace::OPERATION, id)) => {
                self.operations += 1;
                let name = hex(id);
                let Ok(id) = id.try_into() else {
                    return Ok(Some(format!("the store's operation {name} has an id of another length")));
                };
                let time_ms = match Operation::decode(id, value) {
                    Ok(operation) => operation.time_ms,
                    Err(error) => return Ok(Some(format!("the store's operation {name} is damaged: {error}"))),
                };
                let has_place = store.get(&keyspace::operation_time_key(time_ms, id))?.is_some();
                Ok((!has_place).then(|| format!("the store's operation {name} has no place in the order of times")))
            }
            Some((keyspace::OPERATION_TIME, _)) => {
                self.times += 1;
                Ok(None)
            }
            Some((keyspace::TAG, indexed)) => self.look_at_tag(store, indexed, value),
            Some((keyspace::HOST, name)) => {
                self.hosts += 1;
                let damage = decode_host(name, value).err();
                Ok(damage.map(|error| format!("the store's host `{}` is damaged: {error}", name.escape_ascii())))
            }
            Some((keyspace::TOKEN, id)) => {
                self.tokens += 1;
                let name = hex(id);
                Ok(match decode_token(id, value) {
                    Err(error) => Some(format!("the store's token {name} is damaged: {error}")),
                    Ok(token) if token.id.0 != id => Some(format!("the store's token {name} says to be {}", token.id)),
                    Ok(_) => None,
                })
            }
            Some((keyspace::CODES, name)) => {
                let links = self.codes.remove(typed).unwrap_or(0);
                let name = name.escape_ascii();
                Ok(match decode_codes(typed, value) {
                    Err(error) => Some(error.to_string()),
                    Ok(count) => (count != links).then(|| {
                        format!("the store's count of generated codes `{name}` says {count}, and there are {links}")
                    }),
                })
            }
            _ => Ok(Some(format!("the store has an entry of no known type, with the key {}", hex(typed)))),
        }
    }

    fn look_at_link(&mut self, store: &dyn Store, key: &[u8], value: &[u8]) -> Result<Option<String>, StoreError> {
        let entry = match decode_entry(key, value) {
            Ok(entry) => entry,
            Err(error) => return Ok(Some(error.to_string())),
        };
        if key.contains(&b'?') {
            self.query_links += u64::from(entry.link.is_some());
        }
        if let Some(link) = &entry.link {
            self.tags += link.options.tags.iter().count() as u64;
            if link.is_generated {
                *self.codes.entry(codes_key(link)).or_default() += 1;
            }
        }
        if entry.query_links == 0 {
            return Ok(None);
        }
        self.query_links_known += entry.query_links;
        let prefix = keyspace::entry_key(&[key, b"?"].concat());
        let mut found = 0;
        store.scan(&prefix, &mut |typed, _| {
            if !typed.starts_with(&prefix) {
                return ControlFlow::Break(());
            }
            found += 1;
            ControlFlow::Continue(())
        })?;
        let told = entry.query_links;
        let path = String::from_utf8_lossy(key);
        Ok((found != told)
            .then(|| format!("the store's entry of `{path}` counts {told} links with a query, and there are {found}")))
    }

    fn look_at_tag(&mut self, store: &dyn Store, indexed: &[u8], value: &[u8]) -> Result<Option<String>, StoreError> {
        self.tags_indexed += 1;
        let name = indexed.escape_ascii();
        let Some((tag, key)) = keyspace::split_tag(indexed) else {
            return Ok(Some(format!("the store's index of tags has the entry `{name}`, which names no link")));
        };
        if !value.is_empty() {
            return Ok(Some(format!("the store's index of tags has a value under `{name}`")));
        }
        let link = match stored_entry(store, key) {
            Ok(entry) => entry.link,
            // That is told where the entry itself is looked at.
            Err(StoreError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let tag = std::str::from_utf8(tag).ok().and_then(|tag| Tag::parse(tag).ok());
        let has_it = link.zip(tag).is_some_and(|(link, tag)| link.options.tags.contains(&tag));
        Ok((!has_it)
            .then(|| format!("the store's index of tags has `{name}`, and there is no such link with this tag")))
    }

    fn compare_counts(&mut self) {
        let Entries { operations, times, query_links, query_links_known, tags, tags_indexed, .. } = *self;
        for (typed, links) in std::mem::take(&mut self.codes) {
            let name = typed[1..].escape_ascii();
            self.damages.push(format!("the store has no count of generated codes `{name}`, and there are {links}"));
        }
        if tags != tags_indexed {
            self.damages
                .push(format!("the store's links have {tags} tags, and {tags_indexed} are in the index of tags"));
        }
        if query_links != query_links_known {
            self.damages.push(format!(
                "the store has {query_links} links with a query, and their paths know of {query_links_known}"
            ));
        }
        if operations != times {
            self.damages
                .push(format!("the store remembers {operations} operations, and {times} are in the order of times"));
        }
    }
}

/// The key of the count that a link with a generated code is part of; of one that no count has room for, another.
fn codes_key(link: &Link) -> Vec<u8> {
    let length = link.key.path_key().len() - link.key.host().len() - 1;
    keyspace::codes_key(link.key.host(), u8::try_from(length).unwrap_or(0))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
