//! The hosts that have settings, and the tokens: few enough to be kept in memory, and asked for with every request.
//!
//! Tables never change: a change makes new ones, and raises a generation that every reader compares before it uses
//! those that it holds. It is raised before a change is acknowledged, so that no later request goes by the old ones (I5).

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::link::{
    Folding, Host, HostRecord, HostSettings, Target, TokenId, TokenRecord, UnknownHosts, decode_host, decode_token,
};
use crate::store::{Store, StoreError, Write, keyspace};

/// The settings of a host, and what is made of them once.
#[derive(Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// As they are kept.
    pub record: Arc<HostRecord>,
    /// The fields that its redirects have, each with its line end.
    pub fields: Box<[u8]>,
    /// The host of the fallback, as a key has it. Requests for it that are sent there would come back.
    pub fallback_host: Option<Box<[u8]>>,
    /// The path that the not-found target has as a key, host and path. A request for it that is sent there would come
    /// back.
    pub not_found_path: Option<Box<[u8]>>,
}

impl HostEntry {
    fn folding(&self) -> Folding {
        self.record.settings.folding()
    }

    fn new(record: HostRecord) -> Self {
        let HostSettings { referrer_policy, robots_tag, .. } = &record.settings;
        let mut fields = String::new();
        let values = [
            ("Referrer-Policy", referrer_policy.map(|policy| policy.as_str())),
            ("X-Robots-Tag", robots_tag.as_ref().map(|tag| tag.as_str())),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                fields += &format!("{name}: {value}\r\n");
            }
        }
        HostEntry {
            fields: fields.into_bytes().into(),
            fallback_host: record.settings.fallback.as_ref().map(|to| to.requested_host().into_bytes().into()),
            not_found_path: record.settings.not_found_target.as_ref().and_then(path_of),
            record: Arc::new(record),
        }
    }
}

/// The key of a request for a target, without its query. None if it is too long for a key.
fn path_of(target: &Target) -> Option<Box<[u8]>> {
    Some(target.link_keys().first()?.path_key().as_bytes().into())
}

/// What is set for the host of one request. Each host without settings has the same: that of any host, if it has any.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostView<'a> {
    own: Option<&'a HostEntry>,
    any: Option<&'a HostEntry>,
}

impl<'a> HostView<'a> {
    /// The settings that hold: its own, else those of any host. None is the default.
    pub fn entry(&self) -> Option<&'a HostEntry> {
        self.own.or(self.any)
    }

    /// How paths of links of this very host are compared.
    pub fn folding(&self) -> Folding {
        self.own.map_or(Folding::default(), HostEntry::folding)
    }

    /// How paths of links of any host are compared. None if those do not answer requests for this one, or for none, which
    /// is not known either.
    pub fn folding_of_any(&self) -> Option<Folding> {
        let Some(any) = self.any else { return Some(Folding::default()) };
        let is_served = any.record.settings.unknown_hosts == UnknownHosts::Serve || self.own.is_some();
        is_served.then(|| any.folding())
    }
}

/// Hosts and tokens at one moment.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Behind one more pointer, so that a change of a token copies no hosts, nor one of a host tokens.
    hosts: Arc<HashMap<Arc<[u8]>, Arc<HostEntry>, ahash::RandomState>>,
    /// Of the hosts, `*`: it is asked for with every request.
    any: Option<Arc<HostEntry>>,
    tokens: Arc<HashMap<TokenId, Arc<TokenRecord>, ahash::RandomState>>,
}

impl Tables {
    /// The settings of a host, by its canonical name; `*` is any.
    pub fn host(&self, name: &[u8]) -> Option<&Arc<HostEntry>> {
        // Most often there is none at all, and then no name is hashed.
        if self.hosts.is_empty() { None } else { self.hosts.get(name) }
    }

    /// Whether no host has settings.
    pub fn has_no_hosts(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The settings that hold for requests to a host: its own, else those of any host.
    pub fn host_or_any(&self, name: &[u8]) -> Option<&Arc<HostEntry>> {
        self.host(name).or(self.any.as_ref())
    }

    /// What is set for requests to a host, by its canonical name.
    pub fn view(&self, name: &[u8]) -> HostView<'_> {
        if self.has_no_hosts() {
            return HostView::default();
        }
        // A request that names no host, or says that it is `*`, is for a host without settings of its own.
        let own = self.host(name).map(|entry| &**entry).filter(|_| name != Host::ANY.as_bytes());
        HostView { own, any: self.any.as_deref() }
    }

    /// How many hosts have settings.
    pub fn host_count(&self) -> usize {
        self.hosts.len()
    }

    /// The first `most` hosts, of those that `is_wanted`, whose names come after this one, in the order of their names.
    pub fn hosts_after(&self, after: &[u8], most: usize, is_wanted: impl Fn(&Host) -> bool) -> Vec<&Arc<HostEntry>> {
        let wanted = self.hosts.iter().filter(|(name, entry)| &***name > after && is_wanted(&entry.record.host));
        let mut hosts: Vec<_> = wanted.map(|(_, entry)| entry).collect();
        first(&mut hosts, most, |a, b| a.record.host.cmp(&b.record.host));
        hosts
    }

    /// A token.
    pub fn token(&self, id: TokenId) -> Option<&Arc<TokenRecord>> {
        self.tokens.get(&id)
    }

