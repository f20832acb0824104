//! What a link is found by.

use std::fmt;

use url::Url;

use super::host::{Host, HostError};
use super::normalize;
use crate::limits::LINK_KEY_BYTES;

/// The key of a link: host, path and, for a link that is keyed with it, the query.
///
/// Its canonical text is `host/path` or `host/path?query`, with `*` for any host. The first `/` ends the host
/// and the first `?` ends the path, so the text is the key, byte for byte. A `?` with nothing behind it is no
/// query.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey(Box<str>);

/// Why a text is no key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("the source is empty; write a URL such as `http://www.example.com/old` or a path such as `/old`")]
    Empty,
    /// Neither a URL nor a path.
    #[error("the source `{0}` is neither an http(s) URL nor a path that begins with `/`")]
    NotUrl(String),
    /// A control character.
    #[error("the source {0:?} holds a control character")]
    Control(String),
    /// The host is none.
    #[error("the source `{text}`: {error}")]
    Host {
        /// The whole source.
        text: String,
        /// What is wrong with its host.
        error: HostError,
    },
    /// Browsers send neither to a server.
    #[error("the source `{0}` has a {1}, which no request carries; leave it out")]
    Unsendable(String, &'static str),
    /// Longer than [`LINK_KEY_BYTES`].
    #[error("the source `{0}` has {1} bytes in canonical form; at most {LINK_KEY_BYTES} are allowed")]
    TooLong(String, usize),
}

impl LinkKey {
    /// Reads a key as people write it: an http(s) URL, the same without its scheme (`example.com/old`), or a
    /// path (`/old`), which holds on every host. Scheme and port do not count.
    ///
    /// # Errors
    /// If the text is none of these, is too long, or holds what no request can carry.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            // The URL parser would drop tabs and newlines without a word.
            return Err(KeyError::Control(text.to_owned()));
        }
        let path = text.strip_prefix(Host::ANY).unwrap_or(text);
        let (url, any_host) = if path.starts_with('/') {
            // The host stands in for any; it is not part of the key.
            (Url::parse(&format!("http://any.invalid{path}")), true)
        } else if text.split(['/', '?', '#']).next().is_some_and(|start| start.ends_with(':')) {
            // A scheme; a host can't end in a colon.
            (Url::parse(text), false)
        } else {
            (Url::parse(&format!("http://{text}")), false)
        };
        let url = match url {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            _ => return Err(KeyError::NotUrl(text.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(KeyError::Unsendable(text.to_owned(), "user name"));
        }
        if url.fragment().is_some() {
            return Err(KeyError::Unsendable(text.to_owned(), "fragment"));
        }
        let host = if any_host {
            Host::any()
        } else {
            Host::from_serialised(url.host_str().unwrap_or_default())
                .map_err(|error| KeyError::Host { text: text.to_owned(), error })?
        };
        let key = Self::from_parts(&host, url.path(), url.query());
        if key.0.len() > LINK_KEY_BYTES {
            return Err(KeyError::TooLong(text.to_owned(), key.0.len()));
        }
        Ok(key)
    }

    fn from_parts(host: &Host, path: &str, query: Option<&str>) -> Self {
        let mut text = Vec::with_capacity(host.as_str().len() + path.len() + query.map_or(0, |query| query.len() + 1));
        text.extend_from_slice(host.as_str().as_bytes());
        normalize::path_into(path.as_bytes(), &mut text);
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            text.push(b'?');
            normalize::query_into(query.as_bytes(), &mut text);
        }
        LinkKey(String::from_utf8(text).expect("a canonical key is ASCII").into())
    }

    /// Takes a text that is in canonical form already, as one that was stored must be.
    pub(super) fn from_canonical(text: &str) -> Option<Self> {
        let slash = text.find('/')?;
        let plausible = slash > 0 && text.len() <= LINK_KEY_BYTES && text.is_ascii();
        plausible.then(|| LinkKey(text.into()))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The canonical text of the same key without its query.
    pub fn path_key(&self) -> &str {
        self.0.split_once('?').map_or(&self.0, |(path, _)| path)
    }

    /// Whether the key has a query.
    pub fn has_query(&self) -> bool {
        self.0.contains('?')
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKey({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::RequestKey;
    use proptest::prelude::*;

    fn key(text: &str) -> String {
        LinkKey::parse(text).unwrap().as_str().to_owned()
    }

    #[test]
    fn sources_take_their_canonical_form() {
        for (text, canonical) in [
            ("http://www.Example.com", "www.example.com/"),
            ("https://www.example.com:8443/a?b=1", "www.example.com/a?b=1"),
            ("example.com/old", "example.com/old"),
            ("example.com:8080/old", "example.com/old"),
            ("localhost:8080", "localhost/"),
            ("a.example/go?to=http://b.example/", "a.example/go?to=http://b.example/"),
            ("a.example?to=http://b.example/", "a.example/?to=http://b.example/"),
            ("/sale", "*/sale"),
            ("*/sale", "*/sale"),
            ("//double", "*//double"),
            ("/a?", "*/a"),
            ("/a?b?", "*/a?b?"),
            ("http://b\u{fc}cher.example/\u{e9}", "xn--bcher-kva.example/%C3%A9"),
            (r"http://a.example\b\..\c", "a.example/c"),
        ] {
            assert_eq!(key(text), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused_with_its_value() {
        for (text, part) in [
            ("", "empty"),
            ("ftp://a.example/x", "ftp://a.example/x"),
            ("javascript:alert(1)", "neither an http(s) URL"),
            ("mailto:/x", "neither an http(s) URL"),
            ("http://a.example../x", "a.example."),
            ("http://user@a.example/", "user name"),
            ("http://a.example/#top", "fragment"),
            ("http://a.example/a\tb", "control"),
            ("http:///x y", "neither"),
            ("http://*.example.com/x", "*.example.com"),
        ] {
            let error = LinkKey::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = format!("/{}", "a".repeat(LINK_KEY_BYTES));
        assert!(matches!(LinkKey::parse(&long), Err(KeyError::TooLong(_, bytes)) if bytes == LINK_KEY_BYTES + 2));
    }

    /// The key under which a server finds what a browser sends for `url`.
    fn key_of_request(url: &Url) -> String {
        let mut key = RequestKey::default();
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        key.set(Some(authority.as_bytes()), url.path().as_bytes(), url.query().map(str::as_bytes));
        String::from_utf8(key.query_key().unwrap_or(key.path_key()).to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn what_a_browser_sends_for_a_source_finds_its_key(
            host in "[a-zA-Z][a-zA-Z0-9]{0,8}(\\.[a-zA-Z]{2,5}){0,2}\\.?",
            port in proptest::option::of(1u16..),
            path in "(/[ -\"$->@-~\u{e0}-\u{ff}]{0,8}){0,4}",
            query in proptest::option::of("[ -\"$-~\u{e0}-\u{ff}]{0,12}"),
        ) {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            let query = query.map_or(String::new(), |query| format!("?{query}"));
            let text = format!("http://{host}{port}{path}{query}");
            let url = Url::parse(&text);
            prop_assume!(url.is_ok());
            let url = url.unwrap();
            let key = LinkKey::parse(&text).unwrap();
            prop_assert_eq!(key.as_str(), key_of_request(&url));
            // The browser's own spelling of it is the same key, and so is the key's own text.
            prop_assert_eq!(&LinkKey::parse(url.as_str()).unwrap(), &key);
            prop_assert_eq!(&LinkKey::parse(&format!("https://{key}")).unwrap(), &key);
        }
    }
}
