//! What a link is found by.

use std::fmt;

use super::host::{Host, HostError};
use super::host_settings::Folding;
use super::normalize;
use super::shown::shown;
use super::source::SourceUrl;
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
    #[error("the source `{}` is neither an http(s) URL nor a path that begins with `/`", shown(.0))]
    NotUrl(String),
    /// A word that may be a path without its `/` as well as a host without its scheme.
    #[error(
        "the source `{}` may be a path or a host; write `{}` for a path on every host, or `{}` for a host",
        shown(.text), shown(.path), shown(.url)
    )]
    Ambiguous {
        /// The text.
        text: String,
        /// The same as a path.
        path: String,
        /// The same as the URL of a host.
        url: String,
    },
    /// A control character.
    #[error("the source `{}` holds a control character", shown(.0))]
    Control(String),
    /// The host is none.
    #[error("the source `{}`: {error}", shown(.text))]
    Host {
        /// The whole source.
        text: String,
        /// What is wrong with its host.
        error: HostError,
    },
    /// Browsers send neither to a server.
    #[error("the source `{}` has a {}, which no request carries; leave it out", shown(.0), .1)]
    Unsendable(String, &'static str),
    /// Longer than [`LINK_KEY_BYTES`].
    #[error("the source `{}` has {} bytes in canonical form; at most {LINK_KEY_BYTES} are allowed", shown(.0), .1)]
    TooLong(String, usize),
}

