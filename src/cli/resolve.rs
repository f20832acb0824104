//! `carom resolve`: what a request would be answered, and by which link.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::open::{self, DEFAULT_DATA, StoreArguments};
use super::{Exit, text};
use crate::cache::CachedLink;
use crate::engine::{Engine, EngineConfig, Lookup, Resolved, resolve};
use crate::link::{KeyError, Link, RequestKey, SourceUrl, shown};
use crate::store::{StoreError, StoreKind};

/// Say what a URL would be answered, and by which link
#[derive(Args)]
pub(super) struct Arguments {
    /// The URL, such as `http://www.example.com/old`; the same without `http://`; or a path such as `/old` on no
    /// particular host
    url: String,
    /// Where the links are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    #[command(flatten)]
    store: StoreArguments,
}

/// A URL that no browser asks for.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotUrl {
    /// Not one at all, or of another scheme.
    #[error("`{}` is not an http(s) URL; write it as in http://www.example.com/old, or a path such as /old", shown(.0))]
    Invalid(String),
    /// One word.
    #[error("`{}` may be a path or a host; write `{}` for the path, or `{}` for the host", shown(.0), shown(.1), shown(.2))]
    Ambiguous(String, String, String),
}

impl Arguments {
    /// Refuses what is no URL.
    pub(super) fn check(self) -> Result<ResolveArgs, NotUrl> {
        Ok(ResolveArgs { key: request_key(&self.url)?, url: self.url, data: self.data, store: self.store.store })
    }
}

/// The arguments, checked.
pub(super) struct ResolveArgs {
    key: RequestKey,
    url: String,
    data: PathBuf,
    store: Option<StoreKind>,
}

/// Prints the answer.
pub(super) fn run(arguments: ResolveArgs) -> Result<Exit> {
    let ResolveArgs { mut key, url, data, store } = arguments;
    open::check_is_data(&data)?;
    // What is looked at once is not worth caching.
    let config = EngineConfig { cache_bytes: 0, store, ..EngineConfig::new(data) };
    let engine = open::engine(&config)?;
    let answer = answer(engine.engine(), &mut key, &url);
    let closed = engine.close();
    text::say!("{}", answer?);
    closed?;
    Ok(Exit::Done)
}

/// What a browser would ask for. It is read as a source is, but for what a browser keeps to itself.
fn request_key(text: &str) -> Result<RequestKey, NotUrl> {
    let asked = SourceUrl::parse(text).map_err(|error| match error {
        KeyError::Ambiguous { text, path, url } => NotUrl::Ambiguous(text, path, url),
        _ => NotUrl::Invalid(text.to_owned()),
    })?;
    let url = asked.url();
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut key = RequestKey::default();
    key.set((!asked.is_any_host()).then_some(host.as_bytes()), url.path().as_bytes(), url.query().map(str::as_bytes));
    Ok(key)
}

/// Looks at the store, and keeps the link that it saw last.
struct StoreLookup<'a> {
    engine: &'a Engine,
    seen: Option<Link>,
}

impl Lookup for StoreLookup<'_> {
    type Error = StoreError;

    fn with<T>(&mut self, key: &[u8], use_entry: impl FnOnce(&CachedLink) -> T) -> Result<T, StoreError> {
        // The store's keys are text; what is none is the key of no link.
        let entry = match std::str::from_utf8(key) {
            Ok(key) => self.engine.stored_entry(key)?,
            Err(_) => Default::default(),
        };
        let has_query_links = entry.query_links > 0;
        let cached = match &entry.link {
            Some(link) => {
                let (status, target) = (link.destination.status().code(), link.destination.target());
                let target = target.map_or("", |target| target.as_str());
                CachedLink::present(key, link.id.0, status, target.as_bytes(), has_query_links)
            }
            None => CachedLink::absent(key, has_query_links),
        };
        self.seen = entry.link;
        Ok(use_entry(&cached))
    }
}

fn answer(engine: &Engine, key: &mut RequestKey, asked: &str) -> Result<String> {
    let mut lookup = StoreLookup { engine, seen: None };
    let resolved = resolve(&mut lookup, key, |_| ())?;
    Ok(match (resolved, lookup.seen) {
        // The lookup that answers is the last one.
        (Resolved::Link(()), Some(link)) => describe(&link),
        _ => format!("404 Not Found: no link matches {}", shown(asked)),
    })
}

fn describe(link: &Link) -> String {
    let status = link.destination.status();
    let location = link.destination.target().map_or(String::new(), |target| format!("Location: {target}\n"));
    format!(
        "{status}\n{location}Link: {} (id {}, version {}, created {}, updated {})",
        link.key,
        link.id.0,
        link.version,
        text::timestamp(link.created_at_ms),
        text::timestamp(link.updated_at_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_asked_for_as_a_browser_does() {
        for (text, host_key) in [
            ("http://WWW.example.com:80/a?b=1#c", "www.example.com/a?b=1"),
            ("www.example.com:8080/a", "www.example.com/a"),
            ("https://user:word@www.example.com", "www.example.com/"),
            ("/sale?x", "*/sale?x"),
            ("*/sale", "*/sale"),
            ("www.example.com/go?to=http://x.example/", "www.example.com/go?to=http://x.example/"),
            ("/go?to=http://x.example/", "*/go?to=http://x.example/"),
            (r"http:\\www.example.com\old", "www.example.com/old"),
        ] {
            let key = request_key(text).unwrap();
            assert_eq!(key.query_key().unwrap_or(key.path_key()), host_key.as_bytes(), "{text}");
        }
        for (text, part) in [
            ("", "`` is not an http(s) URL; write it as in http://www.example.com/old"),
            ("http://", "`http://` is not an http(s) URL"),
            ("ftp://a/b", "`ftp://a/b` is not an http(s) URL"),
            ("mailto:x@y", "`mailto:x@y` is not an http(s) URL"),
            ("old", "`old` may be a path or a host; write `/old` for the path, or `http://old/` for the host"),
        ] {
            let error = request_key(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
