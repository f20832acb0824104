//! Pages of links, in the order of their keys.
//!
//! A page goes on behind the key with which the one before it ended, so a link that nobody touches stands on exactly
//! one of them, whatever changes meanwhile.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::Engine;
use super::read::{decode_entry, stored_entry};
use crate::link::{Host, Link, LinkId, LinkKey, LinkState, Tag};
use crate::store::{Store, StoreError, keyspace};

/// Which links are listed: those of which all of it is true. By default, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkFilter {
    /// They have this host; `*` are those of any host only.
    pub host: Option<Host>,
    /// Their path and query begin with this; in any case, where their host ignores that and hosts are named.
    pub path_prefix: Option<String>,
    /// They have this tag.
    pub tag: Option<Tag>,
    /// Target or title hold this, whether ASCII letters are upper case or lower case; or the target holds what a URL has
    /// instead.
    pub text: Option<String>,
    /// They are in this state.
    pub state: Option<LinkState>,
    /// They were created at this time or later, in milliseconds since the Unix epoch.
    pub created_from_ms: Option<u64>,
    /// They were created before this time, in milliseconds since the Unix epoch.
    pub created_to_ms: Option<u64>,
    /// They have one of these hosts, as a token may demand. Empty is all.
    pub hosts: Vec<Host>,
}

/// When, and after how many clicks, the state of links is judged.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// How many clicks of a link are used. It is asked only for links that have a limit, and if a state is asked for.
    pub used: &'a dyn Fn(LinkId) -> u64,
}

/// How much a page may cost. At least one entry is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Most entries that are examined.
    pub entries: usize,
    /// About how long it may take, in milliseconds.
    pub time_ms: u64,
}

/// Some links, in the order of the bytes of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkPage {
    /// The links. There may be fewer than asked for, or none, and yet more to come.
    pub links: Vec<Link>,
    /// The next page begins behind this key; None if this is the last one.
    pub next: Option<LinkKey>,
    /// How many entries were examined.
    pub examined: usize,
}

impl Engine {
    /// At most `limit` links, but at least one, that pass the filter and stand behind the key `after`.
    ///
    /// # Errors
    /// If the store can't be read, or an entry is damaged.
    pub fn list(
        &self,
        filter: &LinkFilter,
        moment: Moment<'_>,
        after: Option<&LinkKey>,
        limit: usize,
        effort: Effort,
    ) -> Result<LinkPage, StoreError> {
        let tables = self.tables();
        let ignores_case = |host: &Host| {
            let host = tables.host(host.as_str().as_bytes());
            host.is_some_and(|host| host.record.settings.folding().case)
        };
        let prefixes = prefixes(filter, ignores_case);
        list(self.store.get()?.as_ref(), filter, &prefixes, moment, after, limit, effort)
    }
}

fn list(
    store: &dyn Store,
    filter: &LinkFilter,
    prefixes: &[String],
    moment: Moment<'_>,
    after: Option<&LinkKey>,
    limit: usize,
    effort: Effort,
) -> Result<LinkPage, StoreError> {
    let mut listing = Listing {
        store,
        test: Test::new(filter, moment),
        typed: filter.tag.as_ref().map_or_else(|| vec![keyspace::ENTRY], |tag| keyspace::tag_key(tag.as_str(), "")),
        page: LinkPage::default(),
        last: Vec::new(),
        limit: limit.max(1),
        entries: effort.entries.max(1),
        end: Instant::now() + Duration::from_millis(effort.time_ms),
    };
    for prefix in prefixes {
        let after = match after.map(LinkKey::as_str) {
            Some(after) if after.starts_with(prefix) => Some(after),
            // The last page ended behind it.
            Some(after) if *after > **prefix => continue,
            _ => None,
        };
        if listing.scan(prefix, after)?.is_break() {
            let key = std::str::from_utf8(&listing.last).ok().and_then(LinkKey::from_canonical);
            listing.page.next = Some(key.ok_or_else(|| no_key(&listing.last))?);
            break;
        }
    }
    Ok(listing.page)
}

/// With what the keys begin that can pass, in order. None of them begins with another.
fn prefixes(filter: &LinkFilter, ignores_case: impl Fn(&Host) -> bool) -> Vec<String> {
    let hosts = match &filter.host {
        Some(host) if filter.hosts.is_empty() || filter.hosts.contains(host) => std::slice::from_ref(host),
        Some(_) => return Vec::new(),
        None if filter.hosts.is_empty() => return vec![String::new()],
        None => &filter.hosts[..],
    };
    let path = LinkKey::path_prefix(filter.path_prefix.as_deref().unwrap_or_default());
    let mut prefixes: Vec<String> = hosts.iter().map(|host| format!("{host}{path}")).collect();
    // Beside those of before the host ignored case: these are kept as they were.
    let folded = hosts.iter().filter(|host| ignores_case(host));
    prefixes.extend(folded.map(|host| format!("{host}{}", LinkKey::fold_prefix(&path))));
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

fn no_key(key: &[u8]) -> StoreError {
    StoreError::Corrupt(format!("`{}` is not the key of a link", key.escape_ascii()))
}

/// A page that is being made.
struct Listing<'a> {
    store: &'a dyn Store,
    test: Test<'a>,
    /// With what the typed keys begin, before the canonical key: entries, or what has a tag.
    typed: Vec<u8>,
    page: LinkPage,
    /// The key of the entry that was examined last.
    last: Vec<u8>,
    limit: usize,
    entries: usize,
    end: Instant,
}