impl LinkKey {
    /// Reads a key as people write it: an http(s) URL, the same without its scheme (`example.com/old`), or a
    /// path (`/old`), which holds on every host. Scheme and port do not count.
    ///
    /// # Errors
    /// If the text is none of these, is too long, or holds what no request can carry.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let source = SourceUrl::parse(text)?;
        let url = source.url();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(KeyError::Unsendable(text.to_owned(), "user name"));
        }
        if url.fragment().is_some() {
            return Err(KeyError::Unsendable(text.to_owned(), "fragment"));
        }
        let host = if source.is_any_host() {
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

    /// What the canonical paths and queries begin with that begin with this text, as people write it. A `/` in front of
    /// it may be left out.
    pub fn path_prefix(text: &str) -> String {
        let mut prefix = Vec::with_capacity(text.len() + 1);
        normalize::prefix_into(text.as_bytes(), &mut prefix);
        String::from_utf8(prefix).expect("a canonical path is ASCII")
    }

    /// What paths begin with on a host that ignores case, instead of what [`path_prefix`](Self::path_prefix) gave.
    pub fn fold_prefix(prefix: &str) -> String {
        let path = prefix.find('?').unwrap_or(prefix.len());
        let mut folded = prefix.as_bytes()[..path].to_vec();
        normalize::fold_path(&mut folded, 0, Folding { case: true, trailing_slash: false });
        folded.extend_from_slice(&prefix.as_bytes()[path..]);
        String::from_utf8(folded).expect("a canonical path is ASCII")
    }

    /// Takes a text that is in canonical form already, as one that was stored must be.
    pub(crate) fn from_canonical(text: &str) -> Option<Self> {
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

    /// The host; `*` is any.
    pub fn host(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(host, _)| host)
    }

    /// The path and, if there is one, the query.
    pub fn path_and_query(&self) -> &str {
        &self.0[self.host().len()..]
    }

    /// The key of the same path and query on any host.
    pub fn on_any_host(&self) -> Self {
        LinkKey(format!("{}{}", Host::ANY, self.path_and_query()).into())
    }

    /// The key of the path as a host keeps it that ignores these differences. None if it is this one.
    pub fn folded(&self, folding: Folding) -> Option<Self> {
        let path = self.path_key();
        let mut folded = path.as_bytes().to_vec();
        normalize::fold_path(&mut folded, self.host().len(), folding);
        (folded != path.as_bytes()).then(|| {
            folded.extend_from_slice(&self.0.as_bytes()[path.len()..]);
            LinkKey(String::from_utf8(folded).expect("a canonical key is ASCII").into())
        })
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
    use url::Url;

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
            (r"http:\\www.example.com\old", "www.example.com/old"),
            (r"HTTPS:/\www.example.com\old?a\b", "www.example.com/old?a%5Cb"),
            ("http:/www.example.com/old", "www.example.com/old"),
            (r"www.example.com\old", "www.example.com/old"),
            ("intranet:8080/old", "intranet/old"),
            ("127.0.0.1:8080", "127.0.0.1/"),
            ("[::1]:8080/old", "[::1]/old"),
            ("http://old", "old/"),
            ("old/", "old/"),
            (r"old\x", "old/x"),
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
            (r"\old", r"`\old` is neither an http(s) URL"),
            (r"\\www.example.com\old", "neither an http(s) URL"),
            ("tel:123", "`tel:123` is neither an http(s) URL"),
            ("Tel:123/x", "neither an http(s) URL"),
            ("mailto:x@y", "`mailto:x@y` is neither an http(s) URL"),
            ("http:www.example.com", "neither an http(s) URL"),
            ("https:443", "neither an http(s) URL"),
            ("https//example.com/x", "`https` is not a valid host name; was `https://` meant?"),
            ("http://http/example.com/x", "`http` is not a valid host name"),
            (
                "spring-sale",
                "the source `spring-sale` may be a path or a host; write `/spring-sale` for a path on every host, \
                 or `http://spring-sale/` for a host",
            ),
            ("old?a=/b", "write `/old?a=/b` for a path on every host, or `http://old/?a=/b` for a host"),
            ("localhost", "`http://localhost/` for a host"),
            ("spring sale", "neither an http(s) URL nor a path"),
        ] {
            let error = LinkKey::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let long = format!("/{}", "a".repeat(LINK_KEY_BYTES));
        assert!(matches!(LinkKey::parse(&long), Err(KeyError::TooLong(_, bytes)) if bytes == LINK_KEY_BYTES + 2));
    }

    #[test]
    fn prefixes_take_the_form_of_what_they_begin() {
        for (text, prefix) in [
            ("", "/"),
            ("blog", "/blog"),
            ("/bl%6fg/%c3", "/blog/%C3"),
            ("/\u{e9}", "/%C3%A9"),
            ("/a/.", "/a/."),
            ("/a?b='", "/a?b=%27"),
            ("?", "/?"),
            ("%", "/%25"),
        ] {
            assert_eq!(LinkKey::path_prefix(text), prefix, "{text}");
        }
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
            scheme in "[hH][tT][tT][pP][sS]?:[/\\\\]{1,3}",
            host in "[a-zA-Z][a-zA-Z0-9]{0,8}(\\.[a-zA-Z]{2,5}){0,2}\\.?",
            port in proptest::option::of(1u16..),
            path in "([/\\\\][ -\"$->@-~\u{e0}-\u{ff}]{0,8}){0,4}",
            query in proptest::option::of("[ -\"$-~\u{e0}-\u{ff}]{0,12}"),
        ) {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            let query = query.map_or(String::new(), |query| format!("?{query}"));
            let text = format!("{scheme}{host}{port}{path}{query}");
            let url = Url::parse(&text);
            prop_assume!(url.is_ok());
            let url = url.unwrap();
            // These are taken for a scheme that lost its colon.
            prop_assume!(!matches!(url.host_str(), Some("http" | "https" | "http." | "https.")));
            let key = LinkKey::parse(&text).unwrap();
            prop_assert_eq!(key.as_str(), key_of_request(&url));
            // The browser's own spelling of it is the same key, and so is the key's own text.
            prop_assert_eq!(&LinkKey::parse(url.as_str()).unwrap(), &key);
            prop_assert_eq!(&LinkKey::parse(&format!("https://{key}")).unwrap(), &key);
            prop_assert_eq!(&LinkKey::parse(key.as_str()).unwrap(), &key);
        }

        #[test]
        fn a_key_reads_back_as_itself_however_it_was_written(
            text in "(https?|HTTP|tel|a|old|\\*|a\\.example)?(:|:/|:\\\\\\\\|:80|/|//|\\\\)?[a-z./\\\\:?*@%]{0,12}",
        ) {
            if let Ok(key) = LinkKey::parse(&text) {
                prop_assert_eq!(&LinkKey::parse(key.as_str()), &Ok(key.clone()), "{}", text);
            }
        }
    }
}