    /// How many tokens there are.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// All tokens, in no order.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.tokens.values()
    }

    /// The first `most` tokens whose ids come after this one, in the order of their ids.
    pub fn tokens_after(&self, after: Option<TokenId>, most: usize) -> Vec<&Arc<TokenRecord>> {
        let mut tokens: Vec<_> = self.tokens.values().filter(|token| Some(token.id) > after).collect();
        first(&mut tokens, most, |a, b| a.id.cmp(&b.id));
        tokens
    }

    /// Tables of these hosts.
    #[cfg(test)]
    pub(super) fn of(hosts: &[(&str, HostSettings)]) -> Self {
        let mut tables = Tables::default();
        for (name, settings) in hosts {
            let (host, settings) = (Host::parse(name).unwrap(), settings.clone());
            let record = HostRecord { host, settings, created_at_ms: 0, updated_at_ms: 0, version: 1 };
            tables.apply(keyspace::HOST, name.as_bytes(), Some(&crate::link::encode_host(&record))).unwrap();
        }
        tables
    }

    /// Tables of these tokens.
    #[cfg(test)]
    pub(crate) fn of_tokens(tokens: Vec<TokenRecord>) -> Self {
        let tokens = tokens.into_iter().map(|token| (token.id, Arc::new(token)));
        Tables { tokens: Arc::new(tokens.collect()), ..Tables::default() }
    }

    /// Reads all of them from a store.
    pub(super) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut tables = Tables::default();
        for kind in [keyspace::HOST, keyspace::TOKEN] {
            let mut failed = Ok(());
            store.scan(&[kind], &mut |typed, value| match keyspace::split(typed) {
                Some((found, name)) if found == kind => {
                    failed = tables.apply(kind, name, Some(value));
                    if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                }
                _ => ControlFlow::Break(()),
            })?;
            failed?;
        }
        Ok(tables)
    }

    /// The tables after these writes; None if they stay as they are.
    pub(super) fn after(&self, writes: &[Write]) -> Result<Option<Self>, StoreError> {
        let mut changed = None;
        for write in writes {
            if let Some((kind @ (keyspace::HOST | keyspace::TOKEN), name)) = keyspace::split(&write.key) {
                changed.get_or_insert_with(|| self.clone()).apply(kind, name, write.value.as_deref())?;
            }
        }
        Ok(changed)
    }

    fn apply(&mut self, kind: u8, name: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let damaged = |error| StoreError::Damaged { key: String::from_utf8_lossy(name).into_owned(), error };
        match (kind, value) {
            (keyspace::HOST, Some(value)) => {
                let entry = Arc::new(HostEntry::new(decode_host(name, value).map_err(damaged)?));
                if name == Host::ANY.as_bytes() {
                    self.any = Some(Arc::clone(&entry));
                }
                Arc::make_mut(&mut self.hosts).insert(name.into(), entry);
            }
            (keyspace::HOST, None) => {
                if name == Host::ANY.as_bytes() {
                    self.any = None;
                }
                Arc::make_mut(&mut self.hosts).remove(name);
            }
            (keyspace::TOKEN, Some(value)) => {
                let token = decode_token(name, value).map_err(damaged)?;
                Arc::make_mut(&mut self.tokens).insert(token.id, Arc::new(token));
            }
            (keyspace::TOKEN, None) => {
                // Another length names none.
                if let Ok(id) = name.try_into() {
                    Arc::make_mut(&mut self.tokens).remove(&TokenId(id));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Leaves the first so many, in order.
fn first<T>(items: &mut Vec<T>, most: usize, compare: impl Fn(&T, &T) -> Ordering) {
    if most < items.len() {
        items.select_nth_unstable_by(most, &compare);
        items.truncate(most);
    }
    items.sort_unstable_by(compare);
}

/// The tables of the moment, shared by all threads.
#[derive(Default)]
pub(super) struct SharedTables {
    current: RwLock<Arc<Tables>>,
    generation: Generation,
}

/// A number on a cache line of its own: workers read it with every request, and what is beside it is written whenever
/// somebody takes the tables (I4).
#[derive(Default)]
#[repr(align(128))]
struct Generation(AtomicU64);

impl SharedTables {
    /// The tables of the moment.
    pub(super) fn get(&self) -> Arc<Tables> {
        Arc::clone(&self.current.read())
    }

    /// Another number after every change.
    pub(super) fn generation(&self) -> u64 {
        // Acquire: who sees the number of a change sees its tables.
        self.generation.0.load(atomic::Ordering::Acquire)
    }

    /// Makes these the tables of the moment.
    pub(super) fn publish(&self, tables: Arc<Tables>) {
        *self.current.write() = tables;
        self.generation.0.fetch_add(1, atomic::Ordering::Release);
    }
}

/// The tables as one thread holds them.
pub struct HeldTables {
    shared: Arc<SharedTables>,
    generation: u64,
    held: Arc<Tables>,
}

impl HeldTables {
    pub(super) fn new(shared: Arc<SharedTables>) -> Self {
        // The number first: what changes in between is then taken once more.
        let generation = shared.generation();
        let held = shared.get();
        HeldTables { shared, generation, held }
    }

    /// The tables of the moment. Reads one shared line, which is written only when a host or token changes (I4).
    pub fn get(&mut self) -> &Arc<Tables> {
        let generation = self.shared.generation();
        if generation != self.generation {
            self.held = self.shared.get();
            self.generation = generation;
        }
        &self.held
    }
}