impl Listing<'_> {
    /// Examines what begins with a prefix and stands behind a key that does. Breaks if there is more than the page may
    /// hold or cost.
    fn scan(&mut self, prefix: &str, after: Option<&str>) -> Result<ControlFlow<()>, StoreError> {
        let range = [&self.typed, prefix.as_bytes()].concat();
        let from = after.map_or_else(|| range.clone(), |after| [&self.typed, after.as_bytes(), &[0]].concat());
        let (mut flow, mut failed) = (ControlFlow::Continue(()), Ok(()));
        self.store.scan(&from, &mut |typed, value| {
            if !typed.starts_with(&range) {
                return ControlFlow::Break(());
            }
            if self.is_full() {
                flow = ControlFlow::Break(());
                return flow;
            }
            failed = self.examine(&typed[self.typed.len()..], value);
            if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failed.map(|()| flow)
    }

    /// Asked only once there is more.
    fn is_full(&self) -> bool {
        let LinkPage { links, examined, .. } = &self.page;
        *examined > 0 && (links.len() >= self.limit || *examined >= self.entries || Instant::now() >= self.end)
    }

    fn examine(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.page.examined += 1;
        self.last.clear();
        self.last.extend_from_slice(key);
        let entry = match self.typed[0] {
            keyspace::ENTRY => decode_entry(key, value)?,
            // By now the link may have lost its tag, or be gone; the test tells.
            _ => stored_entry(self.store, key)?,
        };
        self.page.links.extend(entry.link.filter(|link| self.test.passes(link)));
        Ok(())
    }
}

/// A filter, prepared for many links. What the prefixes of keys hold already is not asked again.
struct Test<'a> {
    filter: &'a LinkFilter,
    moment: Moment<'a>,
    /// What paths must begin with, if there is no prefix that holds it.
    path_prefix: Option<String>,
    /// Any of these; none is no demand.
    texts: Vec<Finder<'static>>,
    folded: Vec<u8>,
}

impl<'a> Test<'a> {
    fn new(filter: &'a LinkFilter, moment: Moment<'a>) -> Self {
        let of_every_host = filter.host.is_none() && filter.hosts.is_empty();
        let path_prefix = filter.path_prefix.as_deref().filter(|_| of_every_host).map(LinkKey::path_prefix);
        let text = filter.text.as_deref().filter(|text| !text.is_empty());
        let texts = text.into_iter().flat_map(spellings);
        let texts = texts.map(|text| Finder::new(&text.to_ascii_lowercase()).into_owned()).collect();
        Test { filter, moment, path_prefix, texts, folded: Vec::new() }
    }

    fn passes(&mut self, link: &Link) -> bool {
        let LinkFilter { tag, state, created_from_ms, created_to_ms, .. } = self.filter;
        let Moment { now_ms, used } = self.moment;
        let state_of = |link: &Link| {
            let used = link.options.max_clicks.map_or(0, |_| used(link.id));
            link.options.state(now_ms, used)
        };
        created_from_ms.is_none_or(|from| link.created_at_ms >= from)
            && created_to_ms.is_none_or(|to| link.created_at_ms < to)
            && tag.as_ref().is_none_or(|tag| link.options.tags.contains(tag))
            && self.path_prefix.as_ref().is_none_or(|prefix| link.key.path_and_query().starts_with(prefix))
            && state.is_none_or(|state| state_of(link) == state)
            && self.has_text(link)
    }

    fn has_text(&mut self, link: &Link) -> bool {
        if self.texts.is_empty() {
            return true;
        }
        let target = link.destination.target().map(|target| target.as_str());
        let title = link.options.title.as_ref().map(|title| title.as_str());
        [target, title].into_iter().flatten().any(|hay| {
            self.folded.clear();
            self.folded.extend(hay.bytes().map(|byte| byte.to_ascii_lowercase()));
            self.texts.iter().any(|text| text.find(&self.folded).is_some())
        })
    }
}

/// A text, and how a URL has it: it is percent-encoded, or is a host, with a path behind it or not.
fn spellings(text: &str) -> Vec<String> {
    let mut spellings = vec![text.to_owned()];
    if !text.is_ascii() {
        let encoded = |text: &str| utf8_percent_encode(text, CONTROLS).to_string();
        spellings.push(encoded(text));
        let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        spellings.extend(Host::parse(host).map(|host| format!("{scheme}{host}{}", encoded(path))).ok());
    }
    spellings
}

#[cfg(test)]
mod tests;
