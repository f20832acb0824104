//! URLs as people write them.

use url::Url;

use super::host::Host;
use super::key::KeyError;

/// Schemes of which the rest may be a number, so that they look like a host with its port.
const NUMBER_SCHEMES: [&str; 5] = ["callto", "fax", "modem", "sms", "tel"];

/// An http(s) URL read from what people write: with its scheme, without it, or only its path.
///
/// The one place that tells these apart, so that what is asked for is read as what is imported is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceUrl {
    url: Url,
    any_host: bool,
    has_scheme: bool,
}

/// How a text begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With `/`, or with `*` before that.
    Path,
    /// With `http:` or `https:`.
    Scheme,
    /// With a host.
    Host,
    /// With what begins neither of them.
    Other,
}

impl SourceUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// If the text is empty, no http(s) URL, or as likely a path as a host.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            // The URL parser would drop tabs and newlines without a word.
            return Err(KeyError::Control(text.to_owned()));
        }
        let start = start_of(text);
        let url = match start {
            // The host stands in for any, or none.
            Start::Path => Url::parse(&format!("http://any.invalid{}", text.strip_prefix(Host::ANY).unwrap_or(text))),
            Start::Scheme => Url::parse(text),
            Start::Host => Url::parse(&format!("http://{text}")),
            Start::Other => return Err(KeyError::NotUrl(text.to_owned())),
        };
        let url = url.map_err(|_| KeyError::NotUrl(text.to_owned()))?;
        if start == Start::Host && is_one_word(text) {
            return Err(KeyError::Ambiguous { text: text.to_owned(), path: format!("/{text}"), url: with_host(text) });
        }
        Ok(SourceUrl { url, any_host: start == Start::Path, has_scheme: start == Start::Scheme })
    }

    /// The URL. Its host means nothing if it is [any](Self::is_any_host), and its scheme nothing if it has
    /// [none](Self::has_scheme).
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether only the path was written.
    pub fn is_any_host(&self) -> bool {
        self.any_host
    }

    /// Whether the scheme was written.
    pub fn has_scheme(&self) -> bool {
        self.has_scheme
    }
}

/// Whether a text has a scheme with slashes, as in `http://x`, or begins as a path does: whether there is no
/// doubt that it is a path or not.
pub(crate) fn is_plainly_url_or_path(text: &str) -> bool {
    let (host, rest) = split_host(text);
    host.starts_with('*') || host.is_empty() || (host.ends_with(':') && rest.starts_with(['/', '\\']))
}

fn start_of(text: &str) -> Start {
    if text.strip_prefix(Host::ANY).unwrap_or(text).starts_with('/') {
        return Start::Path;
    }
    if text.starts_with('\\') {
        // Browsers take it for a slash, but only where they know the host.
        return Start::Other;
    }
    let (host, rest) = split_host(text);
    let Some((name, after)) = host.split_once(':').filter(|(name, _)| is_scheme(name)) else { return Start::Host };
    let is = |scheme: &str| name.eq_ignore_ascii_case(scheme);
    if is("http") || is("https") {
        // Without a slash, what follows may as well be a port.
        let has_slash = after.is_empty() && rest.starts_with(['/', '\\']);
        return if has_slash { Start::Scheme } else { Start::Other };
    }
    let is_port = !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit());
    if is_port && !NUMBER_SCHEMES.iter().any(|scheme| is(scheme)) { Start::Host } else { Start::Other }
}

/// What comes before the path, query or fragment, and these.
fn split_host(text: &str) -> (&str, &str) {
    text.split_at(text.find(['/', '\\', '?', '#']).unwrap_or(text.len()))
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Whether a text without scheme has neither a dot in its host, nor a port, nor a path.
fn is_one_word(text: &str) -> bool {
    let (host, rest) = split_host(text);
    !host.contains(['.', ':', '*', '@']) && !rest.starts_with(['/', '\\'])
}

fn with_host(text: &str) -> String {
    let (host, rest) = split_host(text);
    format!("http://{host}/{rest}")
}
