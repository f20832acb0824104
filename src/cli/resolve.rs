//! `carom resolve`: what a request would be answered, and by which link.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use url::Url;

use super::open::{self, DEFAULT_DATA, MIB, STORE_CACHE_MIB};
use super::{Exit, text};
use crate::cache::CachedLink;
use crate::engine::{Engine, EngineConfig, Lookup, Resolved, resolve};
use crate::link::{Link, RequestKey};
use crate::store::StoreError;

/// Say what a URL would be answered, and by which link
#[derive(Args)]
pub(super) struct Arguments {
    /// The URL, such as http://www.example.com/old; the same without http://; or a path such as /old on no
    /// particular host
    url: String,
    /// Where the links are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

/// Prints the answer.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let mut key = request_key(&arguments.url)?;
    let data = &arguments.data;
    if !data.join("log").is_dir() {
        // Opening it would create it.
        bail!(
            "there are no links in {}: it is not a data directory of carom. Name the one that was imported into \
             with --data",
            data.display()
        );
    }
    // What is looked at once is not worth caching.
    let config = EngineConfig { data: data.clone(), cache_bytes: 0, store_cache_bytes: STORE_CACHE_MIB * MIB };
    let engine = open::engine(&config)?;
    let answer = answer(engine.engine(), &mut key, &arguments.url);
    let closed = engine.close();
    text::say!("{}", answer?);
    closed?;
    Ok(Exit::Done)
}

/// What a browser would ask for.
fn request_key(text: &str) -> Result<RequestKey> {
    let is_path = text.starts_with('/');
    let url = if is_path {
        // The host stands in for none.
        Url::parse(&format!("http://any.invalid{text}"))
    } else if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    let url = url.with_context(|| {
        anyhow!("`{text}` is not a URL; write it as in http://www.example.com/old, or a path such as /old")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("`{text}` is neither http nor https; write it as in http://www.example.com/old");
    }
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut key = RequestKey::default();
    key.set((!is_path).then_some(host.as_bytes()), url.path().as_bytes(), url.query().map(str::as_bytes));
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
        _ => format!("404 Not Found: no link matches {asked}"),
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
        ] {
            let key = request_key(text).unwrap();
            assert_eq!(key.query_key().unwrap_or(key.path_key()), host_key.as_bytes(), "{text}");
        }
        for (text, part) in [
            ("", "`` is not a URL; write it as in http://www.example.com/old"),
            ("http://", "`http://` is not a URL"),
            ("ftp://a/b", "`ftp://a/b` is neither http nor https"),
        ] {
            let error = format!("{:#}", request_key(text).map(drop).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
