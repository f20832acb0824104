//! Which link answers a request.

use super::tables::HostView;
use crate::cache::{CachedLink, LinkView};
use crate::limits::LINK_KEY_BYTES;
use crate::link::{Folding, RequestKey};

/// Where entries are looked up.
pub trait Lookup {
    /// Why an entry can't be had now.
    type Error;

    /// Finds the entry of a canonical key, which may be one that says that there is no link, and gives it to
    /// `use_entry`.
    ///
    /// # Errors
    /// If it can't be had now; then `use_entry` was not called.
    fn with<T>(&mut self, key: &[u8], use_entry: impl FnOnce(&CachedLink) -> T) -> Result<T, Self::Error>;
}

/// What the lookup of a path leads to.
pub enum Resolved<T> {
    /// A link, and what was made of it.
    Link(T),
    /// No link.
    NotFound,
}

/// A link that answers a request.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The link.
    pub link: LinkView<'a>,
    /// Whether it is keyed with the query of the request, which it thereby has taken.
    pub has_query: bool,
}

/// Finds the link that answers a request, and gives it to `use_link`, at most once.
///
/// The order: on the request's host, as it was asked and then without what that host ignores; the same on any host, by
/// what is ignored there, if links of any host answer for this one. Each time the link that is keyed with the request's
/// query comes before the one without. `host` is what is set for [`RequestKey::host`].
///
/// # Errors
/// If a lookup fails. After it `key` must be set anew; after anything else it is as it was set.
pub fn resolve<L: Lookup, T>(
    lookup: &mut L,
    key: &mut RequestKey,
    host: &HostView<'_>,
    mut use_link: impl FnMut(Found<'_>) -> T,
) -> Result<Resolved<T>, L::Error> {
    let mut found = None;
    if !key.is_any_host() {
        found = find_folded(lookup, key, host.folding(), &mut use_link)?;
    }
    if found.is_none()
        && let Some(folding) = host.folding_of_any()
    {
        key.turn_to_any_host();
        found = find_folded(lookup, key, folding, &mut use_link)?;
    }
    key.turn_back();
    Ok(found.map_or(Resolved::NotFound, Resolved::Link))
}

/// Finds the link of a request on one host: as it was asked, then without what is ignored there.
fn find_folded<L: Lookup, T>(
    lookup: &mut L,
    key: &mut RequestKey,
    folding: Folding,
    use_link: &mut impl FnMut(Found<'_>) -> T,
) -> Result<Option<T>, L::Error> {
    let found = find(lookup, key, use_link)?;
    if found.is_none() && key.fold(folding) { find(lookup, key, use_link) } else { Ok(found) }
}

/// Finds the link of a request in one spelling.
fn find<L: Lookup, T>(
    lookup: &mut L,
    key: &RequestKey,
    use_link: &mut impl FnMut(Found<'_>) -> T,
) -> Result<Option<T>, L::Error> {
    enum Step<T> {
        Found(T),
        TryQuery,
        NoLink,
    }
    if key.path_key().len() > LINK_KEY_BYTES {
        return Ok(None);
    }
    let query_key = key.query_key().filter(|key| key.len() <= LINK_KEY_BYTES);
    let step = lookup.with(key.path_key(), |entry| match entry.link() {
        _ if query_key.is_some() && entry.has_query_links() => Step::TryQuery,
        Some(link) => Step::Found(use_link(Found { link, has_query: false })),
        None => Step::NoLink,
    })?;
    match step {
        Step::Found(answer) => return Ok(Some(answer)),
        Step::TryQuery => {
            for (key, has_query) in [(query_key.unwrap_or_default(), true), (key.path_key(), false)] {
                let found = |entry: &CachedLink| entry.link().map(|link| use_link(Found { link, has_query }));
                if let Some(answer) = lookup.with(key, found)? {
                    return Ok(Some(answer));
                }
            }
        }
        Step::NoLink => {}
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::Tables;
    use crate::engine::apply::{Origin, Rules, State, apply_of_set};
    use crate::link::{
        Action, Command, Destination, HostRecord, HostSettings, LinkId, LinkKey, Precondition, Status, StoredEntry,
        Target, UnknownHosts,
    };
    use crate::store::StoreError;

    /// Entries by key, hosts with settings, and which keys were asked for.
    #[derive(Default)]
    struct Table {
        entries: HashMap<String, StoredEntry>,
        tables: Tables,
        asked: Vec<String>,
    }

    impl State for Table {
        fn entry(&self, key: &str) -> Result<StoredEntry, StoreError> {
            Ok(self.entries.get(key).cloned().unwrap_or_default())
        }

        fn set_entry(&mut self, key: &str, entry: StoredEntry) {
            self.entries.insert(key.to_owned(), entry);
        }

        fn value(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }

        fn set_value(&mut self, _: Vec<u8>, _: Option<Vec<u8>>) {}

        fn host(&self, host: &str) -> Result<Option<Arc<HostRecord>>, StoreError> {
            Ok(self.tables.host(host.as_bytes()).map(|entry| Arc::clone(&entry.record)))
        }

        fn link_ended(&mut self, _: LinkId) {}
    }

    struct TableLookup<'a> {
        entries: &'a HashMap<String, StoredEntry>,
        asked: &'a mut Vec<String>,
    }

    impl Lookup for TableLookup<'_> {
        type Error = Infallible;

        fn with<T>(&mut self, key: &[u8], use_entry: impl FnOnce(&CachedLink) -> T) -> Result<T, Infallible> {
            let text = String::from_utf8(key.to_vec()).unwrap();
            let entry = self.entries.get(&text).cloned().unwrap_or_default();
            self.asked.push(text);
            Ok(use_entry(&super::super::read::cached_link(key, &entry)))
        }
    }

    impl Table {
        fn of(sources: &[&str]) -> Self {
            let mut table = Table::default();
            sources.iter().for_each(|source| table.put(source));
            table
        }

        /// Puts a link where the engine would, whose target tells by which source.
        fn put(&mut self, source: &str) {
            let target = Target::parse(&format!("https://to.example/{}", source.replace('/', "_"))).unwrap();
            let action = Action::Put(Destination::new(Status::Found, Some(target)).unwrap());
            let command = Command { key: LinkKey::parse(source).unwrap(), action, precondition: Precondition::None };
            apply_of_set(self, &command, Origin { sequence: 1, index: 0, time_ms: 0, rules: Rules::default() })
                .unwrap()
                .unwrap();
        }

        fn delete(&mut self, source: &str) {
            let key = LinkKey::parse(source).unwrap();
            let command = Command { key, action: Action::Delete, precondition: Precondition::None };
            apply_of_set(self, &command, Origin { sequence: 1, index: 0, time_ms: 0, rules: Rules::default() })
                .unwrap()
                .unwrap();
        }

        /// The target, and whether the link is keyed with the query.
        fn find(&mut self, host: &str, path: &str, query: Option<&str>) -> Option<(String, bool)> {
            let mut key = RequestKey::default();
            key.set(Some(host.as_bytes()), path.as_bytes(), query.map(str::as_bytes));
            let asked = (key.path_key().to_vec(), key.query_key().map(<[u8]>::to_vec));
            let mut lookup = TableLookup { entries: &self.entries, asked: &mut self.asked };
            let view = self.tables.view(key.host());
            let resolved = resolve(&mut lookup, &mut key, &view, |found| {
                (String::from_utf8(found.link.target.to_vec()).unwrap(), found.has_query)
            });
            assert_eq!(
                asked,
                (key.path_key().to_vec(), key.query_key().map(<[u8]>::to_vec)),
                "the key is as it was set"
            );
            match resolved {
                Ok(Resolved::Link(found)) => Some(found),
                Ok(Resolved::NotFound) => None,
            }
        }

        fn ask(&mut self, host: &str, path: &str, query: Option<&str>) -> Option<String> {
            let (target, has_query) = self.find(host, path, query)?;
            assert_eq!(has_query, target.contains('?'));
            Some(target.strip_prefix("https://to.example/").unwrap().to_owned())
        }
    }

    fn ignoring(ignore_case: bool, ignore_trailing_slash: bool) -> HostSettings {
        HostSettings { ignore_case, ignore_trailing_slash, ..HostSettings::default() }
    }

    #[test]
    fn the_link_of_the_host_comes_before_the_one_of_any_host_and_the_query_before_none() {
        let mut table = Table::of(&["a.example/p", "a.example/p?q=1", "/p", "/p?q=2", "/r?x"]);
        for (host, path, query, answer) in [
            ("a.example", "/p", None, Some("a.example_p")),
            ("A.example:80", "/p", Some("q=1"), Some("a.example_p?q=1")),
            ("a.example", "/p", Some("q=2"), Some("a.example_p")),
            ("b.example", "/p", None, Some("_p")),
            ("b.example", "/p", Some("q=2"), Some("_p?q=2")),
            ("b.example", "/p", Some("q=9"), Some("_p")),
            ("b.example", "/r", Some("x"), Some("_r?x")),
            ("b.example", "/r", Some("y"), None),
            ("b.example", "/r", None, None),
            ("b.example", "/none", Some("q=1"), None),
        ] {
            assert_eq!(table.ask(host, path, query).as_deref(), answer, "{host}{path}?{query:?}");
        }
    }

    #[test]
    fn a_query_is_only_looked_up_where_some_link_has_one() {
        let mut table = Table::of(&["a.example/p"]);
        table.ask("a.example", "/p", Some("gclid=123"));
        assert_eq!(table.asked, ["a.example/p"]);
    }

    #[test]
    fn what_is_longer_than_any_key_is_not_looked_up() {
        let mut table = Table::of(&["a.example/p?q"]);
        assert_eq!(table.ask("a.example", &format!("/{}", "x".repeat(LINK_KEY_BYTES)), None), None);
        assert!(table.asked.is_empty());
        assert_eq!(table.ask("a.example", "/p", Some(&"x".repeat(LINK_KEY_BYTES))), None);
        assert_eq!(table.asked, ["a.example/p", "*/p"]);
    }

    #[test]
    fn the_spelling_that_was_asked_comes_before_the_one_without_what_is_ignored() {
        let mut table = Table::of(&["a.example/Old", "/Any"]);
        table.tables = Tables::of(&[("a.example", ignoring(true, true)), ("*", ignoring(false, true))]);
        table.put("a.example/Old?Q");
        table.put("a.example/old");
        table.put("/Late/");
        for (host, path, query, answer) in [
            ("a.example", "/Old", None, Some("a.example_Old")),
            ("a.example", "/OLD/", None, Some("a.example_old")),
            ("a.example", "/OLD/", Some("Q"), Some("a.example_Old?Q")),
            // The link of this very spelling is there already.
            ("a.example", "/Old", Some("Q"), Some("a.example_Old")),
            ("a.example", "/Any/", None, Some("_Any")),
            ("a.example", "/any/", None, None),
            ("b.example", "/Late", None, Some("_Late_")),
            ("b.example", "/OLD", None, None),
        ] {
            assert_eq!(table.ask(host, path, query).as_deref(), answer, "{host}{path}?{query:?}");
        }
        table.asked.clear();
        assert_eq!(table.ask("a.example", "/X/", Some("Q")), None);
        assert_eq!(table.asked, ["a.example/X/", "a.example/x", "*/X/", "*/X"]);
        table.asked.clear();
        assert_eq!(table.ask("a.example", "/x", None), None);
        assert_eq!(table.asked, ["a.example/x", "*/x"], "nothing is folded, nothing is asked twice");
    }

    #[test]
    fn links_of_any_host_answer_for_unknown_hosts_unless_they_are_told_not_to() {
        let mut table = Table::of(&["/any", "stray.example/own"]);
        let not_found = HostSettings { unknown_hosts: UnknownHosts::NotFound, ..HostSettings::default() };
        table.tables = Tables::of(&[("*", not_found), ("known.example", HostSettings::default())]);
        assert_eq!(table.ask("known.example", "/any", None).as_deref(), Some("_any"));
        assert_eq!(table.ask("stray.example", "/any", None), None);
        assert_eq!(table.ask("stray.example", "/own", None).as_deref(), Some("stray.example_own"));
        assert_eq!(table.asked.last().unwrap(), "stray.example/own");
    }

    /// What happens to the table.
    #[derive(Debug, Clone)]
    enum Step {
        Put(String),
        Delete(String),
        Ignore { any: bool, case: bool, slash: bool },
        Forget { any: bool },
    }

    fn source() -> impl Strategy<Value = String> {
        ("(a\\.example)?", "/[aAbB%/]{0,4}/{0,2}", "(\\?[qQ])?").prop_map(|(host, path, query)| host + &path + &query)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => source().prop_map(Step::Put),
            2 => source().prop_map(Step::Delete),
            2 => any::<(bool, bool, bool)>().prop_map(|(any, case, slash)| Step::Ignore { any, case, slash }),
            1 => any::<bool>().prop_map(|any| Step::Forget { any }),
        ]
    }

    proptest! {
        #[test]
        fn a_request_finds_the_link_where_it_is_kept(
            steps in proptest::collection::vec(step(), 1..20),
            requests in proptest::collection::vec(source(), 1..10),
        ) {
            let mut table = Table::default();
            let mut hosts: Vec<(&str, HostSettings)> = Vec::new();
            for step in steps {
                match step {
                    Step::Put(source) => {
                        table.put(&source);
                        // Whoever asks for what was just put gets that, or the older link of this very path.
                        let key = LinkKey::parse(&source).unwrap();
                        let path = table.entry(key.path_key()).unwrap().link;
                        let said = expected(&table, &key).unwrap();
                        let put = format!("https://to.example/{}", source.replace('/', "_"));
                        let older = path.filter(|_| key.has_query()).map(|link| link.destination.target().unwrap().to_string());
                        prop_assert!(said == put || Some(&said) == older.as_ref(), "{said} for {key}");
                    }
                    Step::Delete(source) => table.delete(&source),
                    Step::Ignore { any, case, slash } => {
                        let host = if any { "*" } else { "a.example" };
                        hosts.retain(|(known, _)| *known != host);
                        hosts.push((host, ignoring(case, slash)));
                    }
                    Step::Forget { any } => hosts.retain(|(known, _)| (*known == "*") != any),
                }
                table.tables = Tables::of(&hosts);
            }
            for request in requests {
                let key = LinkKey::parse(&request).unwrap();
                let path_and_query = key.path_and_query();
                let (path, query) = path_and_query.split_once('?').map_or((path_and_query, None), |(p, q)| (p, Some(q)));
                let expected = expected(&table, &key);
                let host = if key.host() == "*" { "b.example" } else { key.host() };
                prop_assert_eq!(table.find(host, path, query).map(|(target, _)| target), expected, "{}", key);
            }
        }
    }

    /// What a request for this key is to find: the first that there is, in the order that is documented.
    fn expected(table: &Table, key: &LinkKey) -> Option<String> {
        let mut order = Vec::new();
        for key in [key.clone(), key.on_any_host()] {
            let path = LinkKey::parse(key.path_key()).unwrap();
            let folding = table.host(key.host()).unwrap().map(|host| host.settings.folding()).unwrap_or_default();
            let folded = [key.folded(folding), path.folded(folding)];
            order.extend([Some(key), Some(path)].into_iter().chain(folded).flatten());
        }
        let found = order.iter().find_map(|key| table.entry(key.as_str()).unwrap().link);
        found.map(|link| link.destination.target().unwrap().to_string())
    }
}
