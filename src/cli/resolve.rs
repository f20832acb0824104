//! `carom resolve`: what a request would be answered, and by which link.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};
use serde_json::json;

use super::open::{self, DEFAULT_DATA, StoreArguments};
use super::{Exit, text};
use crate::cache::CachedLink;
use crate::clock::unix_time_ms;
use crate::engine::{
    Asked, Decision, Engine, EngineConfig, Lookup, Resolved, cached_link, decide_found, decide_not_found, resolve,
};
use crate::http1::{self, Context, imf_fixdate};
use crate::link::{KeyError, Link, LinkState, RequestKey, SourceUrl, shown};
use crate::store::{StoreError, StoreKind};

/// Say what a URL would be answered, and by which link
#[derive(Args)]
pub(super) struct Arguments {
    /// The URL, such as `http://www.example.com/old`; the same without `http://`; or a path such as `/old` on no
    /// particular host
    #[arg(value_hint = ValueHint::Url)]
    url: String,
    /// Where the links are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// Print JSON: `status`, `location` or null, and `link` or null with `key`, `id`, `version` and `state`
    #[arg(long)]
    json: bool,
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
        let request = UrlRequest::of(&self.url)?;
        Ok(ResolveArgs { request, url: self.url, data: self.data, store: self.store.store, json: self.json })
    }
}

/// The arguments, checked.
pub(super) struct ResolveArgs {
    request: UrlRequest,
    url: String,
    data: PathBuf,
    store: Option<StoreKind>,
    json: bool,
}

/// Prints the answer.
pub(super) fn run(arguments: ResolveArgs) -> Result<Exit> {
    let ResolveArgs { mut request, url, data, store, json } = arguments;
    open::check_is_data(&data)?;
    // What is looked at once is not worth caching.
    let config = EngineConfig { cache_bytes: 0, store, ..EngineConfig::new(data) };
    let engine = open::engine(&config)?;
    let found = look_up(engine.engine(), &mut request).map(|(head, link)| match json {
        true => as_json(engine.engine(), &head, link.as_ref()),
        false => as_text(engine.engine(), &head, link.as_ref(), &url),
    });
    let closed = engine.close();
    text::line(&found?)?;
    closed?;
    Ok(Exit::Done)
}

/// What a browser would ask for.
struct UrlRequest {
    key: RequestKey,
    path: String,
    query: Option<String>,
}

impl UrlRequest {
    /// It is read as a source is, but for what a browser keeps to itself.
    fn of(text: &str) -> Result<Self, NotUrl> {
        let asked = SourceUrl::parse(text).map_err(|error| match error {
            KeyError::Ambiguous { text, path, url } => NotUrl::Ambiguous(text, path, url),
            _ => NotUrl::Invalid(text.to_owned()),
        })?;
        let url = asked.url();
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
        let mut key = RequestKey::default();
        let host = (!asked.is_any_host()).then_some(host.as_bytes());
        key.set(host, path.as_bytes(), query.as_ref().map(String::as_bytes));
        Ok(UrlRequest { key, path, query })
    }
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
        let cached = cached_link(key, &entry);
        self.seen = entry.link;
        Ok(use_entry(&cached))
    }
}

/// The answer, and the link that gives it.
fn look_up(engine: &Engine, request: &mut UrlRequest) -> Result<(Head, Option<Link>)> {
    let UrlRequest { key, path, query } = request;
    let tables = engine.tables();
    let host = tables.view(key.host());
    let asked = Asked::new(key, &host, path.as_bytes(), query.as_ref().map(String::as_bytes));
    let mut lookup = StoreLookup { engine, seen: None };
    // Who only looks takes no click.
    let has_click = |id, max| engine.uses().has_left(id, max);
    let resolved =
        resolve(&mut lookup, key, &host, |found| Head::of(&decide_found(found, &asked, unix_time_ms, has_click)))?;
    Ok(match (resolved, lookup.seen) {
        // The lookup that answers is the last one.
        (Resolved::Link(head), Some(link)) => (head, Some(link)),
        _ => (Head::of(&decide_not_found(&asked)), None),
    })
}

/// As much of an answer as matters to where it leads.
struct Head {
    /// `302 Found`.
    status: String,
    location: Option<String>,
}

impl Head {
    fn of(decision: &Decision<'_>) -> Self {
        let mut answer = Vec::new();
        http1::encode(&mut answer, &decision.answer, &Context::closing(&imf_fixdate(0)));
        let answer = String::from_utf8_lossy(&answer);
        let mut lines = answer.lines();
        let status = lines.next().and_then(|line| line.split_once(' ')).map_or("", |(_, status)| status);
        let location = lines.find_map(|line| line.strip_prefix("Location: "));
        Head { status: status.to_owned(), location: location.map(str::to_owned) }
    }
}

fn as_text(engine: &Engine, head: &Head, link: Option<&Link>, asked_url: &str) -> String {
    let Head { status, location } = head;
    let location = location.as_ref().map(|location| format!("\nLocation: {location}"));
    let link = match link {
        Some(link) => format!("\n{}", describe(engine, link)),
        // Behind a location it would read as a part of it.
        None => format!("{}no link matches {}", if location.is_some() { "\n" } else { ": " }, shown(asked_url)),
    };
    format!("{status}{}{link}", location.unwrap_or_default())
}

fn as_json(engine: &Engine, head: &Head, link: Option<&Link>) -> String {
    let code: Option<u16> = head.status.split(' ').next().and_then(|code| code.parse().ok());
    let link = link.map(|link| {
        json!({
            "key": link.key.as_str(),
            "id": link.id.0.to_string(),
            "version": link.version,
            "state": state(engine, link).name(),
        })
    });
    json!({"status": code, "location": head.location, "link": link}).to_string()
}

fn state(engine: &Engine, link: &Link) -> LinkState {
    link.options.state(unix_time_ms(), engine.uses().used(link.id.0))
}

fn describe(engine: &Engine, link: &Link) -> String {
    let state = state(engine, link);
    let state = if state == LinkState::Active { String::new() } else { format!("{}, ", state.name()) };
    format!(
        "Link: {} ({state}id {}, version {}, created {}, updated {})",
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
            let key = UrlRequest::of(text).unwrap().key;
            assert_eq!(key.query_key().unwrap_or(key.path_key()), host_key.as_bytes(), "{text}");
        }
        for (text, part) in [
            ("", "`` is not an http(s) URL; write it as in http://www.example.com/old"),
            ("http://", "`http://` is not an http(s) URL"),
            ("ftp://a/b", "`ftp://a/b` is not an http(s) URL"),
            ("mailto:x@y", "`mailto:x@y` is not an http(s) URL"),
            ("old", "`old` may be a path or a host; write `/old` for the path, or `http://old/` for the host"),
        ] {
            let error = UrlRequest::of(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
