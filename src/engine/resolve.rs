//! Which link answers a request.

use crate::cache::{CachedLink, LinkView};
use crate::limits::LINK_KEY_BYTES;
use crate::link::RequestKey;

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

/// Finds the link that answers a request, and gives it to `use_link`, at most once.
///
/// The order: on the request's host, then on any host; each time the link that is keyed with the request's
/// query, then the one without.
///
/// # Errors
/// If a lookup fails. After it `key` must be set anew.
pub fn resolve<L: Lookup, T>(
    lookup: &mut L,
    key: &mut RequestKey,
    mut use_link: impl FnMut(LinkView<'_>) -> T,
) -> Result<Resolved<T>, L::Error> {
    enum Step<T> {
        Found(T),
        TryQuery,
        NoLink,
    }
    loop {
        let with_query = key.query_key().is_some_and(|key| key.len() <= LINK_KEY_BYTES);
        if key.path_key().len() <= LINK_KEY_BYTES {
            let step = lookup.with(key.path_key(), |entry| match entry.link() {
                _ if with_query && entry.has_query_links() => Step::TryQuery,
                Some(link) => Step::Found(use_link(link)),
                None => Step::NoLink,
            })?;
            match step {
                Step::Found(answer) => return Ok(Resolved::Link(answer)),
                Step::TryQuery => {
                    for key in [key.query_key().unwrap_or_default(), key.path_key()] {
                        if let Some(answer) = lookup.with(key, |entry| entry.link().map(&mut use_link))? {
                            return Ok(Resolved::Link(answer));
                        }
                    }
                }
                Step::NoLink => {}
            }
        }
        if key.is_any_host() {
            return Ok(Resolved::NotFound);
        }
        key.turn_to_any_host();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::link::{Destination, Link, LinkId, LinkKey, Status, StoredEntry, Target};

    /// Entries by key, and which keys were asked for.
    #[derive(Default)]
    struct Table {
        entries: HashMap<Vec<u8>, StoredEntry>,
        asked: Vec<String>,
    }

    impl Lookup for Table {
        type Error = std::convert::Infallible;

        fn with<T>(&mut self, key: &[u8], use_entry: impl FnOnce(&CachedLink) -> T) -> Result<T, Self::Error> {
            self.asked.push(String::from_utf8_lossy(key).into_owned());
            let entry = self.entries.get(key).cloned().unwrap_or_default();
            Ok(use_entry(&super::super::read::cached_link(key, &entry)))
        }
    }

    impl Table {
        fn of(sources: &[&str]) -> Self {
            let mut table = Table::default();
            for source in sources {
                let key = LinkKey::parse(source).unwrap();
                let target = Target::parse(&format!("https://to.example/{}", source.replace('/', "_"))).unwrap();
                if key.has_query() {
                    table.entries.entry(key.path_key().as_bytes().to_vec()).or_default().query_links += 1;
                }
                let link = Link {
                    id: LinkId(1),
                    destination: Destination::new(Status::Found, Some(target)).unwrap(),
                    created_at_ms: 0,
                    updated_at_ms: 0,
                    version: 1,
                    key: key.clone(),
                };
                table.entries.entry(key.as_str().as_bytes().to_vec()).or_default().link = Some(link);
            }
            table
        }

        fn ask(&mut self, host: &str, path: &str, query: Option<&str>) -> Option<String> {
            let mut key = RequestKey::default();
            key.set(Some(host.as_bytes()), path.as_bytes(), query.map(str::as_bytes));
            match resolve(self, &mut key, |link| String::from_utf8(link.target.to_vec()).unwrap()) {
                Ok(Resolved::Link(target)) => Some(target.strip_prefix("https://to.example/").unwrap().to_owned()),
                Ok(Resolved::NotFound) => None,
            }
        }
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
}
